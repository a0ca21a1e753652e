"""The way of commits into history: many of them as one manifest, by a thread beside the committer.

A commit is in the online store before it is here, and in the stream until history has it: after a crash its rows are
read from the stream again, with the record that the store keeps of it, and give the same bytes. The order of a flush:

1. the manifest, which makes the commits history;
2. the stream is trimmed;
3. the records go, in ascending order of s.

A crash after 1 or 2 leaves records of commits that history has: `HistorySink.resume` does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from featurestore.definitions import Source
from featurestore.foundation.clock import Clock
from featurestore.ingestion.accept import EventForm
from featurestore.ingestion.commit_record import CommitRecord, read_commit
from featurestore.ingestion.errors import EntriesGone
from featurestore.ingestion.stored_rows import history_table, row_table
from featurestore.ingestion.stream.base import Entry, EventStream
from featurestore.ingestion.stream_input import stream_input
from featurestore.offline.row_check import stored_schema
from featurestore.offline.stream_commit import append_commits
from featurestore.online.base import OnlineStore
from featurestore.online.keys import SourceKeys


@dataclass(frozen=True, slots=True)
class Unflushed:
    """A commit that history lacks, and its rows if they are in memory."""

    commit: CommitRecord
    rows: pa.Table | None


class HistorySink:
    """Write the commits of one source into history.

    Parameters
    ----------
    source, stream, store
        The source, where its events come from, and where the records of its commits are.
    root
        The offline store's folder.
    clock
        For the manifests' time of writing.
    rows_limit
        Rows of one manifest, but for a single commit of more.

    Attributes
    ----------
    flushed_s
        The last commit that history has.
    """

    def __init__(
        self, source: Source, stream: EventStream, store: OnlineStore, *, root: Path, clock: Clock, rows_limit: int
    ) -> None:
        self._source, self._stream, self._store = source, stream, store
        self._root, self._clock, self._rows_limit = root, clock, rows_limit
        self._form = EventForm(source)
        self._keys = SourceKeys(source.name)
        self._waiting: list[Unflushed] = []
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"history-{source.name}")
        self._writing: Future[CommitRecord] | None = None
        self.flushed_s = 0

    @property
    def rows(self) -> int:
        """Rows of the commits that history lacks."""
        return sum(each.commit.rows for each in self._waiting)

    def add(self, commit: CommitRecord, rows: pa.Table | None) -> None:
        """Take in a commit that was applied; ``rows`` is its `history_table`, or None to read the stream for it."""
        self._waiting.append(Unflushed(commit, rows))

    def resume(self, flushed_s: int) -> None:
        """Begin where history ends; trim and remove what a flush that was cut short has left."""
        self.flushed_s = flushed_s
        left: list[int] = []
        (found,) = self._store.get_many([self._keys.commit(flushed_s)])
        newest = read_commit(found)
        while found is not None:
            left.append(flushed_s - len(left))
            (found,) = self._store.get_many([self._keys.commit(flushed_s - len(left))])
        if newest is not None:
            self._finish(newest, left[::-1])

    def begin(self) -> None:
        """Have the commits that wait written, unless that is under way; raises what the last writing raised."""
        self._collect(wait=False)
        if self._writing is None and self._waiting:
            self._writing = self._writer.submit(self._write, self._part())

    def flush(self) -> None:
        """Write all commits; when it returns, history has them."""
        self._collect(wait=True)
        while self._waiting:
            self.begin()
            self._collect(wait=True)

    def close(self) -> None:
        """Let a writing end, and end the thread; nothing further is written."""
        self._writer.shutdown(wait=True)

    def _collect(self, *, wait: bool) -> None:
        if self._writing is None or not (wait or self._writing.done()):
            return
        writing, self._writing = self._writing, None
        last = writing.result()
        self.flushed_s = last.s
        self._waiting = [each for each in self._waiting if each.commit.s > last.s]

    def _part(self) -> list[Unflushed]:
        """Return the first commits that wait, of no more rows than one manifest may have."""
        total = 0
        part: list[Unflushed] = []
        for each in self._waiting:
            total += each.commit.rows
            if part and total > self._rows_limit:
                break
            part.append(each)
        return part

    def _write(self, part: Sequence[Unflushed]) -> CommitRecord:
        first, last = part[0].commit, part[-1].commit
        tables = [self._rows(each.commit) if each.rows is None else each.rows for each in part]
        table = pa.concat_tables(tables).combine_chunks() if tables else stored_schema(self._source).empty_table()
        read_from = stream_input(tuple(each.commit for each in part))
        append_commits(
            self._source, self._root, table, first=first.s, last=last.s, clock=self._clock, inputs=(read_from,)
        )
        self._finish(last, [each.commit.s for each in part])
        return last

    def _finish(self, last: CommitRecord, sequences: Sequence[int]) -> None:
        self._stream.trim(last.to)
        self._store.put_values([(self._keys.commit(s), None) for s in sequences])

    def _rows(self, commit: CommitRecord) -> pa.Table:
        """Read a commit's rows from the stream again."""
        columns = self._form.columns([entry.payload for entry in commit_entries(self._stream, commit)])
        kept = np.ones(commit.rows, dtype=np.bool_)
        kept[[*commit.duplicates, *commit.failed]] = False
        rows = row_table(self._source, self._form, columns, commit.a_us)
        return history_table(self._source, columns, rows, commit, np.flatnonzero(kept))


def commit_entries(stream: EventStream, commit: CommitRecord) -> list[Entry]:
    """Read the entries of a commit from the stream again.

    Raises
    ------
    EntriesGone
        If they are not all there.
    """
    found: list[Entry] = []
    at, left = commit.after, commit.rows
    while left > 0:
        read = [entry for entry in stream.read(at, left, 0.0) if entry.position <= commit.to]
        if not read:
            break
        found += read
        at, left = read[-1].position, left - sum(entry.rows for entry in read)
    if left or (found and at != commit.to):
        raise EntriesGone(stream.name, commit.s, commit.rows, commit.rows - left)
    return found
