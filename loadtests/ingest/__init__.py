"""Events in and realtime reads out, beside a raw stream and a batch view."""
