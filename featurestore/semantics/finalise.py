"""The one place where a state becomes a value (law 6): exact integers in, one correctly rounded division out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.foundation.errors import SemanticsError
from featurestore.semantics.aggregate import COUNTING, Aggregate, AggregateState, Kind
from featurestore.semantics.status import Status, expired
from featurestore.semantics.value import Column, Int64

EXACT_IN_DOUBLE = 2**53
SAFE_PRODUCT = 2.0**62
SAFE_SQUARES = 2**62
_INT64 = np.dtype(np.int64)
_ONE = np.ones(1, dtype=np.int64)

Finalised = tuple[Column, NDArray[np.uint8]]


def finalise(aggregate: Aggregate, state: AggregateState) -> Finalised:
    """Turn a state into values and statuses (`Status`), TTL not yet applied.

    A sum of integers that does not fit int64 is null: one key's overflow is no other key's error.
    """
    values = _finalise_values(aggregate, state)
    if aggregate.kind in COUNTING or not values.nulls.any():
        return values, np.zeros(len(values), dtype=np.uint8)
    statuses = np.where(values.nulls, np.uint8(Status.NULL), np.uint8(Status.PRESENT))
    return values, np.where(state.n_events == 0, np.uint8(Status.MISSING), statuses)


def apply_ttl(
    finalised: Finalised,
    read_us: NDArray[np.int64] | int,
    latest_event_us: NDArray[np.int64],
    has_latest: NDArray[np.bool_],
    ttl_us: int | None,
) -> Finalised:
    """Null what is past its TTL and mark it ``EXPIRED``; where there never was an event, nothing changes.

    Parameters
    ----------
    finalised
        Values and statuses from `finalise`.
    read_us
        The read's instant, one for all or one per row, microseconds UTC.
    latest_event_us, has_latest
        Event timestamp of the view's latest visible event per row, and whether there is one.
    ttl_us
        The view's TTL, ``None`` for none.
    """
    if ttl_us is None:
        return finalised
    values, statuses = finalised
    over = expired(read_us, latest_event_us, ttl_us) & has_latest
    nulls = values.nulls | over
    return Column(values.dtype, values.values, nulls), np.where(over, np.uint8(Status.EXPIRED), statuses)


def exact_quotient(numerator: NDArray[Any], denominator: NDArray[Any]) -> NDArray[np.float64]:
    """Divide integers by positive ones, as many or one for all; round each quotient once to a double, ties to even.

    Where both fit 53 bits the IEEE 754 division is that already; elsewhere Python's integer division is.
    """
    if _within(numerator, EXACT_IN_DOUBLE) and _within(denominator, EXACT_IN_DOUBLE):
        return np.asarray(numerator / denominator)
    denominator = np.broadcast_to(denominator, numerator.shape)
    exact = (np.abs(numerator) <= EXACT_IN_DOUBLE) & (denominator <= EXACT_IN_DOUBLE)
    exact = exact.astype(np.bool_)
    quotient = np.empty(len(numerator), dtype=np.float64)
    quotient[exact] = numerator[exact].astype(np.float64) / denominator[exact].astype(np.float64)
    for row in np.flatnonzero(~exact).tolist():
        quotient[row] = int(numerator[row]) / int(denominator[row])
    return quotient


def _finalise_values(aggregate: Aggregate, state: AggregateState) -> Column:
    if aggregate.kind is Kind.COUNT:
        return _whole(state.n_events if aggregate.column is None else _required(state.n_valid))
    if aggregate.kind is Kind.DISTINCT:
        return _whole(_required(state.n_distinct))
    if aggregate.kind in (Kind.MIN, Kind.MAX, Kind.LAST):
        return _chosen(state)
    if aggregate.kind is Kind.STD:
        return _deviation(aggregate, state)
    return _sum_or_mean(aggregate, state)


def _whole(counts: NDArray[np.int64]) -> Column:
    return Column(Int64, counts, np.zeros(len(counts), dtype=np.bool_))


def _chosen(state: AggregateState) -> Column:
    value = state.value
    if value is None:
        raise SemanticsError("the state has no value")
    return Column(value.dtype, value.values, value.nulls | (state.n_events == 0))


def _sum_or_mean(aggregate: Aggregate, state: AggregateState) -> Column:
    n_valid, total = _required(state.n_valid), _required(state.total)
    nulls = n_valid == 0
    if aggregate.output == Int64:
        whole, beyond = _fitting(total)
        return Column(Int64, whole, nulls | beyond)
    count = np.maximum(n_valid, 1) if aggregate.kind is Kind.MEAN else _ONE
    quotient = exact_quotient(total, _product(count, 10**aggregate.fixed_scale))
    return Column(aggregate.output, _nan_where_unrepresentable(quotient, state), nulls)


def _deviation(aggregate: Aggregate, state: AggregateState) -> Column:
    """Return the sample standard deviation, ``sqrt((n Σx² - (Σx)²) / (n (n - 1)))``: one rounding, then IEEE sqrt."""
    n_valid, total = _required(state.n_valid), _required(state.total)
    nulls = n_valid < 2
    count = np.where(nulls, 2, n_valid)
    numerator = _variance_numerator(
        count, np.where(nulls, 0, total), np.where(nulls, 0, _required(state.total_squares))
    )
    variance = exact_quotient(numerator, _product(count * (count - 1), 100**aggregate.fixed_scale))
    deviation = np.sqrt(np.where(np.signbit(variance), 0.0, variance))
    return Column(aggregate.output, _nan_where_unrepresentable(deviation, state), nulls)


def _variance_numerator(count: NDArray[np.int64], total: NDArray[Any], squares: NDArray[Any]) -> NDArray[Any]:
    if (
        _within(squares, SAFE_SQUARES)
        and int(np.maximum.reduce(count)) * int(np.maximum.reduce(squares)) < SAFE_SQUARES
    ):
        return np.asarray(count * squares - total * total)  # (Σx)² is at most n Σx²
    large = (count * squares.astype(np.float64) > SAFE_PRODUCT) | (total.astype(np.float64) ** 2 > SAFE_PRODUCT)
    if large.any() or np.object_ in {total.dtype.type, squares.dtype.type}:
        wide, many = total.astype(object), count.astype(object)
        return np.asarray(many * squares.astype(object) - wide * wide)
    return np.asarray(count * squares - total * total)


def _within(values: NDArray[Any], bound: int) -> bool:
    """Tell whether there are int64 values only, at least one, and none beyond a bound in absolute value."""
    if values.dtype != _INT64 or not len(values):
        return False
    return bool(-bound <= np.minimum.reduce(values) and np.maximum.reduce(values) <= bound)


def _product(count: NDArray[np.int64], factor: int) -> NDArray[Any]:
    if len(count) and int(count.max()) * factor >= 2**63:
        return np.asarray(count.astype(object) * factor)
    return np.asarray(count * np.int64(factor)) if len(count) else count


def _nan_where_unrepresentable(values: NDArray[np.float64], state: AggregateState) -> NDArray[np.float64]:
    if state.n_unrepresentable is None:
        return values
    return np.where(state.n_unrepresentable > 0, np.nan, values)


def _fitting(total: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return integers as int64, and where they do not fit it."""
    if total.dtype != np.object_:
        return total.astype(np.int64), np.zeros(len(total), dtype=np.bool_)
    beyond = ((total < -(2**63)) | (total >= 2**63)).astype(np.bool_)
    return np.where(beyond, 0, total).astype(np.int64), beyond


def _required(part: NDArray[Any] | None) -> NDArray[Any]:
    if part is None:
        raise SemanticsError("the state lacks a part that its aggregate needs")
    return part
