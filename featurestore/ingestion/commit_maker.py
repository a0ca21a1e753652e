"""Make commits: of entries that wait, or again of those of a commit that was begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.definitions import Source
from featurestore.foundation.clock import Clock
from featurestore.ingestion.accept import EventForm
from featurestore.ingestion.batch_rows import ViewRowsReader
from featurestore.ingestion.commit_record import AppliedRecord, CommitRecord, short_digests
from featurestore.ingestion.errors import CommitterOvertaken
from featurestore.ingestion.event_index import Entry as IndexEntry
from featurestore.ingestion.event_index import EventIndex, KnownEvent
from featurestore.ingestion.micro_batch import MicroBatch, Resolution
from featurestore.ingestion.settings import READ_SLACK_US
from featurestore.ingestion.stored_rows import history_table, row_table
from featurestore.ingestion.stream.base import Entry
from featurestore.ingestion.view_writer import Instants, NewestRows, ViewWriter, ended_versions, newest_of_view
from featurestore.offline.row_engine import RowsOfView
from featurestore.offline.row_sql import RowSqlFailed
from featurestore.online.base import CommitWrite, KeyChange, OnlineStore
from featurestore.online.errors import CommitConflict
from featurestore.online.keys import SourceKeys

CONFLICTS = 3
"""How often a commit is tried against keys that turn out to be of another stamp than they were."""


@dataclass(frozen=True, slots=True)
class _Planned:
    """A commit as it was decided, with all it needs.

    Attributes
    ----------
    known
        Per row, the newest version of its event before the commit.
    rows
        The batch's `row_table`.
    views
        Per view, its rows; indices are ordinals.
    late
        Ordinals of the newest versions that may correct an event which the index has forgotten.
    """

    commit: CommitRecord
    batch: MicroBatch
    resolution: Resolution
    known: Sequence[KnownEvent | None]
    rows: pa.Table
    views: Sequence[RowsOfView]
    late: NDArray[np.int64]


class CommitMaker:
    """Make the commits of one source into its online store; for one thread.

    Parameters
    ----------
    source, index, reader, store
        The source, its event index, who evaluates its views' rows, and where all is stored.
    clock
        Gives the instants that commits are stamped with.
    epoch
        That of the lease.
    writers
        One per view that is followed.
    applied
        The commit to go on from.
    taken_instants
        Instants at which rows of history become available, so that no commit may.
    """

    def __init__(
        self,
        source: Source,
        index: EventIndex,
        reader: ViewRowsReader,
        store: OnlineStore,
        clock: Clock,
        *,
        epoch: int,
        writers: Sequence[ViewWriter],
        applied: AppliedRecord,
        taken_instants: frozenset[int],
    ) -> None:
        self._source, self._index, self._reader, self._store = source, index, reader, store
        self._form = EventForm(source)
        self._keys = SourceKeys(source.name)
        self._clock, self._epoch, self._writers = clock, epoch, writers
        self._views = [writer.view for writer in writers]
        self._followed = short_digests([view.row_digest for view in self._views])
        self._taken_instants = taken_instants
        self.applied = applied

    def make(self, entries: Sequence[Entry]) -> tuple[CommitRecord, pa.Table]:
        """Make the next commit, of these entries; return it with what it adds to history.

        Raises
        ------
        CommitterOvertaken
            If the store does not hold the commit that was made last.
        OwnershipLost, OnlineStoreUnavailable
            If it cannot be made; whether any of it is stored is not known, and this maker is of no further use.
        """
        batch = MicroBatch(self._source, self._form, self._index, entries)
        planned = self._plan(batch, self._known(batch), entries[-1].position)
        self._reader.note_late(batch, planned.late, planned.commit.after)
        self._apply(planned, entries)
        return planned.commit, self._history(planned)

    def make_again(self, commit: CommitRecord, entries: Sequence[Entry]) -> pa.Table:
        """Make a commit that was begun before, the same one, of its entries; raises what `make` raises."""
        batch = MicroBatch(self._source, self._form, self._index, entries)
        known = self._known(batch)
        resolution = batch.resolved(commit.duplicates, commit.failed)
        rows = row_table(self._source, self._form, batch.columns, commit.a_us)
        views = self._view_rows(rows, resolution.kept)
        planned = _Planned(commit, batch, resolution, known, rows, views, self._late(batch, resolution, known, commit))
        self._apply(planned, entries)
        return self._history(planned)

    def next_instant(self) -> int:
        """Return the instant of the next commit: now, or later, after all before, and at none that history uses."""
        a_us = max(self._clock.now_us(), self.applied.a_us + 1)
        while a_us in self._taken_instants:
            a_us += 1
        return a_us

    @property
    def keys_cached(self) -> int:
        """Logs held in memory."""
        return sum(len(writer.cache) for writer in self._writers)

    def _known(self, batch: MicroBatch) -> list[KnownEvent | None]:
        """Look the batch's events up, and that the store still holds the last commit."""
        at = self._index.stored_keys(batch.identities)
        applied, *found = self._store.get_many([self._keys.applied, *at])
        if applied != self.applied.pack():
            raise CommitterOvertaken(
                f"the last commit of source {self._source.name!r} is not {self.applied.s} any more",
                where=self._store.name,
                mend="let the ingest program start again, which it does by itself; a Redis that restarts without "
                "`appendfsync always` loses what it acknowledged",
            )
        return list(map(self._index.read, found))

    def _plan(self, batch: MicroBatch, known: Sequence[KnownEvent | None], to: str) -> _Planned:
        """Decide the next commit: its instant, and the rows that it leaves out."""
        a_us, after = self.next_instant(), self.applied.to
        rows = row_table(self._source, self._form, batch.columns, a_us)
        resolution, views, failed = self._evaluated(batch, known, rows)
        self._reader.set_aside(batch, failed, after)
        commit = CommitRecord(
            self.applied.s + 1, a_us, after, to, len(batch), resolution.duplicates, tuple(sorted(failed))
        )
        return _Planned(commit, batch, resolution, known, rows, views, self._late(batch, resolution, known, commit))

    def _evaluated(
        self, batch: MicroBatch, known: Sequence[KnownEvent | None], rows: pa.Table
    ) -> tuple[Resolution, list[RowsOfView], dict[int, str]]:
        """Resolve the batch without the rows that fail in some view; a row may show only when others are gone."""
        failed: dict[int, str] = {}
        while True:
            resolution = batch.resolve(known, list(failed))
            try:
                return resolution, self._view_rows(rows, resolution.kept), failed
            except RowSqlFailed:
                found = self._failing(rows, resolution.kept)
                if not found:
                    raise
                failed |= found

    def _view_rows(self, rows: pa.Table, kept: NDArray[np.int64]) -> list[RowsOfView]:
        """Return each view's rows among the kept ones, by ordinal."""
        if len(kept) == len(rows):
            return self._reader.rows(self._views, rows)
        found = self._reader.rows(self._views, rows.take(pa.array(kept)))
        return [replace(each, index=kept[each.index]) for each in found]

    def _failing(self, rows: pa.Table, kept: NDArray[np.int64]) -> dict[int, str]:
        taken = rows.take(pa.array(kept))
        found = [self._reader.failing(view, taken) for view in self._views]
        return {int(kept[place]): reason for each in found for place, reason in each.items()}

    def _late(
        self,
        batch: MicroBatch,
        resolution: Resolution,
        known: Sequence[KnownEvent | None],
        commit: CommitRecord,
    ) -> NDArray[np.int64]:
        """Return the newest versions that are older than retention, or whose predecessor is."""
        forgotten_us = commit.a_us - self._index.retention_us
        newest = resolution.newest
        late = batch.event_us[newest] < forgotten_us
        for place, i in enumerate(newest.tolist()):
            before = known[i]
            if before is not None:
                late[place] = not before.deleted and before.event_us < forgotten_us
        return newest[late]

    def _apply(self, planned: _Planned, entries: Sequence[Entry]) -> None:
        commit = planned.commit
        lag_us = max(0, self._clock.now_us() - entries[0].appended_us)
        applied = self.applied.after(
            commit, views=self._followed, late=len(planned.late), keys_cached=self.keys_cached, lag_us=lag_us
        )
        keys = self._index.encoded_keys(planned.batch.columns, planned.resolution.newest)
        index = self._entries(planned, keys)
        packed = commit.pack()
        for attempt in range(CONFLICTS):
            write = CommitWrite(
                self._source.name,
                self._epoch,
                commit.stamp.pack(),
                [(self._keys.record, packed), (self._keys.commit(commit.s), packed)],
                self._changes(planned, keys),
                index,
                [(self._keys.applied, applied.pack())],
            )
            try:
                self._store.apply(write)
                break
            except CommitConflict:
                for writer in self._writers:
                    writer.forget()
                if attempt == CONFLICTS - 1:
                    raise
        for writer in self._writers:
            writer.keep()
        self.applied = applied

    def _changes(self, planned: _Planned, keys: dict[str, list[bytes | None]]) -> list[KeyChange]:
        commit, batch, newest = planned.commit, planned.batch, planned.resolution.newest
        instants = Instants(commit.a_us - READ_SLACK_US, commit.a_us - self._index.retention_us)
        place_of = np.full(len(batch), -1, dtype=np.int64)
        place_of[newest] = np.arange(len(newest))
        identity = [batch.columns[name].take(newest) for name in self._source.identity]
        newest_rows = NewestRows(batch.event_us[newest], batch.numbers[newest], identity)
        ended = self._ended(planned, keys)
        changes: list[KeyChange] = []
        for writer, rows in zip(self._writers, planned.views, strict=True):
            column = writer.view.key
            new = newest_of_view(rows, place_of[rows.index], keys[column], newest_rows)
            changes += writer.changes(new, ended_versions(ended, column), commit.stamp, instants)
        return changes

    def _ended(
        self, planned: _Planned, keys: dict[str, list[bytes | None]]
    ) -> list[tuple[dict[str, bytes | None], int]]:
        """Return, of each event that has a newer version now, where the one before stands, and its number.

        Of an event that the index may have forgotten, an older version is looked for under the key that it has now.
        """
        newest, numbers, late = planned.resolution.newest, planned.batch.numbers, frozenset(planned.late.tolist())
        ended: list[tuple[dict[str, bytes | None], int]] = []
        for place, i in enumerate(newest.tolist()):
            before = planned.known[i]
            if before is not None and not before.deleted:
                ended.append((dict(before.keys), int(numbers[i])))
            elif before is None and i in late:
                ended.append(({column: found[place] for column, found in keys.items()}, int(numbers[i])))
        return ended

    def _entries(self, planned: _Planned, keys: dict[str, list[bytes | None]]) -> list[IndexEntry]:
        batch, newest = planned.batch, planned.resolution.newest
        places = newest.tolist()
        return self._index.entries(
            self._index.stored_keys([batch.identities[i] for i in places]),
            [batch.contents[i] for i in places],
            batch.deleted[newest].tolist(),
            keys,
            event_us=batch.event_us[newest],
            a_us=planned.commit.a_us,
        )

    def _history(self, planned: _Planned) -> pa.Table:
        return history_table(self._source, planned.batch.columns, planned.rows, planned.commit, planned.resolution.kept)
