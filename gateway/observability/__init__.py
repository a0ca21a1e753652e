"""What the gateway says of itself: metrics and its log of events."""
