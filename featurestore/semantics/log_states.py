"""The states of many keys' logs, each at its own instant, in a few NumPy operations.

`featurestore.semantics.aggregate.state_at` says for one log what is meant, and the two are tested equal; here the
versions of all logs stand in one array, cut by bounds, and what aggregates share (who is visible, who is in a window,
fixed-point forms, sums) is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from featurestore.semantics.aggregate import SUMMING, Aggregate, AggregateState, EventLog, Kind, fixed_point
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import Column, null_column

SAFE_SUM = 2**62
"""Sums whose parts cannot reach this in absolute value are made in int64, others in Python's integers."""

Instants = int | NDArray[np.int64]
_T = TypeVar("_T")


class LogBatch:
    """The logs of n keys, one after the other.

    Attributes
    ----------
    log
        All their versions; event numbers are left out.
    bounds
        Log i is ``[bounds[i], bounds[i + 1])`` of it.
    """

    __slots__ = ("bounds", "log")

    def __init__(self, log: EventLog, bounds: NDArray[np.int64]) -> None:
        self.log = log
        self.bounds = bounds

    @classmethod
    def of(cls, logs: Sequence[EventLog]) -> LogBatch:
        """Put logs of the same columns together; there is at least one."""
        bounds = np.zeros(len(logs) + 1, dtype=np.int64)
        np.cumsum([len(log.event_us) for log in logs], out=bounds[1:])
        columns = {
            name: Column(
                first.dtype,
                np.concatenate([log.columns[name].values for log in logs]),
                np.concatenate([log.columns[name].nulls for log in logs]),
            )
            for name, first in logs[0].columns.items()
        }
        instants = (
            np.concatenate([log.event_us for log in logs]),
            np.concatenate([log.available_us for log in logs]),
            np.concatenate([log.leave_us for log in logs]),
        )
        return cls(EventLog(*instants, columns), bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def repeated(self, times: int) -> LogBatch:
        """Return all logs, and then all of them again, so many times in all."""
        many, size = LogBatch.of([self.log] * times), len(self.log)
        bounds = (np.arange(times)[:, None] * size + self.bounds[:-1]).ravel()
        return LogBatch(many.log, np.append(bounds, times * size))


Logs = Sequence[EventLog] | LogBatch


def states_at(logs: Logs, aggregates: Sequence[Aggregate], t_us: Instants) -> list[AggregateState]:
    """Return per aggregate the states of all logs, each of length n.

    Parameters
    ----------
    logs
        At least one.
    t_us
        One instant, or one per log, microseconds UTC.
    """
    at = LogsAt(logs, t_us)
    return [at.state(aggregate) for aggregate in aggregates]


def latest_at(logs: Logs, t_us: Instants) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the event timestamp of each log's latest visible event, 0 where there is none, and whether there is."""
    return LogsAt(logs, t_us).latest()


def next_changes_us(logs: Logs, windows_us: Iterable[int], t_us: Instants) -> NDArray[np.int64]:
    """Return per log what `featurestore.semantics.aggregate.next_change_us` does."""
    return LogsAt(logs, t_us).next_changes_us(windows_us)


class LogsAt:
    """Logs, each seen at its instant; what is computed of them once is kept."""

    def __init__(self, logs: Logs, t_us: Instants) -> None:
        batch = logs if isinstance(logs, LogBatch) else LogBatch.of(logs)
        self._log, self._bounds = batch.log, batch.bounds
        self._enter_us = self._log.enter_us
        self._t_us = t_us if isinstance(t_us, (int, np.integer)) else np.repeat(t_us, np.diff(batch.bounds))
        self._kept: dict[Any, Any] = {}

    def state(self, aggregate: Aggregate) -> AggregateState:
        """Return the states of one aggregate."""
        inside = self._inside(aggregate.window_us)
        if aggregate.column is None:
            return AggregateState(inside.counts)
        chosen = self._log.columns[aggregate.column]
        if aggregate.kind is Kind.LAST:
            return AggregateState(inside.counts, value=chosen.take(inside.last()))
        valid = self._valid(aggregate.window_us, aggregate.column)
        if aggregate.kind in SUMMING:
            return self._summed(aggregate, inside, valid)
        if aggregate.kind is Kind.DISTINCT:
            return AggregateState(inside.counts, valid.counts, n_distinct=self._distinct(aggregate, valid))
        if aggregate.kind is Kind.COUNT:
            return AggregateState(inside.counts, valid.counts)
        return AggregateState(inside.counts, valid.counts, value=_extreme(aggregate, chosen, valid))

    def latest(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return what `latest_at` does."""
        last = self._inside(None).last()
        there = last >= 0
        latest_us = np.zeros(len(last), dtype=np.int64)
        latest_us[there] = self._log.event_us[last[there]]
        return latest_us, there

    def next_changes_us(self, windows_us: Iterable[int]) -> NDArray[np.int64]:
        """Return what `next_changes_us` does."""
        return self._soonest_after(self._edges(windows_us), self._t_us)

    def next_instants_us(self, windows_us: Iterable[int], count: int) -> NDArray[np.int64]:
        """Return per log its instant and the changes after it, one after the other, shape ``(count, n)``.

        `NEVER_US` stands where there is no further change.
        """
        edges, sizes = self._edges(windows_us), np.diff(self._bounds)
        instants = np.empty((count, len(sizes)), dtype=np.int64)
        instants[0] = self._t_us
        for step in range(1, count):
            instants[step] = self._soonest_after(edges, np.repeat(instants[step - 1], sizes))
        return instants

    def _edges(self, windows_us: Iterable[int]) -> NDArray[np.int64]:
        """Return the instants at which versions enter or leave, one row each; those that do not count are long past."""
        enter_us, leave_us = self._enter_us, self._log.leave_us
        edges, seen = [enter_us], enter_us < leave_us
        past = np.int64(-(2**63))
        if (leave_us != NEVER_US).any():
            edges.append(leave_us)
        if not seen.all():
            edges = [np.where(seen, edge, past) for edge in edges]
        for window_us in windows_us:
            out = self._log.event_us + window_us
            counts = (enter_us < out) & (out < leave_us)
            edges.append(out if counts.all() else np.where(counts, out, past))
        return np.stack(edges)

    def _soonest_after(self, edges: NDArray[np.int64], t_us: Instants) -> NDArray[np.int64]:
        """Return each log's first edge after an instant, one for all versions or one for each."""
        soonest = np.where(edges > t_us, edges, NEVER_US).min(axis=0)
        return _Selection(None, self._bounds).reduced(np.minimum, soonest, NEVER_US)

    @cached_property
    def _visible(self) -> NDArray[np.bool_]:
        return np.asarray((self._enter_us <= self._t_us) & (self._t_us < self._log.leave_us))

    def _inside(self, window_us: int | None) -> _Selection:
        """Return the versions that are visible, and in the window if there is one."""
        return self._once(("inside", window_us), lambda: self._find_inside(window_us))

    def _find_inside(self, window_us: int | None) -> _Selection:
        if window_us is None:
            return _Selection.of(self._visible, self._bounds)
        return _Selection.of(self._visible & (self._log.event_us > self._t_us - window_us), self._bounds)

    def _valid(self, window_us: int | None, name: str) -> _Selection:
        """Return of the versions inside those whose value is not null."""
        return self._once(("valid", window_us, name), lambda: self._find_valid(window_us, name))

    def _find_valid(self, window_us: int | None, name: str) -> _Selection:
        inside, nulls = self._inside(window_us), self._log.columns[name].nulls
        return inside.without(nulls) if nulls.any() else inside

    def _summed(self, aggregate: Aggregate, inside: _Selection, valid: _Selection) -> AggregateState:
        integers, wrong, largest = self._once(
            ("fixed", aggregate.column, aggregate.fixed_scale), lambda: self._fixed_point(aggregate)
        )
        of = (aggregate.window_us, aggregate.column, aggregate.fixed_scale)
        squares = None
        if aggregate.kind is Kind.STD:
            squares = self._once(("squares", of), lambda: valid.total(integers, largest, 2))
        return AggregateState(
            inside.counts,
            valid.counts,
            total=self._once(("total", of), lambda: valid.total(integers, largest)),
            total_squares=squares,
            n_unrepresentable=None if wrong is None else self._once(("wrong", of), lambda: valid.total(wrong, 1)),
        )

    def _fixed_point(self, aggregate: Aggregate) -> tuple[NDArray[np.int64], NDArray[np.int64] | None, int]:
        """Return all versions' integers, which have none, and the largest in absolute value, seen or not."""
        integers, wrong = self._log.columns[str(aggregate.column)].values, None
        if aggregate.input is not None and aggregate.input.floating:
            integers, unfit = fixed_point(integers, aggregate.fixed_scale)
            wrong = unfit.astype(np.int64)
        largest = max(-int(integers.min()), int(integers.max())) if len(integers) else 0
        return integers, wrong, largest

    def _distinct(self, aggregate: Aggregate, valid: _Selection) -> NDArray[np.int64]:
        codes = self._once(("codes", aggregate.column), lambda: _codes(self._log.columns[str(aggregate.column)]))
        return valid.distinct(codes)

    def _once(self, name: Any, compute: Callable[[], _T]) -> _T:
        if name not in self._kept:
            self._kept[name] = compute()
        return self._kept[name]  # type: ignore[no-any-return]


class _Selection:
    """Some of the versions: their positions, those of log i in ``[bounds[i], bounds[i + 1])``; all if there are none.

    Attributes
    ----------
    counts
        How many of each log.
    """

    __slots__ = ("_bounds", "_held", "_rows", "counts")

    def __init__(self, rows: NDArray[np.int64] | None, bounds: NDArray[np.int64]) -> None:
        self._rows, self._bounds = rows, bounds
        self.counts: NDArray[np.int64] = bounds[1:] - bounds[:-1]
        self._held = self.counts.nonzero()[0]

    @classmethod
    def of(cls, mask: NDArray[np.bool_], bounds: NDArray[np.int64]) -> _Selection:
        """Return the versions that a mask tells, of logs with these bounds."""
        rows = mask.nonzero()[0]
        return cls(None, bounds) if len(rows) == len(mask) else cls(rows, rows.searchsorted(bounds))

    def without(self, mask: NDArray[np.bool_]) -> _Selection:
        """Return those that a mask over all versions does not tell."""
        kept = (~self.pick(mask)).nonzero()[0]
        return _Selection(kept if self._rows is None else self._rows[kept], kept.searchsorted(self._bounds))

    def pick(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return their entries of an array over all versions."""
        return values if self._rows is None else values[self._rows]

    def last(self) -> NDArray[np.int64]:
        """Return the position of each log's last, -1 for none."""
        ends = self._bounds[self._held + 1] - 1
        found = ends if self._rows is None else self._rows[ends]
        if len(found) == len(self.counts):
            return found
        last = np.full(len(self.counts), -1, dtype=np.int64)
        last[self._held] = found
        return last

    def reduced(self, by: np.ufunc, picked: NDArray[Any], empty: Any) -> NDArray[Any]:
        """Reduce the picked entries of each log, to ``empty`` where there are none."""
        if len(self._held) == len(self.counts):
            return by.reduceat(picked, self._bounds[:-1])
        result = np.full(len(self.counts), empty, dtype=picked.dtype)
        if len(self._held):
            result[self._held] = by.reduceat(picked, self._bounds[self._held])
        return result

    def total(self, integers: NDArray[np.int64], largest: int, power: int = 1) -> NDArray[Any]:
        """Return each log's exact sum of powers: int64 if all fit, else objects.

        ``largest`` is what no integer, of these or of others, exceeds in absolute value.
        """
        picked = self.pick(integers)
        if largest**power * int(self.counts.max(initial=0)) < SAFE_SUM:
            return self.reduced(np.add, picked * picked if power > 1 else picked, 0)
        exact = self.reduced(np.add, picked.astype(np.object_) ** power, 0)
        fitting = all(-(2**63) <= value < 2**63 for value in exact.tolist())
        return exact.astype(np.int64) if fitting else exact

    def distinct(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many distinct codes, 0 or more, each log has."""
        picked, n = self.pick(codes), len(self.counts)
        span = int(picked.max()) + 1 if len(picked) else 1
        marked = np.sort(np.repeat(np.arange(n, dtype=np.int64) * span, self.counts) + picked)
        first = np.append(True, marked[1:] != marked[:-1]) if len(marked) else np.zeros(0, dtype=np.bool_)
        return np.bincount(marked[first] // span, minlength=n).astype(np.int64)


def _extreme(aggregate: Aggregate, of: Column, valid: _Selection) -> Column:
    """Return each log's minimum or maximum; NaN is greater than all numbers, and zero has no sign."""
    dtype, greatest = of.dtype, aggregate.kind is Kind.MAX
    picked = valid.pick(of.values)
    least: np.ufunc = np.minimum
    if dtype.floating:
        picked, least = picked + dtype.storage.type(0), np.fmin
    none = null_column(dtype, 1).values[0]
    return Column(dtype, valid.reduced(np.maximum if greatest else least, picked, none), valid.counts == 0)


def _codes(of: Column) -> NDArray[np.int64]:
    """Return numbers from 0 on, few enough to be multiplied by the number of logs; equal values have equal ones.

    There is one NaN and one zero.
    """
    values = of.values
    if of.dtype.name == "string":
        seen: dict[Any, int] = {}
        return np.fromiter((seen.setdefault(value, len(seen)) for value in values.tolist()), np.int64, len(values))
    if of.dtype.name in ("int64", "decimal", "timestamp", "bool") and len(values):
        least = int(values.min())
        if int(values.max()) - least < 2**31:
            return values.astype(np.int64) - least
    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)
