"""Bring a view's current values from the offline store to the online one.

Every entity key gets its row as of an instant T over the commits up to s, and, where the row will change by itself as
time passes, the log it is then computed from. What is written depends on (view, s, T) alone, so a run may be repeated,
killed and taken up again, or raced by another: the store ends with the same bytes, and never an older row over a newer.
What is newer is told within one history only: rows of another are refused (`featurestore.materialisation.history`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions.feature_view import FeatureView
from featurestore.foundation.clock import format_instant
from featurestore.foundation.errors import MaterialisationError
from featurestore.materialisation.history import HistoryMark
from featurestore.materialisation.ledger import BatchRecord, Ledger, Run, RunPlan
from featurestore.offline.base import OfflineStore, ViewRows
from featurestore.online.base import OnlineStore, Put
from featurestore.online.envelope import Stamp
from featurestore.online.key_log import KeyLog
from featurestore.online.keys import NOBODY
from featurestore.online.row_codec import FinalisedRows
from featurestore.online.view_format import ViewFormat
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import Column

BATCH_ROWS = 10_000
"""Entity keys in a batch, unless told otherwise."""
CONFIRMATIONS = 3
"""How often all is read back before a store is given up that loses rows again and again."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class MaterialisationReport:
    """What a run did.

    Attributes
    ----------
    view, sequence, as_of_us
        What was materialised: the view, the commit sequence s and the instant T, microseconds UTC.
    rows
        Entity keys whose row is in the store at this version or a newer one: all there are.
    logs
        Of these, those whose row changes by itself, and which have a log.
    skipped_newer
        Rows left alone because the store has a newer one.
    resumed
        Rows that an earlier attempt had written and that were found whole.
    readable_from_us
        The instant from which all keys can be read: later than ``as_of_us`` if the store has newer rows of this s.
    """

    view: str
    sequence: int
    as_of_us: int
    rows: int
    logs: int
    skipped_newer: int
    resumed: int
    readable_from_us: int

    def describe(self) -> dict[str, Any]:
        """Return it as plain data, with the instants also as text."""
        texts = {"as_of": format_instant(self.as_of_us), "readable_from": format_instant(self.readable_from_us)}
        return {**asdict(self), **texts}


def materialise(
    view: FeatureView,
    offline_store: OfflineStore,
    online_store: OnlineStore,
    as_of_us: int,
    ledger: Ledger,
    *,
    batch_rows: int = BATCH_ROWS,
    progress: Progress | None = None,
    rebuild: bool = False,
    keep_logs: bool = False,
    retention_us: int = 0,
) -> MaterialisationReport:
    """Write all rows of a view as of ``as_of_us``, over all that is committed now.

    Parameters
    ----------
    as_of_us
        The instant T, microseconds UTC; online reads are exact from it on, and refused before it.
    ledger
        Remembers what was acknowledged. A batch it has, of which all is found whole in the store, is skipped.
    batch_rows
        Entity keys computed and written at a time. The view's event versions are held in memory throughout.
    progress
        Called with (rows done, rows in all) at the start and after each batch.
    rebuild
        Remove first what the store holds of the view, of any history; meanwhile keys without a new row are refused.
    keep_logs
        For the owner of the source's stream, to build commits upon: every key gets its log, of history so far or none.
    retention_us
        With ``keep_logs``: how old an event may be that a later commit can still correct or withdraw. The logs have
        also what such a commit would bring to light.

    Raises
    ------
    ViewStreamed
        If the view follows a stream, whose owner alone writes its rows, and ``keep_logs`` does not tell him.
    AnotherHistory
        If the store holds rows that this history does not continue, and they are not to be removed.
    MaterialisationError
        If nothing was imported yet, ``batch_rows`` is no count, the ledger is damaged, or the store loses rows.
    """
    sequence = offline_store.latest_sequence(view.source)
    _check(view, batch_rows)
    if not keep_logs:
        _check_lean(view, offline_store, sequence)
    keys = offline_store.keys(view, sequence)
    plan = RunPlan(view.name, view.row_digest, sequence, as_of_us, len(keys), batch_rows, keep_logs)
    work = _Work(view, offline_store, online_store, plan.stamp, as_of_us - retention_us if keep_logs else None)
    history = HistoryMark(view, offline_store, online_store)
    records, resumed = [], 0
    with ledger.run(plan) as run:
        if rebuild:
            online_store.remove_view(view.row_digest)
        history.claim(plan.stamp)
        for batch, part in _batches(keys, batch_rows, progress):
            record = work.acknowledged(run, batch, part)
            resumed += 0 if record is None else len(part)
            records.append(record or work.write(run, batch, part))
        newest = history.claim(plan.stamp)
        work.confirm(run, keys)
        if history.check() is None:
            raise _losing(view, online_store)
        work.write_nobody()
        run.complete()
    return MaterialisationReport(
        view.name,
        sequence,
        as_of_us,
        rows=len(keys),
        logs=sum(record.logs for record in records),
        skipped_newer=sum(record.kept_newer for record in records),
        resumed=resumed,
        readable_from_us=newest.as_of_us,
    )


class ViewStreamed(MaterialisationError):
    """A view's rows are written by the owner of its source's stream, and by nobody else."""

    code = "view-streamed"


class _Work:
    """The stores, the view and the stamp of one run; with logs to commit upon, from when on events may be corrected."""

    def __init__(
        self,
        view: FeatureView,
        offline: OfflineStore,
        online: OnlineStore,
        stamp: Stamp,
        forgotten_us: int | None,
    ) -> None:
        self._view, self._offline, self._online, self._stamp = view, offline, online, stamp
        self._forgotten_us = forgotten_us
        self._format = ViewFormat(view)

    @cached_property
    def _history(self) -> ViewRows:
        """The view's rows of all keys, read when the first batch needs them."""
        return self._offline.view_rows(self._view, self._stamp.sequence)

    def acknowledged(self, run: Run, batch: int, keys: Column) -> BatchRecord | None:
        """Return the record of a batch that the ledger has, if the store still holds all of it, and nothing newer."""
        record = run.acknowledged.get(batch)
        found = [] if record is None else self._found(keys)
        return record if set(found) == {self._stamp.pack()} else None

    def confirm(self, run: Run, keys: Column) -> None:
        """Read all rows and logs back, and write again what the store has lost in between, by a restart or eviction.

        A key without a row would from now on be taken for one without events.
        """
        for _ in range(CONFIRMATIONS):
            lost = [
                (batch, part) for batch, part in _batches(keys, run.plan.batch_rows, None) if None in self._found(part)
            ]
            if not lost:
                return
            for batch, part in lost:
                self.write(run, batch, part)
        raise _losing(self._view, self._online)

    def _found(self, keys: Column) -> list[bytes | None]:
        """Return each key's packed stamp in the store; ``None`` where row or log are not whole, or older."""
        form, stamp = self._format, self._stamp.pack()
        encoded = [form.encode_key(key) for key in keys.to_pylist()]
        stored = self._online.get_many([at for key in encoded for at in (form.keys.row(key), form.keys.log(key))])
        pairs = zip(stored[::2], stored[1::2], strict=True)
        found = [form.whole_stamp(row, log, stamp) for row, log in pairs]
        if self._forgotten_us is None:
            return found
        logs = zip(found, stored[1::2], strict=True)
        return [packed if packed is not None and form.logs.whole(log, packed) else None for packed, log in logs]

    def write(self, run: Run, batch: int, keys: Column) -> BatchRecord:
        """Compute, store and record one batch."""
        logs, next_change_us = self._logs(keys)
        rows = self._rows(keys, next_change_us)
        encoded = [self._format.encode_key(key) for key in keys.to_pylist()]
        stored = self._format.keys
        puts = [
            Put(stored.row(key), row, stored.log(key), log) for key, row, log in zip(encoded, rows, logs, strict=True)
        ]
        report = self._online.put_many(puts)
        record = BatchRecord(batch, len(puts), sum(log is not None for log in logs), report.kept_newer)
        run.record(record)
        return record

    def write_nobody(self) -> None:
        """Store the row of absent keys: from now on the view counts as materialised."""
        row, form = self._format.nobody_row(self._stamp), self._format
        self._online.put_many([Put(form.nobody, row, form.keys.log(NOBODY), None)])

    def _logs(self, keys: Column) -> tuple[list[bytes | None], NDArray[np.int64]]:
        """Return each key's log, ``None`` where nothing changes by itself, and its row's next change."""
        if self._forgotten_us is not None:
            return self._whole_logs(keys, self._forgotten_us)
        as_of_us = self._stamp.as_of_us
        logs: list[bytes | None] = [None] * len(keys)
        next_change_us = np.full(len(keys), NEVER_US)
        for i, log in self._history.logs(keys, as_of_us):
            change_us = self._format.next_change_us(log, as_of_us)
            if change_us != NEVER_US:
                next_change_us[i] = change_us
                logs[i] = self._format.logs.encode(log, self._stamp)
        return logs, next_change_us

    def _whole_logs(self, keys: Column, forgotten_us: int) -> tuple[list[bytes | None], NDArray[np.int64]]:
        """Return what `_logs` does, with a log for every key; what is stored beside logs of many versions is stored."""
        form, as_of_us = self._format, self._stamp.as_of_us
        logs: list[bytes | None] = []
        next_change_us = np.empty(len(keys), dtype=np.int64)
        parts: list[tuple[bytes, bytes | None]] = []
        for i, log in self._history.logs(keys, min(as_of_us, forgotten_us)):
            key_log = KeyLog.empty(form.logs, as_of_us)
            write = key_log.apply(log, np.empty(0, dtype=np.uint64), self._stamp, as_of_us, forgotten_us)
            next_change_us[i] = form.next_change_us(log, as_of_us)
            logs.append(write.log)
            at = form.keys.log(form.encode_key(keys.values[i : i + 1].tolist()[0])) if write.parts else b""
            parts += [(at + suffix, value) for suffix, value in write.parts.items()]
        if parts:
            self._online.put_values(parts)
        return logs, next_change_us

    def _rows(self, keys: Column, next_change_us: NDArray[np.int64]) -> list[bytes]:
        instants_us = np.full(len(keys), self._stamp.as_of_us, dtype=np.int64)
        frame = self._history.features_at(keys, instants_us)
        names = [feature.name for feature in self._view.features]
        rows = FinalisedRows(
            columns=[frame.columns[name] for name in names],
            statuses=[frame.statuses[name] for name in names],
            latest_event_us=frame.latest_event_us,
            has_latest=frame.has_latest,
            valid_from_us=instants_us,
            next_change_us=next_change_us,
        )
        return self._format.rows.encode(rows, self._stamp)


def _batches(keys: Column, batch_rows: int, progress: Progress | None) -> Iterator[tuple[int, Column]]:
    total = len(keys)
    for batch, start in enumerate(range(0, total, batch_rows)):
        if progress is not None:
            progress(start, total)
        end = min(start + batch_rows, total)
        yield batch, Column(keys.dtype, keys.values[start:end], keys.nulls[start:end])
    if progress is not None:
        progress(total, total)


def _losing(view: FeatureView, online: OnlineStore) -> MaterialisationError:
    return MaterialisationError(
        "rows that were acknowledged are gone from the store, or damaged",
        where=f"feature view {view.name!r} in the online store {online.name}",
        mend="let the store run on and evict nothing (Redis: maxmemory-policy noeviction), and run it again",
    )


def _check(view: FeatureView, batch_rows: int) -> None:
    if batch_rows < 1:
        where = f"feature view {view.name!r}"
        raise MaterialisationError(f"a batch of {batch_rows} rows", where=where, mend="ask for 1 or more")


def _check_lean(view: FeatureView, offline: OfflineStore, sequence: int) -> None:
    where = f"feature view {view.name!r}"
    if offline.is_streamed(view.source):
        raise ViewStreamed(
            f"its rows follow the events of source {view.source.name!r}, whose stream is open",
            where=where,
            mend=f"nothing is needed while the ingest program runs; to write them anew: "
            f"`unskew backfill {view.name} --rebuild`",
        )
    if sequence == 0:
        raise MaterialisationError(
            f"nothing was imported into its source {view.source.name!r}", where=where, mend="run `unskew import` first"
        )
