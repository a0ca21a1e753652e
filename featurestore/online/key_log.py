"""A key's log as the committer holds it: apply one commit after the other, and say what to write for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurestore.online.envelope import Stamp
from featurestore.online.errors import RowFormatError
from featurestore.online.event_log import LogCodec
from featurestore.online.versions import ID, LEAVE, Versions, joined, worth_keeping
from featurestore.semantics.aggregate import EventLog

Fetch = Callable[[Sequence[bytes]], Sequence[bytes | None]]
"""Gives the stored values of part suffixes (`LogWrite.parts`) of the key that is being read."""


@dataclass(frozen=True, slots=True)
class LogWrite:
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

    __slots__ = ("_base", "_chunks", "_codec", "_ordered", "_versions", "floor_us")

    def __init__(self, codec: LogCodec, versions: Versions, base: int, chunks: int, floor_us: int) -> None:
        self._codec = codec
        self._versions = versions
        self._ordered: Versions | None = None
        self._base, self._chunks = base, chunks
        self.floor_us = floor_us

    @classmethod
    def read(cls, codec: LogCodec, stored: bytes, fetch: Fetch) -> KeyLog:
        """Read what is stored; ``fetch`` gets the parts of a hot key.

        Raises
        ------
        RowFormatError
            If the bytes are not a whole log of the view, or its versions are not numbered.
        """
        read = codec.read([stored])
        _check_numbered(codec, read.versions)
        found = read.logs[0]
        return cls(codec, read.versions, found.base, found.chunks, found.floor_us)

    @classmethod
    def empty(cls, codec: LogCodec, floor_us: int) -> KeyLog:
        """Return the log of a key that never had an event."""
        return cls(codec, codec.layout.empty, 0, 0, floor_us)

    @property
    def nbytes(self) -> int:
        """About how much memory it takes, strings counted at 64 bytes each."""
        return 512 + self._versions.words.nbytes + 64 * len(self._versions) * len(self._versions.texts)

    def event_log(self) -> EventLog:
        """Return all versions that can matter at any t >= `floor_us`, in total order; good until the next `apply`."""
        return self._codec.layout.unpack(self.versions())

    def versions(self) -> Versions:
        """Return what `event_log` does, as a matrix."""
        if self._ordered is None:
            self._ordered = self._versions.in_order()
        return self._ordered

    def apply(
        self,
        new: EventLog | Versions,
        closed: NDArray[np.uint64],
        stamp: Stamp,
        floor_us: int,
        forgotten_us: int,
    ) -> LogWrite:
        """Take in a commit and return what to write; what is written before the next one is all or nothing.

        Parameters
        ----------
        new
            The commit's versions of this key, in total order, numbered.
        closed
            Numbers of events of which all versions so far leave at the stamp's instant.
        stamp
            Of the commit: (s, a).
        floor_us
            Reads at earlier instants will not be answered; a log written anew drops what matters to no later one.
        forgotten_us
            Of an event that happened before this nobody looks for a later version any more: it is there for good.
        """
        added = new if isinstance(new, Versions) else self._codec.layout.pack(new)
        _check_numbered(self._codec, added)
        places = self._close(closed, stamp.as_of_us)
        self._versions = joined([self._versions, added])
        self._ordered = None
        if self._chunks and self._chunks < self._codec.limits.chunks and len(self._versions) <= 2 * self._base + 1:
            self._chunks += 1
            return LogWrite(self._codec.addition(added, places, stamp), True, {})
        return self._anew(stamp, floor_us, forgotten_us)

    def _close(self, closed: NDArray[np.uint64], leave_us: int) -> NDArray[np.int64]:
        """Close the versions of some events; return the places of those that were open."""
        if not len(closed) or not len(self._versions):
            return np.empty(0, dtype=np.int64)
        words = self._versions.words
        of_them = np.isin(words[ID], closed.view(np.int64)) & (words[LEAVE] > leave_us)
        places = np.flatnonzero(of_them)
        words[LEAVE, places] = leave_us
        return places

    def _anew(self, stamp: Stamp, floor_us: int, forgotten_us: int) -> LogWrite:
        self.floor_us = max(self.floor_us, floor_us)
        versions = self.versions()
        kept = worth_keeping(versions, self._codec.longest_us, self.floor_us, forgotten_us)
        self._versions = self._ordered = versions if kept.all() else versions.take(kept)
        self._base, self._chunks = len(self._versions), 1
        return LogWrite(self._codec.base(self._versions, stamp, self.floor_us), False, {})


def _check_numbered(codec: LogCodec, versions: Versions) -> None:
    if not versions.numbered:
        raise RowFormatError(
            "event versions have no event numbers, so that no later version could end them",
            where=codec.where,
            mend="run `unskew backfill` to write the logs with them",
        )
