"""Take events in: the stream that keeps them, and the program that commits them to history and to current values."""
