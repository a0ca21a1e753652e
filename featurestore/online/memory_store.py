"""``memory://``: the reference store, a dict within one process, gone when the process ends."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from featurestore.online import commit_rules
from featurestore.online.base import CommitWrite, Put, PutReport
from featurestore.online.envelope import STAMP, stored_stamp
from featurestore.online.keys import VIEW_PREFIX_BYTES, is_index_key, view_prefixes


class MemoryStore:
    """Keep values in a dict behind a lock.

    Parameters
    ----------
    name
        The store's URL, for reports.
    """

    def __init__(self, name: str = "memory://") -> None:
        self.name = name
        self._values: dict[bytes, bytes] = {}
        self._map = commit_rules.Values(
            self._values.get, self._values.__setitem__, lambda key: self._values.pop(key, None)
        )
        self._lock = Lock()
        self._unswept: list[bytes] = []

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of ``keys`` in order, ``None`` where there is none."""
        with self._lock:
            return [self._values.get(key) for key in keys]

    def put_many(self, puts: Sequence[Put]) -> PutReport:
        """Store pairs, all at once; see `OnlineStore.put_many`."""
        with self._lock:
            written = sum(self._put(put) for put in puts)
        return PutReport(written, len(puts) - written)

    def apply(self, write: CommitWrite) -> int:
        """Store a commit, all at once; see `OnlineStore.apply`."""
        with self._lock:
            return commit_rules.apply_commit(self._map, write, self.name)

    def raise_fence(self, source: str, epoch: int) -> None:
        """Let no lesser epoch write; see `OnlineStore.raise_fence`."""
        with self._lock:
            commit_rules.raise_fence(self._map, source, epoch, self.name)

    def put_values(self, pairs: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Store values as they are, all at once."""
        with self._lock:
            commit_rules.put_values(self._map, pairs)

    def sweep(self, now_us: int, limit: int) -> int:
        """Remove expired entries of event indexes; see `OnlineStore.sweep`."""
        with self._lock:
            if not self._unswept:
                self._unswept = [key for key in self._values if is_index_key(key)]
            looked_at = [self._unswept.pop() for _ in range(min(limit, len(self._unswept)))]
            return commit_rules.remove_expired(self._map, looked_at, now_us)

    def remove_view(self, view_digest: str) -> None:
        """Remove all that is stored of a view, all at once."""
        prefixes = frozenset(view_prefixes(view_digest))
        with self._lock:
            for key in [key for key in self._values if key[:VIEW_PREFIX_BYTES] in prefixes]:
                del self._values[key]

    def ping(self) -> None:
        """Return at once."""

    def risk(self) -> str:
        """Return nothing: it lives as long as the process."""
        return ""

    def reader(self) -> MemoryReader:
        """Return a reader over the same dict."""
        return MemoryReader(self)

    def close(self) -> None:
        """Keep the contents: another part of the process may hold the store too."""

    def _put(self, put: Put) -> bool:
        if stored_stamp(self._values.get(put.row_key)) > put.row[STAMP]:
            return False
        self._values[put.row_key] = put.row
        if put.log is None:
            self._values.pop(put.log_key, None)
        else:
            self._values[put.log_key] = put.log
        return True


class MemoryReader:
    """Read a `MemoryStore` from an event loop, without ever suspending."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def fetch(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of ``keys`` in order, ``None`` where there is none."""
        return self._store.get_many(keys)

    async def aclose(self) -> None:
        """Nothing is held."""
