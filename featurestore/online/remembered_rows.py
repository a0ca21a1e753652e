"""Rows that were computed from logs, kept while there is room for them."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any

from featurestore.online.row_codec import exact_at

ENTRY_BYTES = 400
"""What an entry takes besides the bytes of its rows, about."""


class RememberedRows:
    """A map from entity key to the stored row and the one computed instead of it; the longest unused go first.

    Parameters
    ----------
    limit_bytes
        How much it may hold, `ENTRY_BYTES` counted for each entry.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._entries: OrderedDict[Any, tuple[bytes, bytes]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Any, stored: bytes, t_us: int) -> bytes | None:
        """Return the row that was computed for a key instead of this stored one, if it is exact at an instant."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry[0] != stored:
                return None
            self._entries.move_to_end(key)
        return entry[1] if exact_at(entry[1], t_us) else None

    def put(self, key: Any, stored: bytes, computed: bytes) -> None:
        """Keep the row that was computed for a key instead of the stored one, in place of any before."""
        with self._lock:
            self._held_bytes += _size((stored, computed)) - _size(self._entries.pop(key, None))
            self._entries[key] = stored, computed
            while self._held_bytes > self._limit_bytes:
                self._held_bytes -= _size(self._entries.popitem(last=False)[1])


def _size(entry: tuple[bytes, bytes] | None) -> int:
    return 0 if entry is None else ENTRY_BYTES + len(entry[0]) + len(entry[1])
