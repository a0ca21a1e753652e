"""Aggregate states at every position of a timeline."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.offline.point_in_time.extreme import greatest_inside, latest_row
from featurestore.offline.point_in_time.timeline import Integers, Timeline
from featurestore.semantics.aggregate import SUMMING, Aggregate, AggregateState, Kind, fixed_point
from featurestore.semantics.value import Column

SAFE_SUM = 2.0**62


class MovingStates:
    """The states of one view's aggregates along a timeline; what several aggregates share is computed once."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._rows = timeline.rows
        self._latest: Integers | None = None
        self._counts: dict[tuple[int, str | None], Integers] = {}
        self._fixed: dict[tuple[str, int], tuple[Integers, NDArray[np.bool_] | None]] = {}
        self._totals: dict[tuple[int, str, int, bool], NDArray[Any]] = {}

    def latest(self) -> Integers:
        """Return, per position, the row index of the latest visible version, -1 for none."""
        if self._latest is None:
            self._latest = latest_row(self._timeline)
        return self._latest

    def state(self, aggregate: Aggregate) -> AggregateState:
        """Return the aggregate's state at every position."""
        if aggregate.kind is Kind.LAST:
            return self._last(aggregate)
        window, name = _window(aggregate), aggregate.column
        n_events = self._count(window, None)
        if name is None:
            return AggregateState(n_events)
        n_valid = self._count(window, name)
        if aggregate.kind in SUMMING:
            return self._summed(aggregate, n_events, n_valid)
        if aggregate.kind is Kind.DISTINCT:
            return AggregateState(n_events, n_valid, n_distinct=self._distinct(window, self._rows.columns[name]))
        if aggregate.kind is Kind.COUNT:
            return AggregateState(n_events, n_valid)
        return AggregateState(n_events, n_valid, value=self._extreme(aggregate, window, self._rows.columns[name]))

    def _last(self, aggregate: Aggregate) -> AggregateState:
        latest = self.latest()
        inside = latest >= 0
        if aggregate.window_us is not None:
            inside = self._count(aggregate.window_us, None) > 0
        chosen = self._rows.columns[aggregate.column or ""].take(np.where(inside, latest, -1))
        return AggregateState(inside.astype(np.int64), value=chosen)

    def _count(self, window_us: int, name: str | None) -> Integers:
        if name is not None and not self._rows.columns[name].nulls.any():
            name = None
        if (window_us, name) not in self._counts:
            ones = np.ones(len(self._rows), dtype=np.int64)
            amounts = ones if name is None else (~self._rows.columns[name].nulls).astype(np.int64)
            self._counts[window_us, name] = self._timeline.running_sum(window_us, amounts)
        return self._counts[window_us, name]

    def _summed(self, aggregate: Aggregate, n_events: Integers, n_valid: Integers) -> AggregateState:
        window, name, scale = _window(aggregate), aggregate.column or "", aggregate.fixed_scale
        _, wrong = self._integers(name, scale)
        unrepresentable = None if wrong is None else self._timeline.running_sum(window, wrong.astype(np.int64))
        return AggregateState(
            n_events,
            n_valid,
            total=self._total(window, name, scale, squared=False),
            total_squares=self._total(window, name, scale, squared=True) if aggregate.kind is Kind.STD else None,
            n_unrepresentable=unrepresentable,
        )

    def _total(self, window_us: int, name: str, scale: int, *, squared: bool) -> NDArray[Any]:
        wanted = (window_us, name, scale, squared)
        if wanted not in self._totals:
            integers, _ = self._integers(name, scale)
            amounts = _squares(integers) if squared else _safely_summable(integers)
            self._totals[wanted] = self._timeline.running_sum(window_us, amounts)
        return self._totals[wanted]

    def _integers(self, name: str, scale: int) -> tuple[Integers, NDArray[np.bool_] | None]:
        if (name, scale) not in self._fixed:
            of = self._rows.columns[name]
            values, wrong = fixed_point(of.values, scale) if of.dtype.floating else (of.values, None)
            wrong = None if wrong is None or not wrong.any() else wrong & ~of.nulls
            self._fixed[name, scale] = (np.where(of.nulls, 0, values), wrong)
        return self._fixed[name, scale]

    def _extreme(self, aggregate: Aggregate, window_us: int, of: Column) -> Column:
        levels, ranks = _ranked(of)
        top = len(levels) - 1
        scores = ranks if aggregate.kind is Kind.MAX else top - ranks
        scores = np.where(of.nulls, -1, scores)
        best = greatest_inside(self._timeline, window_us, scores)
        chosen = best if aggregate.kind is Kind.MAX else np.where(best >= 0, top - best, -1)
        return Column(of.dtype, levels, np.zeros(len(levels), dtype=np.bool_)).take(chosen)

    def _distinct(self, window_us: int, of: Column) -> Integers:
        """Count islands, the unions of overlapping intervals of equal values, from first enter to last leave."""
        timeline, size = self._timeline, len(self._rows)
        rises, falls = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
        chosen = np.flatnonzero(timeline.seen[window_us] & ~of.nulls)
        if len(chosen):
            first, last = _islands(timeline, window_us, chosen, _ranked(of)[1])
            rises[first], falls[last] = 1, -1
        return timeline.stepped(window_us, rises, falls)


def _islands(timeline: Timeline, window_us: int, chosen: Integers, ranks: Integers) -> tuple[Integers, Integers]:
    """Return the rows at which the islands of one key and value begin, and those at which they end."""
    enters, leaves = timeline.enter[chosen], timeline.leave[window_us][chosen]
    codes = timeline.rows.codes[chosen]
    order = np.lexsort((enters, ranks[chosen], codes))
    enters, leaves, owners = enters[order], leaves[order], np.stack([codes[order], ranks[chosen][order]])
    begins = np.append(True, (owners[:, 1:] != owners[:, :-1]).any(axis=0))
    reach = running_max(leaves, begins)
    begins[1:] |= enters[1:] > reach[:-1]
    starts = np.flatnonzero(begins)
    island = np.cumsum(begins) - 1
    by_leave = np.lexsort((leaves, island))
    ends = by_leave[np.append(starts[1:], len(island)) - 1]
    return chosen[order[starts]], chosen[order[ends]]


def running_max(values: Integers, begins: NDArray[np.bool_]) -> Integers:
    """Return the running maximum, begun anew wherever ``begins`` is true."""
    levels, ranks = np.unique(values, return_inverse=True)
    group = np.cumsum(begins) - 1
    lifted = group * np.int64(len(levels)) + ranks
    return np.asarray(levels[np.maximum.accumulate(lifted) - group * np.int64(len(levels))])


def _ranked(of: Column) -> tuple[NDArray[Any], Integers]:
    """Return the distinct values in order (one zero, NaN last) and each row's index among them; nulls rank anyhow."""
    values = of.values + of.values.dtype.type(0) if of.dtype.floating else of.values
    levels, ranks = np.unique(values, return_inverse=True)
    return levels, ranks.astype(np.int64)


def _window(aggregate: Aggregate) -> int:
    if aggregate.window_us is None:
        raise ValueError(f"{aggregate.kind} over no window")
    return aggregate.window_us


def _safely_summable(integers: Integers) -> NDArray[Any]:
    """Return the integers, as Python ints if sums of them could leave int64."""
    safe = float(np.abs(integers.astype(np.float64)).sum()) < SAFE_SUM
    return integers if safe else integers.astype(np.object_)


def _squares(integers: Integers) -> NDArray[Any]:
    safe = float((integers.astype(np.float64) ** 2).sum()) < SAFE_SUM
    wide = integers if safe else integers.astype(np.object_)
    return np.asarray(wide * wide)
