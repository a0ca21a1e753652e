"""Predictions without a transport: from decoded JSON to an answer, features fetched together."""
