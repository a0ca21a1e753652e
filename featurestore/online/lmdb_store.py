"""``lmdb:/path``: the embedded store, a memory-mapped file that all processes of one machine share.

Readers never wait for the writer, nor it for them; a read sees the last commit of any process. A commit is synced to
disk before `LmdbStore.put_many` returns. LMDB allows one handle of a file in a process, so all stores of one path share
it; a process that was forked opens its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TypeVar, cast

import lmdb

from featurestore.foundation.durable_file import make_folder, sync_folder
from featurestore.online import commit_rules
from featurestore.online.base import CommitWrite, Put, PutReport
from featurestore.online.envelope import STAMP, stored_stamp
from featurestore.online.errors import OnlineStoreUnavailable
from featurestore.online.index_value import is_expired
from featurestore.online.keys import index_prefixes, view_prefixes

INITIAL_MAP_BYTES = 64 * 2**20
MAX_READERS = 1024

T = TypeVar("T")


class LmdbStore:
    """Keep values in an LMDB environment.

    Parameters
    ----------
    path
        The environment's folder, absolute; made if absent.
    initial_map_bytes
        Size of the map at first; it doubles whenever it is full.
    """

    def __init__(self, path: Path, initial_map_bytes: int = INITIAL_MAP_BYTES) -> None:
        self.name = f"lmdb:{path}"
        self._path = path
        self._initial_map_bytes = initial_map_bytes
        self._file: _SharedFile | None = _files.acquire(path, initial_map_bytes)
        self._swept_to = b""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of ``keys`` in order, all as of one commit."""
        return self._open().read(keys)

    def put_many(self, puts: Sequence[Put]) -> PutReport:
        """Store pairs in one synced transaction: after a crash all of them are there, or none."""
        written = self._open().write(lambda transaction: sum(_put(transaction, put) for put in puts))
        return PutReport(written, len(puts) - written)

    def apply(self, write: CommitWrite) -> int:
        """Store a commit in one synced transaction: after a crash all of it is there, or nothing."""
        return self._open().write(lambda transaction: commit_rules.apply_commit(_map(transaction), write, self.name))

    def raise_fence(self, source: str, epoch: int) -> None:
        """Let no lesser epoch write; see `OnlineStore.raise_fence`."""
        self._open().write(lambda transaction: commit_rules.raise_fence(_map(transaction), source, epoch, self.name))

    def put_values(self, pairs: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Store values as they are, in one synced transaction."""
        self._open().write(lambda transaction: commit_rules.put_values(_map(transaction), pairs))

    def sweep(self, now_us: int, limit: int) -> int:
        """Remove expired entries of event indexes; see `OnlineStore.sweep`. Writes only if it found one."""
        expired, self._swept_to = self._open().expired(self._swept_to, now_us, limit)
        if not expired:
            return 0
        return self._open().write(lambda transaction: commit_rules.remove_expired(_map(transaction), expired, now_us))

    def remove_view(self, view_digest: str) -> None:
        """Remove all that is stored of a view in one synced transaction."""
        self._open().write(lambda transaction: _remove(transaction, view_prefixes(view_digest)))

    def ping(self) -> None:
        """Return if the file can be read."""
        self._open().read([b"unskew"])

    def risk(self) -> str:
        """Return nothing: what is acknowledged is on the disk."""
        return ""

    def reader(self) -> LmdbReader:
        """Return a reader over the same file; it needs this store to stay open."""
        return LmdbReader(self)

    def close(self) -> None:
        """Let go of the file, which closes when no other store of the process holds it."""
        if self._file is not None and not self._file.inherited:
            _files.release(self._file)
        self._file = None

    def _open(self) -> _SharedFile:
        if self._file is None:
            raise OnlineStoreUnavailable("the store is closed", where=self.name)
        if self._file.inherited:
            self._file = _files.acquire(self._path, self._initial_map_bytes)
        return self._file


class LmdbReader:
    """Read an `LmdbStore` from an event loop, without ever suspending: a read takes about a microsecond."""

    def __init__(self, store: LmdbStore) -> None:
        self._store = store

    async def fetch(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of ``keys`` in order, all as of one commit."""
        return self._store.get_many(keys)

    async def aclose(self) -> None:
        """Nothing is held."""


class _SharedFile:
    """The process's one handle of a file, with the growth of its map.

    LMDB may resize the map only while no transaction of the process is under way: `_reading` is held by a read for as
    long as it lasts, `_writing` by the writer, and both while the size changes.
    """

    def __init__(self, path: Path, initial_map_bytes: int) -> None:
        self.path = path
        self.holders = 0
        self.inherited = False
        self._reading = Lock()
        self._writing = Lock()
        self._environment = self._guard(lambda: self._make(initial_map_bytes))

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        try:
            with self._reading, self._environment.begin() as transaction:
                return [transaction.get(key) for key in keys]
        except lmdb.Error:
            return self._guard(lambda: self._after_growth(lambda transaction: [*map(_map(transaction).get, keys)]))

    def expired(self, after: bytes, now_us: int, limit: int) -> tuple[list[bytes], bytes]:
        """Look at up to ``limit`` entries of event indexes behind a key; return the expired, and how far it came."""

        def look(transaction: lmdb.Transaction) -> tuple[list[bytes], bytes]:
            return _expired(transaction.cursor(), after, now_us, limit)

        try:
            with self._reading, self._environment.begin() as transaction:
                return look(transaction)
        except lmdb.Error:
            return self._guard(lambda: self._after_growth(look))

    def write(self, action: Callable[[lmdb.Transaction], T]) -> T:
        with self._writing:
            return self._guard(lambda: self._write_growing(action))

    def close(self) -> None:
        with self._writing, self._reading:
            self._environment.close()

    def abandon(self) -> None:
        """Close the child's copy of its parent's handle; LMDB leaves the parent's locks and readers alone."""
        self.inherited = True
        self._environment.close()

    def _make(self, initial_map_bytes: int) -> lmdb.Environment:
        make_folder(self.path)
        environment = lmdb.open(
            str(self.path), map_size=initial_map_bytes, max_readers=MAX_READERS, sync=True, metasync=True
        )
        sync_folder(self.path)
        environment.reader_check()
        return environment

    def _after_growth(self, action: Callable[[lmdb.Transaction], T]) -> T:
        """Adopt the map's size in case another process grew it, and read."""
        with self._writing, self._reading:
            self._environment.set_mapsize(0)
            with self._environment.begin() as transaction:
                return action(transaction)

    def _write_growing(self, action: Callable[[lmdb.Transaction], T]) -> T:
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    return action(transaction)
            except lmdb.MapFullError:
                self._resize(self._environment.info()["map_size"] * 2)
            except lmdb.MapResizedError:
                self._resize(0)

    def _resize(self, map_bytes: int) -> None:
        with self._reading:
            self._environment.set_mapsize(map_bytes)

    def _guard(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except (lmdb.Error, OSError) as error:
            raise OnlineStoreUnavailable(
                f"LMDB says: {error}",
                where=f"lmdb:{self.path}",
                mend="check that the folder can be written, the disk is not full, and the folder holds nothing else",
            ) from error


def _map(transaction: lmdb.Transaction) -> commit_rules.Values:
    """Return a transaction that writes as the rules of a commit speak to it; ours reads bytes, not buffers."""
    get = cast("Callable[[bytes], bytes | None]", transaction.get)
    return commit_rules.Values(get, transaction.put, transaction.delete)


def _bytes(value: bytes | memoryview | None) -> bytes:
    """Narrow the driver's type: a memoryview comes only from a transaction with buffers, which ours have not."""
    assert isinstance(value, bytes)
    return value


def _put(transaction: lmdb.Transaction, put: Put) -> bool:
    stored = transaction.get(put.row_key)
    if stored is not None and stored_stamp(_bytes(stored)) > put.row[STAMP]:
        return False
    transaction.put(put.row_key, put.row)
    if put.log is None:
        transaction.delete(put.log_key)
    else:
        transaction.put(put.log_key, put.log)
    return True


def _remove(transaction: lmdb.Transaction, prefixes: Sequence[bytes]) -> None:
    cursor = transaction.cursor()
    for prefix in prefixes:
        there = cursor.set_range(prefix)
        while there and _bytes(cursor.key()).startswith(prefix):
            there = cursor.delete()


def _expired(cursor: lmdb.Cursor, after: bytes, now_us: int, limit: int) -> tuple[list[bytes], bytes]:
    """Walk the indexes from behind a key; after the last entry, the way begins anew at ``b""``."""
    expired: list[bytes] = []
    looked_at = 0
    for prefix in index_prefixes():
        if after[: len(prefix)] > prefix:
            continue
        there = cursor.set_range(max(prefix, after + b"\0"))
        while there and cursor.key()[: len(prefix)] == prefix:
            if looked_at == limit:
                return expired, after
            looked_at, after = looked_at + 1, _bytes(cursor.key())
            if is_expired(_bytes(cursor.value()), now_us):
                expired.append(after)
            there = cursor.next()
    return expired, b""


class _SharedFiles:
    """The files that this process has open, by path, with how many stores hold each."""

    def __init__(self) -> None:
        self._open: dict[Path, _SharedFile] = {}
        self._lock = Lock()

    def acquire(self, path: Path, initial_map_bytes: int) -> _SharedFile:
        with self._lock:
            path = path.resolve()
            file = self._open.get(path)
            if file is None:
                file = self._open[path] = _SharedFile(path, initial_map_bytes)
            file.holders += 1
            return file

    def release(self, file: _SharedFile) -> None:
        with self._lock:
            file.holders -= 1
            if file.holders == 0:
                file.close()
                del self._open[file.path]

    def abandon(self) -> None:
        """Begin afresh in the child of a fork, in which another thread of the parent may have held the lock."""
        self._lock = Lock()
        for file in self._open.values():
            file.abandon()
        self._open.clear()


_files = _SharedFiles()
os.register_at_fork(after_in_child=_files.abandon)
