"""Answers predictions, and keeps what may answer and what was answered."""
