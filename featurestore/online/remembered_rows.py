"""Rows that were computed from logs, kept while there is room for them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from threading import Lock
from typing import Any, NamedTuple

from featurestore.online.row_codec import times

ENTRY_BYTES, ROW_BYTES = 320, 80
"""What an entry, and each row that was computed, takes besides the bytes, about."""


class _Entry(NamedTuple):
    """A stored row, the instants at which those computed instead of it begin and end, and these rows.

    Row i is exact from instant i - 1 until instant i; before the first instant and from the last on there is ``None``.
    """

    stored: bytes
    instants: Sequence[int]
    rows: Sequence[bytes | None]
    size: int


class RememberedRows:
    """A map from entity key to the stored row and those computed instead of it, of intervals one after the other.

    It is kept in two halves: what is read or put is in the newer one, and when that is full, it becomes the older one,
    and what was there, not asked for since, goes.

    Parameters
    ----------
    limit_bytes
        How much it may hold, `ENTRY_BYTES` and `ROW_BYTES` counted for each entry and computed row.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._half_bytes = limit_bytes // 2
        self._newer_bytes = 0
        self._newer: dict[Any, _Entry] = {}
        self._older: dict[Any, _Entry] = {}
        self._lock = Lock()

    def recall(
        self, keys: Sequence[Any], stored: Sequence[bytes | None], places: Sequence[int], t_us: int
    ) -> list[bytes | None]:
        """Return for each place of a read what was computed instead of its stored row, if it is exact at an instant."""
        newer = self._newer
        recalled: list[bytes | None] = []
        for place in places:
            key = keys[place]
            entry = newer.get(key) or self._older.get(key)
            if entry is None or entry[0] != stored[place]:
                recalled.append(None)
                continue
            if key not in newer:
                with self._lock:
                    self._hold(key, entry)
            recalled.append(entry[2][bisect_right(entry[1], t_us)])
        return recalled

    def knows(self, key: Any, stored: bytes) -> bool:
        """Tell whether rows were computed for a key instead of this stored one, of whatever instants."""
        entry = self._newer.get(key) or self._older.get(key)
        return entry is not None and entry.stored == stored

    def put(self, items: Iterable[tuple[Any, bytes, Sequence[bytes]]]) -> None:
        """Keep for each key the rows that were computed instead of its stored one, in place of any before.

        Each of a key's rows, but for the last, is exact until the next one is.
        """
        entries = [(key, _entry(stored, computed)) for key, stored, computed in items]
        with self._lock:
            for key, entry in entries:
                self._hold(key, entry)

    def _hold(self, key: Any, entry: _Entry) -> None:
        """Put an entry into the newer half; the caller has the lock."""
        size = entry.size
        if size > self._half_bytes:
            return
        before = self._newer.get(key)
        self._newer_bytes += size - (0 if before is None else before.size)
        if self._newer_bytes > self._half_bytes:
            self._older, self._newer, self._newer_bytes = self._newer, {}, size
        self._newer[key] = entry


def _entry(stored: bytes, computed: Sequence[bytes]) -> _Entry:
    size = ENTRY_BYTES + len(stored) + sum(map(len, computed)) + ROW_BYTES * len(computed)
    instants = [*times(computed[0])]
    instants += [times(row)[1] for row in computed[1:]]
    return _Entry(stored, instants, (None, *computed, None), size)
