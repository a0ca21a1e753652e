"""Logs of keys that events keep coming for, decoded, within a bound of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from featurestore.online.base import OnlineStore
from featurestore.online.envelope import OLDEST, stored_stamp
from featurestore.online.key_log import Fetch, KeyLog
from featurestore.online.view_format import ViewFormat


@dataclass(slots=True)
class HeldKey:
    """One key of a view as the store has it.

    Attributes
    ----------
    row_key, log_key
        Where its row and log are.
    log
        Its log.
    stamp
        The packed stamp of its stored row; `OLDEST` if there is none.
    unstored
        Parts of the log, by suffix, that the store does not have yet, and which are looked up here meanwhile.
    nbytes
        What it counts for in the cache.
    """

    row_key: bytes
    log_key: bytes
    log: KeyLog
    stamp: bytes
    unstored: dict[bytes, bytes | None]
    nbytes: int = 0


class KeyCache:
    """The keys of one view, those used least recently forgotten first; for one thread.

    Parameters
    ----------
    form, store
        The view's format, and the store of its rows.
    floor_us
        From which instant on the log of a key without a row is exact: that of the view's base.
    limit_bytes
        What all its logs may take.
    """

    def __init__(self, form: ViewFormat, store: OnlineStore, floor_us: int, limit_bytes: int) -> None:
        self._form, self._store, self._floor_us, self._limit_bytes = form, store, floor_us, limit_bytes
        self._held: OrderedDict[bytes, HeldKey] = OrderedDict()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, keys: Sequence[bytes]) -> list[HeldKey]:
        """Return the keys as stored, those not held read in one fetch; they may be changed until `keep` or `forget`."""
        held = self._held
        missing = [key for key in keys if key not in held]
        if missing:
            self._read(missing)
        return [held[key] for key in keys]

    def keep(self, keys: Iterable[bytes]) -> None:
        """Hold the keys as they were changed, now that the store has them so; then forget what is beyond the bound."""
        for key in keys:
            entry = self._held[key]
            if entry.unstored:
                entry.unstored.clear()
            size = entry.log.nbytes
            self.nbytes += size - entry.nbytes
            entry.nbytes = size
            self._held.move_to_end(key)
        while self.nbytes > self._limit_bytes and self._held:
            self.nbytes -= self._held.popitem(last=False)[1].nbytes

    def forget(self, keys: Iterable[bytes]) -> None:
        """Forget keys, to read them again; harmless for those that are not held."""
        for key in keys:
            entry = self._held.pop(key, None)
            self.nbytes -= 0 if entry is None else entry.nbytes

    def _read(self, keys: Sequence[bytes]) -> None:
        at = [(self._form.keys.row(key), self._form.keys.log(key)) for key in keys]
        stored = self._store.get_many([part for pair in at for part in pair])
        for key, (row_key, log_key), row, log in zip(keys, at, stored[::2], stored[1::2], strict=True):
            self._held[key] = self._held_key(row_key, log_key, row, log)

    def _held_key(self, row_key: bytes, log_key: bytes, row: bytes | None, log: bytes | None) -> HeldKey:
        unstored: dict[bytes, bytes | None] = {}

        def fetch(parts: Sequence[bytes]) -> Sequence[bytes | None]:
            if all(part in unstored for part in parts):
                return [unstored[part] for part in parts]
            found = self._store.get_many([log_key + part for part in parts])
            return [unstored.get(part, stored) for part, stored in zip(parts, found, strict=True)]

        return HeldKey(row_key, log_key, self._log(row, log, fetch), stored_stamp(row), unstored)

    def _log(self, row: bytes | None, log: bytes | None, fetch: Fetch) -> KeyLog:
        codec = self._form.logs
        if row is None or stored_stamp(row) == OLDEST:
            return KeyLog.empty(codec, self._floor_us, fetch)
        if log is None:
            raise codec.mismatch("a row is stored without its log")
        if not codec.whole(log, stored_stamp(row)):
            raise codec.mismatch("a log and its row are of different commits")
        return KeyLog.read(codec, log, fetch)
