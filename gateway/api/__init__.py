"""HTTP: the raw prediction path, and everything else in FastAPI."""
