"""What we know: one definition set, history, current values, and what a value means."""
