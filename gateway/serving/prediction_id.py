"""Names of predictions: UUIDv7 of the injected clock's instant, so that replayed history is named as if live."""

from __future__ import annotations

import secrets

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62


def prediction_id(instant_us: int) -> str:
    """Return a new UUIDv7 (RFC 9562, section 5.7) for an instant.

    The 48 leading bits are the milliseconds, the next 12 the fraction of a millisecond (method 3 of section
    6.2), so that ids sort by instant; 62 bits are random. Instants before 1970 count as 1970.
    """
    milliseconds, microseconds = divmod(max(instant_us, 0), 1000)
    bits = milliseconds << 80 | _VERSION_7 | (microseconds << 12) // 1000 << 64 | _VARIANT | secrets.randbits(62)
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
