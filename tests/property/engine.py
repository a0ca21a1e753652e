"""Ask the engine and the oracle the same questions, and compare every answer bit for bit."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.foundation.clock import FixedClock
from featurestore.offline.base import OfflineStore, ViewFrame
from featurestore.offline.event_import import import_file
from featurestore.semantics.finalise import apply_ttl
from featurestore.semantics.status import Status
from featurestore.semantics.value import Column, column, identical
from tests.oracle import point_in_time as oracle
from tests.property.histories import History, Setting, arrow_table

Question = tuple[Any, int]


@dataclass
class Figures:
    """What a run compared."""

    histories: int = 0
    rows: int = 0
    values: int = 0
    began: float = field(default_factory=time.perf_counter)

    def __str__(self) -> str:
        seconds = time.perf_counter() - self.began
        return f"{self.histories} histories, {self.rows} rows, {self.values} values compared in {seconds:.1f} s"


def take_in(setting: Setting, histories: Sequence[History], root: Path) -> int:
    """Import histories commit by commit, and number their versions by the commits that were made; return the last."""
    made = 0
    serial = 0
    for s in sorted({row["s"] for history in histories for row in history.rows}):
        rows = [row for history in histories for row in history.rows if row["s"] == s]
        made += 1
        report = import_file(setting.source, arrow_table(setting, rows, serial), root, FixedClock(0))
        assert (report.sequence, report.rows) == (made, len(rows))
        serial += len(rows)
        for history in histories:
            for version in history.versions:
                version.s = made if version.s == s else version.s
    return made


def ask(store: OfflineStore, setting: Setting, questions: Sequence[Question], s: int) -> ViewFrame:
    """Return the engine's answers, TTL applied."""
    keys = column(setting.view.entity.dtype, [key for key, _ in questions])
    instants = np.array([t for _, t in questions], dtype=np.int64)
    frame = store.features_at(setting.view, keys, instants, s)
    columns: dict[str, Column] = {}
    statuses: dict[str, NDArray[np.uint8]] = {}
    for name, values in frame.columns.items():
        finalised = values, frame.statuses[name]
        columns[name], statuses[name] = apply_ttl(
            finalised, instants, frame.latest_event_us, frame.has_latest, setting.view.ttl_us
        )
    return ViewFrame(columns, statuses, frame.latest_event_us, frame.has_latest)


def check_against_oracle(
    store: OfflineStore, setting: Setting, histories: Sequence[History], s: int, figures: Figures
) -> ViewFrame:
    """Ask all questions of all histories at commit sequence ``s`` in one call, and compare with the oracle."""
    asked = [(history, question) for history in histories for question in history.questions]
    frame = ask(store, setting, [question for _, question in asked], s)
    told = {name: answers_of(frame, name) for name in frame.columns}
    for row, (history, (key, t)) in enumerate(asked):
        right = oracle.answers(history.versions, setting.oracle, key, t, s)
        assert list(right) == list(told)
        for name, wanted in right.items():
            found = told[name][row]
            assert found == (oracle.bits(wanted.value), wanted.status), (
                f"{name} of key {key!r} at {t}, s {s}: engine {found}, oracle {wanted}\n{_shown(setting, history)}"
            )
        latest = oracle.latest_event(history.versions, setting.oracle, key, t, s)
        engine_latest = int(frame.latest_event_us[row]) if frame.has_latest[row] else None
        assert engine_latest == latest, f"latest event of {key!r} at {t}, s {s}\n{_shown(setting, history)}"
    figures.rows += len(asked)
    figures.values += len(asked) * len(told)
    return frame


def check_same(left: ViewFrame, right: ViewFrame, rows: NDArray[np.int64] | None = None) -> None:
    """Check that two frames are bit for bit the same, the left one's ``rows`` taken first."""
    for name, values in left.columns.items():
        taken = values if rows is None else values.take(rows)
        statuses = left.statuses[name] if rows is None else left.statuses[name][rows]
        assert identical(taken, right.columns[name]).all(), name
        assert (statuses == right.statuses[name]).all(), name


def answers_of(frame: ViewFrame, name: str) -> list[tuple[Any, str]]:
    of = frame.columns[name]
    return list(zip(bits_of(of), (Status(mark).name.lower() for mark in frame.statuses[name]), strict=True))


def bits_of(of: Column) -> Iterable[Any]:
    """Give an engine's values in the form that `oracle.bits` gives the oracle's."""
    for value in of.to_pylist():
        if value is not None and of.dtype.scale is not None:
            yield Fraction(value, 10**of.dtype.scale)
        else:
            yield oracle.bits(value)


def _shown(setting: Setting, history: History) -> str:
    lines = [
        f"  s={v.s} {'gone ' if v.deleted else ''}{v.identity} event {v.event} known {v.available} {v.values}"
        for v in history.versions
    ]
    return f"{setting.view.describe()['where']} ttl {setting.view.ttl}\n" + "\n".join(lines)
