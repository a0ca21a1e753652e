"""The embedded event stream: a folder of files that all processes of a machine append to and one reads."""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

from featurestore.foundation.clock import Clock, SystemClock
from featurestore.foundation.durable_file import sync_folder
from featurestore.ingestion.errors import BacklogFull, StreamDamaged, StreamUnavailable
from featurestore.ingestion.stream.base import Backlog, Entry
from featurestore.ingestion.stream.journal_format import (
    RECORD_HEAD_BYTES,
    SEGMENT_HEAD_BYTES,
    Place,
    damaged,
    parse_place,
    read_segment,
    records,
    replaced,
)
from featurestore.ingestion.stream.journal_lease import JournalLease, take_lease
from featurestore.ingestion.stream.journal_tail import JournalTail, segment_path, segment_starts

SEGMENT_BYTES = 64 * 2**20
LOOK_S = 0.25
"""How often a reader looks for itself, should another have heard the bell."""


class Journal:
    """Keep a source's events in ``folder``, made at the first use.

    An append writes under a lock that is held for microseconds, and then waits, together with whoever else appends, for
    one ``fdatasync``. A killed process leaves at most a record that is not whole and was acknowledged to nobody: the
    next appender cuts it. A reader returns only what is synced, so that nothing it has seen can be lost.

    Segments are removed whole: up to 64 MiB of what is trimmed stays. A failed sync fails all later appends of this
    object until it is closed, as the system may have dropped what it could not write. Not to be used across a fork.

    Parameters
    ----------
    source
        The source's name, for errors.
    backlog_limit_rows
        Rows that may wait to be committed.
    clock
        Says when entries are appended.
    segment_bytes
        Size from which on a file is full.
    """

    def __init__(
        self,
        folder: Path,
        source: str,
        *,
        backlog_limit_rows: int,
        clock: Clock | None = None,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.name = f"event stream of {source!r} in {folder}"
        self._folder = folder
        self._limit_rows = backlog_limit_rows
        self._clock = clock or SystemClock()
        self._tail = JournalTail(folder, segment_bytes)

    def append(self, payloads: Sequence[tuple[bytes, int]]) -> None:
        """Append payloads and return when they are on the disk; see `EventStream.append`."""
        given = [(payload, rows) for payload, rows in payloads if rows]
        if not given:
            return
        with self._guard():
            with self._tail.locked() as state:
                waiting = self._tail.place.total - _total(state.committed(), self._tail.place)
                new = sum(rows for _, rows in given)
                if waiting + new > self._limit_rows:
                    raise BacklogFull(self.name, new, waiting, self._limit_rows)
                self._tail.write(given, self._clock.now_us())
                group, end = self._tail.group, self._tail.place.offset
            group.reach(end)
            state.bell.ring()

    def read(self, after: str, rows_limit: int, wait_s: float) -> list[Entry]:
        """Return entries, which are on the disk; see `EventStream.read`."""
        place = parse_place(after, self.name) if after else None
        until = time.monotonic() + wait_s
        with self._guard():
            while True:
                found = self._entries(place, rows_limit) or self._unsynced_entries(place, rows_limit)
                left_s = until - time.monotonic()
                if found or left_s <= 0:
                    return found
                self._tail.state().bell.wait(min(left_s, LOOK_S))

    def commit(self, position: str) -> None:
        """Count entries up to ``position`` as committed, atomically."""
        with self._guard(), self._tail.locked() as state:
            place = self._own(position)
            if place.total > _total(state.committed(), place):
                state.set_committed(place)

    def trim(self, position: str) -> None:
        """Remove the segments of which all entries are at or before ``position``, but never the last segment."""
        with self._guard():
            with self._tail.locked():
                place = self._own(position)
            starts = segment_starts(self._folder)
            for start, following in pairwise(starts):
                if following - RECORD_HEAD_BYTES > place.offset:
                    return
                segment_path(self._folder, start).unlink(missing_ok=True)
                sync_folder(self._folder)  # so that a power cut leaves no hole between segments

    def backlog(self) -> Backlog:
        """Return how many rows wait; makes nothing where nothing was ever appended."""
        with self._guard():
            try:
                self._folder.stat()
            except FileNotFoundError:
                return Backlog(0, 0, 0)
            with self._tail.locked() as state:
                total, committed = self._tail.place.total, _total(state.committed(), self._tail.place)
            return Backlog(total - committed, total, committed)

    def acquire(self, owner: str, ttl_s: float, *, above: int = 0) -> JournalLease | None:
        """Take the lease; it is free at once when its holder's process dies. See `EventStream.acquire`."""
        with self._guard():
            return take_lease(self._folder, owner, ttl_s, above)

    def risk(self) -> str:
        """Return nothing: what is acknowledged is on the disk."""
        return ""

    def close(self) -> None:
        """Let go of the files."""
        self._tail.close()

    def _entries(self, place: Place | None, rows_limit: int) -> list[Entry]:
        synced = self._tail.state().synced()
        if synced is None:
            return []
        for _ in range(5):
            with suppress(FileNotFoundError):  # a segment was trimmed between the look and the opening
                return _entries_between(self._folder, place, synced, rows_limit, self.name)
        raise StreamUnavailable("its segments vanish while they are read", where=self.name, mend="try again")

    def _unsynced_entries(self, place: Place | None, rows_limit: int) -> list[Entry]:
        """Return what an appender has written and not synced, or not told; it is on the disk then."""
        with self._tail.locked() as state:
            end, group, synced = self._tail.place, self._tail.group, state.synced()
        if place is not None:
            self._check(place, end)
        if synced is not None and synced.generation == end.generation and synced.offset >= end.offset:
            return []
        group.reach(end.offset)
        return self._entries(place, rows_limit)

    def _own(self, position: str) -> Place:
        place = parse_place(position, self.name)
        self._check(place, self._tail.place)
        return place

    def _check(self, place: Place, end: Place) -> None:
        if place.generation != end.generation:
            raise replaced(str(place), self.name)
        if place.offset > end.offset:
            raise StreamDamaged(
                f"position {place} lies beyond its end, {end}: entries that were read are gone",
                where=self.name,
                mend="bring the folder back as it was; an older copy of it lacks events",
            )

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StreamUnavailable(
                f"the system says: {error}",
                where=self.name,
                mend="check that the folder can be written and the disk is not full, then start again",
            ) from error


def _total(committed: Place | None, of: Place) -> int:
    return committed.total if committed is not None and committed.generation == of.generation else 0


def _entries_between(folder: Path, place: Place | None, synced: Place, rows_limit: int, name: str) -> list[Entry]:
    """Return the entries behind ``place`` and up to ``synced``, up to a number of rows."""
    begin = 0 if place is None else place.offset
    starts = segment_starts(folder)
    starts = starts[max(0, bisect_right(starts, begin) - 1) :]
    found: list[Entry] = []
    rows, at = 0, max([begin, *starts[:1]])
    for start in starts:
        path = segment_path(folder, start)
        with _opened(path) as descriptor:
            segment = read_segment(descriptor, path)
            if place is not None and place.generation != segment.generation:
                raise replaced(str(place), name)
            if segment.generation != synced.generation or start >= synced.offset:
                return found
            if at < start:
                raise damaged(path, 0)
            at = max(at, start + SEGMENT_HEAD_BYTES)
            for record in records(descriptor, at - start, synced.offset - start):
                if found and rows + record.rows > rows_limit:
                    return found
                at = start + record.end
                if record.rows:
                    found.append(record.entry(segment))
                    rows += record.rows
            if at < min(synced.offset, start + os.fstat(descriptor).st_size):
                raise damaged(path, at - start)
    return found


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
