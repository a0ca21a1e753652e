"""Streams that are nasty on purpose: what is sent, committed, read and interrupted, in an order that a `Chooser` makes.

The rows are those of `tests.property.histories`; here they go one commit after another through a real committer into a
real online store, are sent again, corrected, moved to other keys and withdrawn, while keys are read at instants before,
at and long after the clock's, and the committer is stopped between any two of its steps and replaced by another. At
the end every read is held against the oracle at its own (t, s), and so is what the offline store says of it. Which row
was committed when is taken from the Parquet files, by the serial number that each row carries; in which order, and how
often, from what was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal as Exact
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from featurestore.definitions import FeatureService, FeatureView
from featurestore.foundation.clock import LATEST_US, SECOND, FixedClock, format_instant
from featurestore.ingestion.accept import EventForm
from featurestore.offline import snapshot
from featurestore.offline.duckdb_store import DuckDBStore
from featurestore.offline.event_import import import_file
from featurestore.online.base import OnlineStore
from featurestore.online.errors import NotMaterialised, ReadBeforeRow
from featurestore.retrieval.online_features import OnlineFeatures
from featurestore.semantics.finalise import apply_ttl
from featurestore.semantics.status import Status
from featurestore.semantics.value import Column, Timestamp, column
from tests.oracle import point_in_time as oracle
from tests.oracle.point_in_time import Version
from tests.property.histories import SERIAL, Chooser, History, Setting, arrow_table

READ_SLACK_US = 60 * SECOND


@dataclass
class Sent:
    """A row in the stream's order."""

    history: int
    version: Version
    serial: int


@dataclass
class Read:
    """What one key's read gave: values by their bits with statuses, by feature; s; age of the latest event."""

    history: int
    key: Any
    t: int
    s: int
    told: dict[str, tuple[Any, str]]


@dataclass
class Play:
    """One source, one view, several histories, and what happened so far."""

    setting: Setting
    histories: list[History]
    folder: Path
    clock: FixedClock
    sent: list[Sent] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    serials: int = 0
    imported: list[Version] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.form = EventForm(self.setting.source)
        self.features = OnlineFeatures(FeatureService("inputs", [self.setting.view]))
        self.waiting = [(n, v) for n, history in enumerate(self.histories) for v in history.versions]

    @property
    def entity(self) -> str:
        return self.setting.view.entity.name

    def import_some(self, count: int) -> None:
        """Take the first rows in by file, as one commit."""
        chosen, self.waiting = self.waiting[:count], self.waiting[count:]
        if not chosen:
            return
        rows = [version.values for _, version in chosen]
        report = import_file(
            self.setting.source, arrow_table(self.setting, rows, self.serials), self.folder, self.clock
        )
        assert report.rows == len(rows)
        self.serials += len(rows)
        for _, version in chosen:
            self.imported.append(replace(version, s=report.sequence))

    def payload(self, choose: Chooser, count: int) -> tuple[bytes, int]:
        """Choose rows to send, new ones and ones that were sent before, and return them as the stream takes them."""
        members: list[Sent] = []
        for _ in range(count):
            if self.sent and choose.integer(0, 7) == 7:
                members.append(choose.one(self.sent))
            elif self.waiting:
                n, version = self.waiting.pop(choose.integer(0, len(self.waiting) - 1) if choose.integer(0, 2) else 0)
                members.append(Sent(n, version, self.serials))
                self.serials += 1
        reading = self.form.read([_json(self.setting, each) for each in members])
        assert not reading.refused, reading.refused[:1]
        self.sent += members
        return reading.payload, len(members)

    def read(self, choose: Chooser, online: OnlineStore, opened_us: int) -> None:
        """Read all keys of one history at an instant near the clock's, or long after it."""
        n = choose.integer(0, len(self.histories) - 1)
        keys = self.histories[n].keys
        for t in self._instants(choose):
            try:
                read = self.features.read_blocking(online, {self.entity: keys}, t)
            except (ReadBeforeRow, NotMaterialised):
                assert t < opened_us, "a read after the stream was opened is refused"
                continue
            told = {name: _told(values, read.statuses[name]) for name, values in read.columns.items()}
            (sequences,) = read.sequences.values()
            for row, key in enumerate(keys):
                answers = {name: pairs[row] for name, pairs in told.items()}
                self.reads.append(Read(n, key, t, int(sequences[row]), answers))

    def _instants(self, choose: Chooser) -> Iterator[int]:
        now = self.clock.now_us()
        span = choose.one([0, *self.setting.spans_us])
        for t in (now, now + choose.integer(-3, 3), now + span + choose.integer(-2, 2), now - choose.integer(0, 10**6)):
            yield min(t, LATEST_US)

    def check(self, offline: DuckDBStore, view: FeatureView) -> int:
        """Hold history against what was sent, then every read against the oracle and the offline store.

        Returns the number of values compared with the oracle.
        """
        versions = self._versions(offline)
        for read in self.reads:
            right = oracle.answers(versions[read.history], self.setting.oracle, read.key, read.t, read.s)
            assert [f"{view.name}.{name}" for name in right] == list(read.told)
            for name, wanted in right.items():
                found = read.told[f"{view.name}.{name}"]
                assert found == (oracle.bits(wanted.value), wanted.status), (
                    f"{name} of {read.key!r} at t {read.t}, s {read.s}: {found}, oracle {wanted}\n"
                    + self._shown(versions[read.history])
                )
        self._check_offline(offline, view)
        return sum(len(read.told) for read in self.reads)

    def _check_offline(self, offline: DuckDBStore, view: FeatureView) -> None:
        if not self.reads:
            return
        keys = column(view.entity.dtype, [read.key for read in self.reads])
        instants = np.array([read.t for read in self.reads], dtype=np.int64)
        sequences = np.array([read.s for read in self.reads], dtype=np.int64)
        frame = offline.features_at_each(view, keys, instants, sequences)
        for name, values in frame.columns.items():
            finalised = apply_ttl(
                (values, frame.statuses[name]), instants, frame.latest_event_us, frame.has_latest, view.ttl_us
            )
            told = [read.told[f"{view.name}.{name}"] for read in self.reads]
            assert _told(*finalised) == told, name

    def _versions(self, offline: DuckDBStore) -> list[list[Version]]:
        """Return each history's versions with the commits they are in, once what is in the files is what was sent."""
        found = sorted(_stored(self.setting, self.folder), key=lambda row: (row["__commit"], row["__row"]))
        streamed = [row for row in found if row["__commit"] > max((v.s for v in self.imported), default=0)]
        wanted = list(self._once())
        assert [row[SERIAL] for row in streamed] == [each.serial for each in wanted], "not exactly once, in order"
        versions: list[list[Version]] = [[] for _ in self.histories]
        for version in self.imported:
            versions[self._history_of(version)].append(version)
        known = self.setting.source.available_column
        for row, each in zip(streamed, wanted, strict=True):
            available, s = row["__available_us"], row["__commit"]
            values = {**each.version.values, **({known: available} if known else {})}
            versions[each.history].append(replace(each.version, available=available, s=s, values=values))
        stamps = {row["__commit"]: row["__available_us"] for row in streamed}
        assert list(stamps.values()) == sorted(set(stamps.values())), "stamps ascend with the commits"
        return versions

    def _once(self) -> Iterator[Sent]:
        """Give what was sent without what equals the newest version of its event."""
        newest: dict[Any, int] = {}
        for each in self.sent:
            identity = each.history, each.version.identity
            if newest.get(identity) != each.serial:
                newest[identity] = each.serial
                yield each

    def _history_of(self, version: Version) -> int:
        return next(
            n for n, history in enumerate(self.histories) if any(v.values is version.values for v in history.versions)
        )

    def _shown(self, versions: Sequence[Version]) -> str:
        lines = [
            f"  s={v.s} {'gone ' if v.deleted else ''}{v.identity} event {v.event} known {v.available} {v.values}"
            for v in versions
        ]
        return f"{self.setting.view.describe()['where']} ttl {self.setting.view.ttl}\n" + "\n".join(lines)


def _stored(setting: Setting, root: Path) -> Iterator[dict[str, Any]]:
    for path in snapshot.latest(root, setting.source).paths:
        yield from pq.read_table(path, columns=[SERIAL, "__commit", "__row", "__available_us"]).to_pylist()


def _told(values: Column, statuses: Any) -> list[tuple[Any, str]]:
    scale = values.dtype.scale
    cells = values.to_pylist()
    bits = [oracle.bits(c) if scale is None or c is None else Fraction(c, 10**scale) for c in cells]
    return list(zip(bits, (Status(mark).name.lower() for mark in statuses), strict=True))


def _json(setting: Setting, each: Sent) -> dict[str, Any]:
    """Write a row as an application would; the column of availability is the store's to fill."""
    row = {**each.version.values, SERIAL: each.serial}
    row.pop(setting.source.available_column or "", None)
    return {name: _plain(setting, name, value) for name, value in row.items() if name in setting.source.schema}


def _plain(setting: Setting, name: str, value: Any) -> Any:
    if value is None:
        return None
    if setting.source.schema[name] == Timestamp:
        return format_instant(value)
    if isinstance(value, Exact):
        return str(value)
    if isinstance(value, float) and not np.isfinite(value):
        return "NaN" if np.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value
