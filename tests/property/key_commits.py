"""Random commits to one key of a view, and what its log should say: a plain list of all versions that ever were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from featurestore.semantics.aggregate import Aggregate, EventLog, Kind
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import Bool, Decimal, DType, Float32, Float64, Int64, String, Timestamp, column

COLUMNS: dict[str, DType] = {
    "amount": Decimal(2),
    "big": Int64,
    "flag": Bool,
    "kind": String,
    "ratio": Float64,
    "small": Float32,
    "when": Timestamp,
}
NUMERIC = ("amount", "big", "ratio", "small")
WINDOWS_US = (7, 40)
RETAINED_US = 60
"""Longest window plus lateness: what happened longer ago is not corrected any more."""
SLACK_US = 9
INT64 = st.integers(-(2**63), 2**63 - 1)
ITEMS = st.tuples(
    st.none() | st.integers(-99, 99) | st.integers(-(10**18) + 1, 10**18 - 1),
    st.none() | st.integers(-3, 3) | INT64,
    st.none() | st.booleans(),
    st.none() | st.sampled_from(["", "a", "b", "ä", "\U0001f600"]),
    st.none() | st.floats() | st.sampled_from([0.0, -0.0, 0.005, 0.125, 1e300, -1e17, 0.1]),
    st.none() | st.floats(width=32) | st.sampled_from([0.0, -0.0, 0.5]),
    st.none() | INT64,
)


def aggregates() -> list[Aggregate]:
    """Return every kind over every column it is defined on, for each window; sums at two scales."""
    found = [Aggregate(Kind.COUNT, None, None, window) for window in WINDOWS_US]
    for window in WINDOWS_US:
        for name, dtype in COLUMNS.items():
            kinds = set(Kind) if name in NUMERIC else set(Kind) - {Kind.SUM, Kind.MEAN, Kind.STD}
            scale = 2 if dtype.floating else None
            found += [Aggregate(kind, name, dtype, window, scale) for kind in sorted(kinds)]
        found.append(Aggregate(Kind.SUM, "ratio", Float64, window, 1))
    return found + [Aggregate(Kind.LAST, name, dtype, None) for name, dtype in COLUMNS.items()]


@dataclass
class Version:
    """One version as the model knows it."""

    event_us: int
    available_us: int
    leave_us: int
    number: int
    item: tuple[Any, ...]


@dataclass
class Commit:
    """What one commit brings: versions in total order, and the numbers of the events that it closes."""

    a: int
    new: list[Version]
    closed: list[int]

    @property
    def floor_us(self) -> int:
        return self.a - SLACK_US

    @property
    def forgotten_us(self) -> int:
        return self.a - RETAINED_US


@dataclass
class Model:
    """All versions that ever were."""

    versions: list[Version] = field(default_factory=list)

    def open_events(self, forgotten_us: int) -> list[int]:
        """Return the numbers of events that a later version may still end."""
        return sorted({v.number for v in self.versions if v.leave_us == NEVER_US and v.event_us >= forgotten_us})

    def take(self, commit: Commit) -> None:
        for version in self.versions:
            if version.number in commit.closed:
                version.leave_us = min(version.leave_us, commit.a)
        self.versions += commit.new

    def log(self) -> EventLog:
        return log_of(sorted(self.versions, key=lambda v: (v.event_us, v.available_us)))


def log_of(versions: Sequence[Version]) -> EventLog:
    """Return versions, in the order given, as a log."""
    event_us, available_us, leave_us = (
        np.array([getattr(v, part) for v in versions], dtype=np.int64)
        for part in ("event_us", "available_us", "leave_us")
    )
    columns = {name: column(dtype, [v.item[i] for v in versions]) for i, (name, dtype) in enumerate(COLUMNS.items())}
    return EventLog(event_us, available_us, leave_us, columns, np.array([v.number for v in versions], dtype=np.uint64))


@st.composite
def commit_to(draw: st.DrawFn, model: Model, after: int) -> Commit:
    """Draw the next commit: new events late, in time or dated ahead, with ties; corrections, and tombstones alone."""
    a = after + draw(st.integers(1, 25))
    known = model.open_events(a - RETAINED_US)
    closed = draw(st.lists(st.sampled_from(known), unique=True, max_size=3)) if known else []
    numbers = [number for number in closed if draw(st.booleans())]
    first = 1 + max((v.number for v in model.versions), default=0)
    numbers += range(first, first + draw(st.integers(0 if closed else 1, 4)))
    new = [Version(a + draw(st.integers(-70, 12)), a, NEVER_US, number, draw(ITEMS)) for number in numbers]
    for version in new:
        if draw(st.integers(0, 9)) == 9:
            version.leave_us = a  # replaced within its own commit: never to be seen
    return Commit(a, sorted(new, key=lambda v: v.event_us), closed)
