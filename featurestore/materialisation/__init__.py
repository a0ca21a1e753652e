"""From history to current values."""
