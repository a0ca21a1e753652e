"""The value of an entry in an event index: until when it is kept, then what the ingest program says of the event.

::

    offset  bytes
     0      8     expiry, microseconds UTC; 0 is never; little-endian
     8      ...   payload, the ingest program's own

The expiry is in the bytes so that an embedded store can sweep, and so that a reader under a clock of its own decides by
that clock. Redis removes an entry by its own clock, when it was told to keep it no longer.
"""

from __future__ import annotations

EXPIRY_BYTES = 8
NEVER = 0


def index_value(payload: bytes, expires_us: int) -> bytes:
    """Return the bytes of an entry; ``expires_us`` is not negative."""
    return expires_us.to_bytes(EXPIRY_BYTES, "little") + payload


def index_payload(value: bytes) -> bytes:
    """Return what the ingest program says of the event."""
    return value[EXPIRY_BYTES:]


def is_expired(value: bytes, now_us: int) -> bool:
    """Tell whether an entry is to be treated as absent at an instant: from its expiry on."""
    expires_us = int.from_bytes(value[:EXPIRY_BYTES], "little")
    return expires_us != NEVER and expires_us <= now_us
