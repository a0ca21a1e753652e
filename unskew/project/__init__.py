"""A project: its settings, definitions, models and stores, opened when they are needed."""
