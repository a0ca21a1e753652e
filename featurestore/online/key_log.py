"""A key's log as the committer holds it: apply one commit after the other, and say what to write for each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from featurestore.foundation.clock import EARLIEST_US
from featurestore.online.envelope import Stamp
from featurestore.online.errors import RowFormatError
from featurestore.online.event_log import LogCodec, StoredLog
from featurestore.online.hot_log import HotLog, Retiling, SeenLog
from featurestore.online.tiles import GREATEST_ID, LEAST_ID, NUMBER, TileIndex
from featurestore.online.versions import EVENT, ID, LEAVE, Versions, Words, joined, worth_keeping
from featurestore.semantics.aggregate import EventLog

Fetch = Callable[[Sequence[bytes]], Sequence[bytes | None]]
"""Gives the stored values of part suffixes (`LogWrite.parts`) of the key that is being read."""


HELD_TILES = 8
"""Raw tiles that are kept of a hot key."""
NO_PARTS: Mapping[bytes, bytes | None] = MappingProxyType({})
_NOWHERE = np.empty(0, dtype=np.int64)
_NOT_ORDERED = 2**63
"""An instant after all there are."""


def _no_parts(suffixes: Sequence[bytes]) -> Sequence[bytes | None]:
    return [None] * len(suffixes)


class LogWrite(NamedTuple):
    """What a commit writes of a key's log.

    Attributes
    ----------
    log
        The bytes.
    append
        Whether they are appended to the stored log, or take its place.
    parts
        Values stored beside the log, by what is appended to the log's key; ``None`` to remove one.
    """

    log: bytes
    append: bool
    parts: Mapping[bytes, bytes | None]


class KeyLog:
    """The log of one key; not safe for threads.

    Attributes
    ----------
    floor_us
        The stored log is exact at any instant from this on, microseconds UTC.
    """

    __slots__ = (
        "_base", "_chunks", "_codec", "_fetch", "_index", "_last_us", "_n", "_ordered", "_raw", "_rows", "_texts",
        "_written", "floor_us",
    )  # fmt: skip

    def __init__(self, codec: LogCodec, head: Versions, found: StoredLog, fetch: Fetch) -> None:
        self._codec, self._fetch = codec, fetch
        self._hold(head)
        self._base, self._chunks = found.base, found.chunks
        self._index = found.tiles
        self._raw: OrderedDict[int, Versions] = OrderedDict()
        self._written: Mapping[int, Versions] = {}
        self.floor_us = found.floor_us

    @classmethod
    def read(cls, codec: LogCodec, stored: bytes, fetch: Fetch) -> KeyLog:
        """Read what is stored; ``fetch`` gets the parts of a hot key, now and later.

        Raises
        ------
        RowFormatError
            If the bytes are not a whole log of the view, or its versions are not numbered.
        """
        read = codec.read([stored])
        _check_numbered(codec, read.versions)
        return cls(codec, read.versions, read.logs[0], fetch)

    @classmethod
    def empty(cls, codec: LogCodec, floor_us: int, fetch: Fetch = _no_parts) -> KeyLog:
        """Return the log of a key that never had an event."""
        nothing = StoredLog(0, 0, floor_us, Stamp(0, floor_us).pack(), None)
        return cls(codec, codec.layout.empty, nothing, fetch)

    @property
    def nbytes(self) -> int:
        """About how much memory it takes, strings counted at 64 bytes each."""
        own = 512 + self._rows.nbytes + 64 * self._n * len(self._texts)
        if self._index is None:
            return own
        tiles = [*self._raw.values(), *self._written.values()]
        return own + self._index.words.nbytes + sum(of.words.nbytes + 64 * len(of) * len(of.texts) for of in tiles)

    @property
    def hot(self) -> bool:
        """Whether its older versions are in tiles: then `seen_at` is the way to see it."""
        return self._index is not None

    def event_log(self) -> EventLog:
        """Return all versions that can matter at any t >= `floor_us`, in total order; good until the next `apply`."""
        return self._codec.layout.unpack(self.versions())

    def versions(self) -> Versions:
        """Return what `event_log` does, as a matrix; of a hot key all tiles are read."""
        if self._index is None:
            return self._in_order()
        return joined([*(self._tile(tile) for tile in range(len(self._index))), self._in_order()]).in_order()

    def words(self) -> Words:
        """Return the matrix of `versions`, transposed, of a key that is not hot; good until the next `apply`."""
        return self._rows[: self._n] if self._last_us < _NOT_ORDERED else self._in_order().words.T

    def seen_at(self, t_us: int) -> SeenLog:
        """Return what a hot log comes to at an instant, reading the tiles that this needs."""
        log = HotLog(self._codec, self._index or self._no_tiles(), self._in_order())
        return log.seen_at(t_us, {tile: self._tile(tile) for tile in log.needed_at(t_us)})

    def apply(
        self,
        new: EventLog | Versions,
        closed: NDArray[np.uint64],
        stamp: Stamp,
        floor_us: int,
        forgotten_us: int,
    ) -> LogWrite:
        """Take in a commit and return what to write, all or nothing, before the next one is taken in.

        Until then the log can be seen as it will be; if it was not written, this log is not to be used any more.

        Parameters
        ----------
        new
            The commit's versions of this key, in total order, numbered.
        closed
            Numbers of events of which all versions so far leave at the stamp's instant. Of a hot key, one that is not
            in the head is looked for in every tile that may have its number.
        stamp
            Of the commit: (s, a).
        floor_us
            Reads at earlier instants will not be answered; a log written anew drops what matters to no later one.
        forgotten_us
            Of an event that happened before this nobody looks for a later version any more: it is there for good.
        """
        added = new if isinstance(new, Versions) else self._codec.layout.pack(new)
        _check_numbered(self._codec, added)
        self._written = {}
        places, elsewhere = self._close(closed.view(np.int64), stamp.as_of_us)
        changed = self._close_in_tiles(elsewhere, stamp.as_of_us)
        self._add(added)
        if self.may_append(0) and not changed:
            self._chunks += 1
            return LogWrite(self._codec.addition(added, places, stamp), True, NO_PARTS)
        return self._anew(Retiling(self._codec, stamp, max(self.floor_us, floor_us), forgotten_us), changed)

    def may_append(self, m: int) -> bool:
        """Tell whether a commit of ``m`` versions, and nothing else, would be appended to what is stored."""
        limits, n = self._codec.limits, self._n + m
        chunks = limits.chunks if self._index is None else limits.hot_chunks
        return 0 < self._chunks < chunks and n <= max(limits.hot_versions, 1) and n <= 2 * self._base + 1

    def append(self, rows: Words, first_us: int, last_us: int) -> None:
        """Take in a commit that `may_append` allows.

        Parameters
        ----------
        rows
            The versions as `words` has them.
        first_us, last_us
            Event timestamps of the first and the last of them.
        """
        self._written = {}
        self._put(rows, first_us, last_us)
        self._chunks += 1

    @property
    def _head(self) -> Versions:
        """The versions that are in no tile, in the order of storage."""
        return Versions(self._rows[: self._n].T, self._texts, True)

    def _hold(self, head: Versions) -> None:
        """Hold a head of one's own; it may stand in any order."""
        self._rows, self._texts, self._n = np.array(head.words.T, order="C"), head.texts, len(head)
        self._ordered: Versions | None = None
        self._last_us = _NOT_ORDERED if self._n else EARLIEST_US - 1

    def _add(self, added: Versions) -> None:
        if self._texts:
            self._texts = tuple(np.concatenate(of) for of in zip(self._texts, added.texts, strict=True))
        if len(added):
            self._put(added.words.T, int(added.words[EVENT, 0]), int(added.words[EVENT, -1]))
        self._ordered = None

    def _put(self, rows: Words, first_us: int, last_us: int) -> None:
        """Put versions behind the others, where there is room for more than them."""
        n = self._n
        self._n = end = n + len(rows)
        if end > len(self._rows):
            grown = np.empty((end + end // 2 + 4, self._rows.shape[1]), dtype=np.int64)
            grown[:n] = self._rows[:n]
            self._rows = grown
        self._rows[n:end] = rows
        self._ordered = None
        self._last_us = last_us if first_us > self._last_us else _NOT_ORDERED

    def _in_order(self) -> Versions:
        if self._ordered is None:
            head = self._head
            self._ordered = head if self._last_us < _NOT_ORDERED else head.in_order()
            if self._ordered is head and self._n:
                self._last_us = int(head.words[EVENT, -1])
        return self._ordered

    def _close(self, closed: Words, leave_us: int) -> tuple[NDArray[np.int64], Words]:
        """Close versions in the head; return the places of those that were open, and the numbers without one."""
        if not len(closed):
            return _NOWHERE, closed
        head = self._head
        places = _closed(head, closed, leave_us)
        return places, closed if self._index is None else np.setdiff1d(closed, head.words[ID, places])

    def _close_in_tiles(self, closed: Words, leave_us: int) -> dict[int, Versions]:
        """Close versions in tiles; return the tiles that have changed."""
        changed: dict[int, Versions] = {}
        if self._index is None or not len(closed):
            return changed
        words = self._index.words
        for tile in range(len(self._index) - 1, -1, -1):
            here = closed[(closed >= words[LEAST_ID, tile]) & (closed <= words[GREATEST_ID, tile])]
            if len(here):
                versions = self._tile(tile)
                versions = Versions(versions.words.copy(), versions.texts, versions.numbered)
                if len(_closed(versions, here, leave_us)):
                    changed[tile] = versions
        return changed

    def _anew(self, retiling: Retiling, changed: dict[int, Versions]) -> LogWrite:
        self.floor_us = floor_us = retiling.floor_us
        codec, stamp, parts = self._codec, retiling.stamp, NO_PARTS
        head = self._in_order()
        kept = worth_keeping(head, codec.longest_us, floor_us, retiling.forgotten_us)
        head = head if kept.all() else head.take(kept)
        if self._index is not None or len(head) > codec.limits.hot_versions:
            stay = len(head) if len(head) <= codec.limits.hot_versions else codec.limits.hot_versions // 4
            leaving = head.take(slice(0, len(head) - stay))
            tiled = retiling.apply(self._index or self._no_tiles(), changed, leaving, self._tile)
            index, parts, self._written = tiled.index, tiled.parts, tiled.written
            head = head.take(slice(len(head) - stay, len(head)))
            self._index = index if len(index) else None
        self._hold(head)
        self._ordered = self._head
        self._last_us = int(head.words[EVENT, -1]) if len(head) else EARLIEST_US - 1
        self._base, self._chunks = len(head), 1
        before = b"" if self._index is None else codec.index(self._index, stamp)
        return LogWrite(before + codec.base(head, stamp, floor_us), False, parts)

    def _no_tiles(self) -> TileIndex:
        return TileIndex(np.zeros((self._codec.summaries.rows, 0), dtype=np.int64), 0)

    def _tile(self, tile: int) -> Versions:
        """Return the raw versions of a tile; those that are yet to be written, and the last few read, are held."""
        index = self._index
        assert index is not None
        number = int(index.words[NUMBER, tile])
        if number in self._written:
            return self._written[number]
        if number not in self._raw:
            (part,) = self._fetch([index.suffix(tile)])
            if part is None or not index.is_of(tile, part):
                raise self._codec.mismatch("a tile of a hot key is not in the store, or not the one that is meant")
            self._raw[number] = self._codec.read([part]).versions
        self._raw.move_to_end(number)
        found = self._raw[number]
        if len(self._raw) > HELD_TILES:
            self._raw.popitem(last=False)
        return found


def _closed(versions: Versions, closed: Words, leave_us: int) -> NDArray[np.int64]:
    """Close the versions of some events; return the places of those that were open."""
    words = versions.words
    places = np.flatnonzero(np.isin(words[ID], closed) & (words[LEAVE] > leave_us))
    words[LEAVE, places] = leave_us
    return places


def _check_numbered(codec: LogCodec, versions: Versions) -> None:
    if not versions.numbered:
        raise RowFormatError(
            "event versions have no event numbers, so that no later version could end them",
            where=codec.where,
            mend="run `unskew backfill` to write the logs with them",
        )
