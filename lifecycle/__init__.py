"""Makes, checks and watches models: training, validation, monitoring."""
