"""The demo: the retail example made, run from raw data to served predictions, and checked on the way."""
