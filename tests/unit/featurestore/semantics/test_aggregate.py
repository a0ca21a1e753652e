from __future__ import annotations

import math
from typing import Any

import numpy as np

from featurestore.semantics.aggregate import (
    Aggregate,
    EventLog,
    Kind,
    fixed_point,
    latest_event_us,
    next_change_us,
    state_at,
)
from featurestore.semantics.finalise import finalise
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import Decimal, DType, Float64, Int64, String, column


def _log(dtype: DType, items: list[Any], leaves: list[int] | None = None) -> EventLog:
    event = np.arange(1, len(items) + 1) * 10
    leave = np.array(leaves or [NEVER_US] * len(items))
    return EventLog(event, event, leave, {"x": column(dtype, items)})


def _value(kind: Kind, log: EventLog, t_us: int, window_us: int | None = 25, scale: int | None = None) -> Any:
    dtype = log.columns["x"].dtype
    aggregate = Aggregate(kind, "x", dtype, window_us, scale)
    return finalise(aggregate, state_at(log, aggregate, t_us))[0].to_pylist()[0]


def test_a_version_is_visible_once_it_has_happened_and_is_available() -> None:
    event, available = np.array([10, 30]), np.array([20, 5])
    log = EventLog(event, available, np.array([NEVER_US] * 2), {"x": column(Int64, [1, 2])})
    assert log.enter_us.tolist() == [20, 30]
    assert [_value(Kind.SUM, log, t, 100) for t in (19, 20, 29, 30)] == [None, 1, 1, 3]


def test_each_aggregate_over_a_window() -> None:
    log = _log(Decimal(2), [125, None, 250, 250])
    expected = {
        Kind.COUNT: 2,
        Kind.SUM: 5.0,
        Kind.MEAN: 2.5,
        Kind.MIN: 250,
        Kind.MAX: 250,
        Kind.STD: 0.0,
        Kind.LAST: 250,
        Kind.DISTINCT: 1,
    }
    assert {kind: _value(kind, log, 40) for kind in Kind} == expected


def test_window_edges_are_exact() -> None:
    log = _log(Int64, [1, 2, 4])
    assert [_value(Kind.SUM, log, t) for t in (9, 10, 30, 34, 35, 44, 45, 55)] == [None, 1, 7, 7, 6, 6, 4, None]


def test_integers_are_summed_beyond_64_bits_on_the_way() -> None:
    log = _log(Int64, [2**62, 2**62, -(2**62)])
    assert _value(Kind.SUM, log, 30, 100) == 2**62
    assert _value(Kind.MEAN, log, 20, 100) == 2.0**62
    assert _value(Kind.SUM, log, 20, 100) is None


def test_nan_and_infinity_make_sums_nan_and_nan_ranks_greatest() -> None:
    log = _log(Float64, [1.0, math.nan, math.inf])
    assert math.isnan(_value(Kind.SUM, log, 20, 100, 2))
    assert math.isnan(_value(Kind.STD, log, 20, 100, 2))
    assert _value(Kind.MIN, log, 20, 100) == 1.0
    assert math.isnan(_value(Kind.MAX, log, 30, 100))
    assert _value(Kind.DISTINCT, log, 30, 100) == 3


def test_negative_zero_counts_as_zero_but_is_kept_as_the_last_value() -> None:
    log = _log(Float64, [0.0, -0.0])
    assert math.copysign(1, _value(Kind.MIN, log, 20)) == 1
    assert _value(Kind.DISTINCT, log, 20) == 1
    assert math.copysign(1, _value(Kind.LAST, log, 20)) == -1


def test_the_last_value_may_be_null_and_needs_no_window() -> None:
    log = _log(String, ["a", None])
    assert _value(Kind.LAST, log, 10**9, None) is None
    assert _value(Kind.LAST, log, 19, None) == "a"
    assert _value(Kind.LAST, log, 9, None) is None


def test_replaced_versions_are_gone_and_the_one_before_is_latest_again() -> None:
    log = _log(Int64, [1, 2], [NEVER_US, 25])
    assert _value(Kind.LAST, log, 24, None) == 2
    assert _value(Kind.LAST, log, 25, None) == 1
    assert [latest_event_us(log, t) for t in (9, 24, 25)] == [None, 20, 10]


def test_the_next_change_is_the_next_edge_of_any_window() -> None:
    log = _log(Int64, [1, 2], [NEVER_US, 25])
    assert [next_change_us(log, (7,), t) for t in (0, 10, 17, 20, 25)] == [10, 17, 20, 25, NEVER_US]
    assert next_change_us(log, (), 25) == NEVER_US
    empty = EventLog(*(np.zeros(0, np.int64),) * 3, {})
    assert next_change_us(empty, (7,), 0) == NEVER_US


def test_between_two_changes_nothing_changes() -> None:
    log = _log(Int64, [1, None, 4, 8], [NEVER_US, 33, NEVER_US, NEVER_US])
    t_us = 0
    while t_us < 200:
        change = min(next_change_us(log, (7, 25), t_us), 200)
        seen = {tuple(_value(kind, log, t, window) for kind in Kind for window in (7, 25)) for t in range(t_us, change)}
        assert len(seen) == 1
        t_us = change


def test_fixed_point_rounds_half_to_even_once() -> None:
    values, wrong = fixed_point(np.array([1.25, 0.125, 0.375, -0.125, math.nan, math.inf, 1e300]), 2)
    assert values.tolist()[:4] == [125, 12, 38, -12]
    assert wrong.tolist() == [False] * 4 + [True] * 3


def test_every_cent_up_to_fifteen_digits_is_itself() -> None:
    cents = np.random.default_rng(0).integers(-(10**14), 10**14, 10_000)
    values, wrong = fixed_point(cents / 100, 2)
    assert (values == cents).all()
    assert not wrong.any()
