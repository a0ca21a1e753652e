"""Aggregates as integer states, and the states of one key computed from its log of event versions.

An engine's whole duty is to fill an `AggregateState`; `featurestore.semantics.finalise` alone turns it into a value.
The point-in-time join fills states for a whole spine, this module fills them for one key at one instant, from the log
that the online store keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.foundation.errors import SemanticsError
from featurestore.semantics.interval import NEVER_US, enters
from featurestore.semantics.value import Column, DType, Float64, Int64, null_column

UNREPRESENTABLE = 2.0**62
"""A float whose fixed-point form is beyond this (or NaN, or infinite) makes sums over it NaN."""


class Kind(StrEnum):
    """What an aggregate computes over the events of its window."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    STD = "std"
    LAST = "last"
    DISTINCT = "distinct"


SUMMING = frozenset({Kind.SUM, Kind.MEAN, Kind.STD})
COUNTING = frozenset({Kind.COUNT, Kind.DISTINCT})
CHOOSING = frozenset({Kind.MIN, Kind.MAX, Kind.LAST})


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One aggregate over one window of one column.

    Attributes
    ----------
    kind
        What is computed.
    column
        The column it is computed over; ``None`` only for a count of events.
    input
        That column's type.
    window_us
        The window's length W in microseconds: events of ``(t - W, t]``; ``None``, for `Kind.LAST` alone, for no window.
    scale
        Decimals kept of a summed float column; a decimal column has its own.
    """

    kind: Kind
    column: str | None
    input: DType | None
    window_us: int | None
    scale: int | None = None

    @property
    def output(self) -> DType:
        """The value's type: sums of integers are integers, all other sums, means and deviations ``float64``."""
        if self.kind in COUNTING:
            return Int64
        if self.input is None:
            raise SemanticsError(f"{self.kind} needs a column")
        if self.kind in CHOOSING:
            return self.input
        return Int64 if self.kind is Kind.SUM and self.input == Int64 else Float64

    @property
    def fixed_scale(self) -> int:
        """Decimals of the integers that are summed: 0 for integers, the type's own for decimals."""
        if self.input is not None and self.input.scale is not None:
            return self.input.scale
        return self.scale or 0


@dataclass(frozen=True, slots=True)
class AggregateState:
    """What finalising needs, one entry per row; a part that the aggregate does not use is ``None``.

    Attributes
    ----------
    n_events
        Visible events in the window, null values included, int64.
    n_valid
        Of these, events whose value is not null, int64.
    total, total_squares
        Exact sums of the fixed-point integers and of their squares: int64, or object holding Python ints where
        int64 could overflow. Unrepresentable values are left out.
    n_unrepresentable
        Non-null values without a fixed-point form, int64; ``None`` for integer and decimal columns.
    value
        Minimum, maximum or last value.
    n_distinct
        Distinct non-null values, int64.
    """

    n_events: NDArray[np.int64]
    n_valid: NDArray[np.int64] | None = None
    total: NDArray[Any] | None = None
    total_squares: NDArray[Any] | None = None
    n_unrepresentable: NDArray[np.int64] | None = None
    value: Column | None = None
    n_distinct: NDArray[np.int64] | None = None

    def take(self, indices: NDArray[np.int64]) -> AggregateState:
        """Return the rows at ``indices``."""
        return AggregateState(
            self.n_events[indices],
            _taken(self.n_valid, indices),
            _taken(self.total, indices),
            _taken(self.total_squares, indices),
            _taken(self.n_unrepresentable, indices),
            None if self.value is None else self.value.take(indices),
            _taken(self.n_distinct, indices),
        )


@dataclass(frozen=True, slots=True)
class EventLog:
    """The versions of one key's events, ascending in the total order ``(event_timestamp, available_at, event_id)``.

    A version is visible at t when ``enter_us <= t < leave_us``; it is in a window of length W when also
    ``event_us > t - W``. Tombstones are not in the log: they only end the versions before them.

    Attributes
    ----------
    event_us, available_us, leave_us
        When it happened, when it could first be seen, and when a later version of its event took its place
        (`NEVER_US`: never), microseconds UTC, int64.
    columns
        The values that aggregates are computed over.
    ids
        A number per version that tells its event, uint64, alike for all versions of one event; ``None`` where nobody
        will have to find an event again.
    """

    event_us: NDArray[np.int64]
    available_us: NDArray[np.int64]
    leave_us: NDArray[np.int64]
    columns: Mapping[str, Column]
    ids: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self.event_us)

    @property
    def enter_us(self) -> NDArray[np.int64]:
        """When each version becomes visible: ``max(event_timestamp, available_at)``."""
        return enters(self.event_us, self.available_us)


def fixed_point(values: NDArray[Any], scale: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return floats as integers of ``scale`` decimals, and which of them have no such form.

    The form of x is ``rint(x * 10**scale)``: one IEEE 754 double product, rounded half to even. For a double that
    is the nearest one to a decimal of that scale, this is that decimal, up to 15 digits.
    """
    with np.errstate(all="ignore"):
        scaled = np.rint(values.astype(np.float64) * 10.0**scale)
        fine = np.abs(scaled) <= UNREPRESENTABLE
    return np.where(fine, scaled, 0.0).astype(np.int64), ~fine


def state_at(log: EventLog, aggregate: Aggregate, t_us: int) -> AggregateState:
    """Return the state at instant ``t_us``, of length 1."""
    inside = _visible(log, t_us)
    if aggregate.window_us is not None:
        inside &= log.event_us > t_us - aggregate.window_us
    n_events = _one(int(inside.sum()))
    if aggregate.column is None:
        return AggregateState(n_events)
    chosen = log.columns[aggregate.column]
    if aggregate.kind is Kind.LAST:
        return AggregateState(n_events, value=chosen.take(_last_index(inside)))
    valid = inside & ~chosen.nulls
    values = chosen.values[valid]
    n_valid = _one(int(valid.sum()))
    if aggregate.kind in SUMMING:
        return _summed(aggregate, values, n_events, n_valid)
    if aggregate.kind is Kind.DISTINCT:
        return AggregateState(n_events, n_valid, n_distinct=_one(len(set(_comparable(values)))))
    if aggregate.kind is Kind.COUNT:
        return AggregateState(n_events, n_valid)
    return AggregateState(n_events, n_valid, value=_extreme(aggregate, chosen.dtype, values))


def latest_event_us(log: EventLog, t_us: int) -> int | None:
    """Return the event timestamp of the latest visible event at ``t_us``, whatever its age; ``None`` without one."""
    index = int(_last_index(_visible(log, t_us))[0])
    return None if index < 0 else int(log.event_us[index])


def next_change_us(log: EventLog, windows_us: Iterable[int], t_us: int) -> int:
    """Return the first instant after ``t_us`` at which a version enters or leaves the view or one of the windows.

    `NEVER_US` if there is none. The passing of a TTL is no change: it is applied at the read.
    """
    enter_us = log.enter_us
    seen = enter_us < log.leave_us
    edges = [enter_us[seen], log.leave_us[seen]]
    for window_us in windows_us:
        out = log.event_us + window_us
        edges.append(out[(enter_us < out) & (out < log.leave_us)])
    instants = np.concatenate(edges)
    later = instants[instants > t_us]
    return int(later.min()) if len(later) else NEVER_US


def _visible(log: EventLog, t_us: int) -> NDArray[np.bool_]:
    return np.asarray((log.enter_us <= t_us) & (t_us < log.leave_us))


def _last_index(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    found = np.flatnonzero(inside)
    return _one(int(found[-1]) if len(found) else -1)


def _summed(
    aggregate: Aggregate, values: NDArray[Any], n_events: NDArray[np.int64], n_valid: NDArray[np.int64]
) -> AggregateState:
    unrepresentable = None
    if aggregate.input is not None and aggregate.input.floating:
        values, wrong = fixed_point(values, aggregate.fixed_scale)
        unrepresentable = _one(int(wrong.sum()))
    integers = values.tolist()
    squares = sum(integer * integer for integer in integers) if aggregate.kind is Kind.STD else None
    return AggregateState(
        n_events,
        n_valid,
        total=_big(sum(integers)),
        total_squares=None if squares is None else _big(squares),
        n_unrepresentable=unrepresentable,
    )


def _extreme(aggregate: Aggregate, dtype: DType, values: NDArray[Any]) -> Column:
    if not len(values):
        return null_column(dtype, 1)
    if dtype.floating:
        nan = np.isnan(values)
        pool = values[~nan] + dtype.storage.type(0)
        use_nan = bool(nan.any()) if aggregate.kind is Kind.MAX else bool(nan.all())
        chosen = np.nan if use_nan else (pool.max() if aggregate.kind is Kind.MAX else pool.min())
    else:
        chosen = max(values.tolist()) if aggregate.kind is Kind.MAX else min(values.tolist())
    return Column(dtype, np.array([chosen], dtype=dtype.storage), np.zeros(1, dtype=np.bool_))


def _comparable(values: NDArray[Any]) -> list[Any]:
    """Return values among which equal ones are ``==`` and hash alike: one NaN, one zero."""
    return ["nan" if value != value else value for value in values.tolist()]  # noqa: PLR0124 - NaN alone differs from itself


def _taken(part: NDArray[Any] | None, indices: NDArray[np.int64]) -> NDArray[Any] | None:
    return None if part is None else part[indices]


def _one(value: int) -> NDArray[np.int64]:
    return np.array([value], dtype=np.int64)


def _big(value: int) -> NDArray[Any]:
    if -(2**63) <= value < 2**63:
        return _one(value)
    held = np.empty(1, dtype=np.object_)
    held[0] = value
    return held
