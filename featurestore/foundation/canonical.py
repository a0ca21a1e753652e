"""Canonical bytes and digests: equal things have equal digests, on every machine and in every process."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_bytes(value: Any) -> bytes:
    """Write plain data (None, bool, int, str, finite float, list, tuple, dict of str) as one fixed byte string.

    JSON with sorted keys, no white space, UTF-8; floats by shortest round trip; NaN and infinities refused.

    Raises
    ------
    TypeError, ValueError
        If ``value`` holds anything else.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical bytes, 64 hexadecimal digits."""
    return bytes_digest(canonical_bytes(value))


def bytes_digest(data: bytes | memoryview) -> str:
    """Return the SHA-256 of ``data``, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
