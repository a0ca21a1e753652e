"""The committer: the one who makes commits of a source's events, by lease.

A step takes what waits in the stream, up to some thousand rows, and makes one **commit** (s, a) of it: s is the next
sequence of the source, a the instant stamped on all of its rows, later than every instant before.

1. ``record`` and ``c:<s>``: which entries the commit is made of, and which rows it leaves out;
2. the changed keys of every view: log and row at once, stamped (s, a);
3. the event index: each event's newest version;
4. ``applied``: this commit is the last one that is whole;
5. the stream is told that its entries are committed;
6. now and then, history gets the commits it lacks (`featurestore.ingestion.sink`), and the stream is trimmed.

1 to 4 are one `OnlineStore.apply`: one transaction, or on Redis a beginning of that order after a crash. What a crash
can fall between, and why nothing is lost or doubled:

- before 1: the stream has the entries and nothing else knows of them; they become this commit, or a larger one.
- in or after 1, before 4: ``record`` is ahead of ``applied``. The next committer reads the same entries again and makes
  the same commit, of the same (s, a) and without the same rows. A key that has it is told by its stamp and left alone;
  its log cannot get a version twice. The index is written only when all keys are, so where it tells of this very
  commit, all that the former version ended is ended already.
- after 4, before 5: the position that counts is the one in ``applied``; the stream is told again.
- between 5 and 6, or in 6: history ends at some s, and the records of the commits after it, with the stream that is
  trimmed only up to history, give the same rows as the first time. A manifest that was written is found at its s.

Rows that fail become dead letters before 1, under ids of their place in the stream, so a repeat adds none. A base that
was cut short (`featurestore.ingestion.bases`) is not in ``applied`` and is written again.

A committer that lost its lease may go on for a moment: its epoch is fenced out of the store before its successor reads
the first value, so none of 1 to 4 can be in part its own afterwards. What it may still write is history, of commits
that were applied: the same bytes as its successor's, and only one of the two is taken (`SequenceTaken`).

If the server of the online store loses what it acknowledged (Redis that does not sync always), the value of ``applied``
is not the one this committer left: it stops (`CommitterOvertaken`), and the next one starts from what there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic

from featurestore.definitions import FeatureView, Source
from featurestore.foundation.clock import EARLIEST_US, Clock
from featurestore.foundation.errors import IngestionError
from featurestore.ingestion.accept import EventForm
from featurestore.ingestion.bases import base_instant_us, fill_index, index_stands, missing_bases, write_base
from featurestore.ingestion.batch_rows import ViewRowsReader
from featurestore.ingestion.commit_maker import CommitMaker
from featurestore.ingestion.commit_record import AppliedRecord, CommitRecord, read_applied, read_commit, short_digests
from featurestore.ingestion.dead_letter import DeadLetters
from featurestore.ingestion.errors import EntriesGone, HistoryBehind, StreamDamaged, StreamReplaced
from featurestore.ingestion.event_index import EventIndex
from featurestore.ingestion.settings import IngestSettings
from featurestore.ingestion.sink import HistorySink, commit_entries
from featurestore.ingestion.stream.base import BEGINNING, EventStream, Lease
from featurestore.ingestion.stream_input import last_stream_input
from featurestore.ingestion.view_writer import ViewWriter
from featurestore.materialisation.materialise import MaterialisationReport
from featurestore.offline import snapshot
from featurestore.offline.base import OfflineStore
from featurestore.offline.commit_files import check_reading
from featurestore.offline.stream_mark import open_stream_mark
from featurestore.online.base import CommitWrite, OnlineStore
from featurestore.online.envelope import Stamp
from featurestore.online.keys import SourceKeys

SWEPT_ENTRIES = 1_000
"""Entries of the event index looked at in an idle moment."""


@dataclass(frozen=True, slots=True)
class OpeningReport:
    """What taking a source over meant.

    Attributes
    ----------
    redone
        Whether a half-made commit was made whole.
    flushed
        Commits of a predecessor that went to history.
    bases
        The views that were written from history.
    indexed
        Events written to the event index from history; 0 if it stood.
    """

    redone: bool
    flushed: int
    bases: tuple[MaterialisationReport, ...]
    indexed: int


class Committer:
    """Commit the events of one source; for one thread, but for `lease`.

    After an error of any method it is of no further use, but for `close`: what it knows of the stores may not be so.

    Parameters
    ----------
    source, views
        The source, and all views over it that are to follow it.
    stream, store, offline, offline_root
        Where events wait, where current values are, and where history is. They stay open when it closes.
    clock
        Gives the instants that commits are stamped with.
    dead_letters
        Where rows go that a view's SQL fails on.
    settings
        How to work.
    """

    def __init__(
        self,
        source: Source,
        views: Sequence[FeatureView],
        *,
        stream: EventStream,
        store: OnlineStore,
        offline: OfflineStore,
        offline_root: Path,
        clock: Clock,
        dead_letters: DeadLetters,
        settings: IngestSettings,
    ) -> None:
        self.source, self.views = source, tuple(views)
        self._stream, self._store, self._clock, self._settings = stream, store, clock, settings
        self._offline, self._root = offline, offline_root
        self._keys = SourceKeys(source.name)
        self._index = EventIndex(source, views, settings.lateness_us)
        self._reader = ViewRowsReader(source, EventForm(source), dead_letters)
        self._sink = HistorySink(
            source, stream, store, root=offline_root, clock=clock, rows_limit=settings.unflushed_rows
        )
        self._maker: CommitMaker | None = None
        self._flush_due = 0.0
        self.lease: Lease | None = None

    @property
    def applied(self) -> AppliedRecord:
        """How far it came."""
        return AppliedRecord(0, 0) if self._maker is None else self._maker.applied

    @property
    def flushed_s(self) -> int:
        """The last commit that history has."""
        return self._sink.flushed_s

    def open(self, *, rebuild: bool = False) -> OpeningReport | None:
        """Take the source over, bring all that a predecessor left to its end, and give every view a base.

        Parameters
        ----------
        rebuild
            Write all views and the event index anew, whatever the store holds of them; and give up commits that
            history lacks if nothing remembers them whole: what the stream has after history is committed anew then.

        Returns
        -------
        ``None`` while another holds the source's lease: nothing was done.

        Raises
        ------
        ImportRefused
            If history has the source with another identity, event timestamp, or type of a column.
        """
        if not self._take_over():
            return None
        check_reading(self.source, snapshot.latest(self._root, self.source))
        open_stream_mark(self._root, self.source, by=self._settings.owner)
        redone, flushed = self._recover(give_up=rebuild)
        bases, indexed = self._start(rebuild=rebuild)
        if self.applied.to != BEGINNING:
            self._stream.commit(self.applied.to)
        self._flush_due = monotonic() + self._settings.history_interval_s
        return OpeningReport(redone, flushed, tuple(bases), indexed)

    def step(self, wait_s: float) -> int:
        """Make a commit of what waits, or return after ``wait_s`` seconds; return how many rows it took in."""
        maker = self._open()
        if monotonic() >= self._flush_due or self._sink.rows >= self._settings.unflushed_rows:
            self._sink.begin()
            self._flush_due = monotonic() + self._settings.history_interval_s
        entries = self._stream.read(maker.applied.to, self._settings.commit_rows, wait_s)
        if not entries:
            self._store.sweep(self._clock.now_us(), SWEPT_ENTRIES)
            return 0
        commit, rows = maker.make(entries)
        self._sink.add(commit, rows)
        self._stream.commit(commit.to)
        return commit.rows

    def flush(self) -> None:
        """Write all commits so far to history; when it returns they are there."""
        self._open()
        self._sink.flush()

    def close(self) -> None:
        """Give the lease up and release what is held; what is not in history yet is for the next one to flush."""
        self._sink.close()
        self._reader.close()
        lease, self.lease, self._maker = self.lease, None, None
        if lease is not None:
            lease.release()

    def _open(self) -> CommitMaker:
        if self._maker is None:
            raise IngestionError("the committer is not open", where=f"source {self.source.name!r}", mend="open it")
        return self._maker

    def _take_over(self) -> bool:
        """Take the lease, and keep all former owners from writing."""
        (fence,) = self._store.get_many([self._keys.fence(self._keys.record)])
        above = 0 if fence is None else int(fence.split()[0])
        self.lease = self._stream.acquire(self._settings.owner, self._settings.lease_ttl_s, above=above)
        if self.lease is None:
            return False
        self._store.raise_fence(self.source.name, self.lease.epoch)
        return True

    def _recover(self, *, give_up: bool) -> tuple[bool, int]:
        """Bring the last commit to its end, and all commits to history; tell whether, and how many, that were."""
        record, applied = self._store.get_many([self._keys.record, self._keys.applied])
        history = self._offline.latest_sequence(self.source)
        begun, applied_record = read_commit(record), read_applied(applied)
        self._sink.resume(history)
        try:
            return self._go_on(begun, applied_record, history)
        except (EntriesGone, HistoryBehind, StreamDamaged, StreamReplaced):
            if not give_up:
                raise
            self._give_up(applied_record, history)
            return False, 0

    def _go_on(self, begun: CommitRecord | None, applied: AppliedRecord | None, history: int) -> tuple[bool, int]:
        if applied is None or applied.s < history:
            self._maker = self._making(self._after_history(applied, history), [])
            self._stream.read(self._maker.applied.to, 1, 0.0)
            return False, 0
        redo = begun is not None and begun.s == applied.s + 1
        self._index = self._index.of_filling(applied.filled_us)
        followed = () if redo and not index_stands(self._index, applied) else applied.views
        self._maker = self._making(applied, [view for view in self.views if view.row_digest[:16] in followed])
        self._add_unflushed(history + 1, applied.s)
        if begun is not None and redo:
            entries = commit_entries(self._stream, begun)
            self._sink.add(begun, self._maker.make_again(begun, entries))
        self._sink.flush()
        self._stream.read(self._maker.applied.to, 1, 0.0)
        return redo, self._maker.applied.s - history

    def _add_unflushed(self, first: int, last: int) -> None:
        for found in self._store.get_many([self._keys.commit(s) for s in range(first, last + 1)]):
            commit = read_commit(found)
            if commit is None:
                raise HistoryBehind(self.source.name, self._store.name, last, first - 1)
            self._sink.add(commit, None)

    def _after_history(self, applied: AppliedRecord | None, history: int) -> AppliedRecord:
        """Return where to go on if the store does not know of all commits that history has, or of none.

        A store that knows of some lost the others, and a stream in the same server may have lost what it had after
        them: it is read from there again, and what history has of it is told as duplicates.
        """
        said = last_stream_input(self._root, self.source)
        known = applied or AppliedRecord(0, EARLIEST_US, BEGINNING if said is None else said[0])
        a_us = known.a_us if said is None else max(said[1], known.a_us)
        return replace(known, s=history, a_us=a_us, views=(), filled_us=None)

    def _give_up(self, applied: AppliedRecord | None, history: int) -> None:
        """Forget the commits that history lacks, and go on in the stream where history ends.

        Where it is another stream, or an older copy of it, from its first entry on, so that nothing is passed over.
        """
        last = history if applied is None else applied.s
        self._store.put_values([(self._keys.commit(s), None) for s in range(history + 1, last + 2)])
        said = last_stream_input(self._root, self.source)
        to = BEGINNING if said is None else said[0]
        try:
            self._stream.read(to, 1, 0.0)
        except (StreamDamaged, StreamReplaced):
            to = BEGINNING
        self._maker = self._making(replace(self._after_history(applied, history), to=to), [])

    def _start(self, *, rebuild: bool) -> tuple[list[MaterialisationReport], int]:
        """Write the bases that are missing and the index if it does not stand, and note which views have all commits.

        What is to be written counts as missing from before its first change until all of it is there.
        """
        applied = self.applied
        missing = list(self.views) if rebuild else missing_bases(self.views, self._index, applied)
        unindexed = rebuild or not index_stands(self._index, applied)
        bases: list[MaterialisationReport] = []
        indexed = 0
        if missing or unindexed:
            self._write(_without(missing, applied, unindexed=unindexed))
            applied = replace(applied, a_us=self._open().next_instant())
            write = partial(write_base, root=self._root, as_of_us=applied.a_us, retention_us=self._index.retention_us)
            bases = [write(view, self._offline, self._store, rebuild=rebuild) for view in missing]
        if unindexed:
            self._index = self._index.of_filling(applied.a_us)
            indexed = self._fill_index(Stamp(applied.s, applied.a_us))
            applied = replace(applied, filled_us=applied.a_us, index_columns=self._index.columns)
        if rebuild:
            applied = replace(applied, beyond_retention=0)
        views = short_digests([view.row_digest for view in self.views])
        applied = replace(applied, views=views, retention_us=self._index.retention_us)
        if applied != self.applied:
            self._write(applied)
        self._maker = self._making(applied, self.views)
        return bases, indexed

    def _fill_index(self, stamp: Stamp) -> int:
        return fill_index(self.source, self._index, self._offline, self._store, epoch=self._epoch, stamp=stamp)

    def _write(self, applied: AppliedRecord) -> None:
        stamp = Stamp(applied.s, applied.a_us).pack()
        after = [(self._keys.record, None), (self._keys.applied, applied.pack())]
        self._store.apply(CommitWrite(self.source.name, self._epoch, stamp, [], [], [], after))

    def _making(self, applied: AppliedRecord, views: Sequence[FeatureView]) -> CommitMaker:
        share = self._settings.cache_bytes // max(len(views), 1)
        return CommitMaker(
            self.source,
            self._index,
            self._reader,
            self._store,
            self._clock,
            epoch=self._epoch,
            writers=[ViewWriter(view, self._store, base_instant_us(view, self._store), share) for view in views],
            applied=applied,
            taken_instants=self._offline.availables_after(self.source, applied.a_us),
        )

    @property
    def _epoch(self) -> int:
        return 0 if self.lease is None else self.lease.epoch


def _without(missing: Sequence[FeatureView], applied: AppliedRecord, *, unindexed: bool) -> AppliedRecord:
    """Return what is left of a record while these views, and the index or not, are being written."""
    out = short_digests([view.row_digest for view in missing])
    views = tuple(digest for digest in applied.views if digest not in out)
    return replace(applied, views=views, filled_us=None if unindexed else applied.filled_us)
