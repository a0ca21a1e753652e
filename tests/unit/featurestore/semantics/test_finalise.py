from __future__ import annotations

import math
import statistics
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from featurestore.semantics.aggregate import Aggregate, AggregateState, Kind
from featurestore.semantics.finalise import apply_ttl, exact_quotient, finalise
from featurestore.semantics.status import Status
from featurestore.semantics.value import Float64, Int64, column

integers = st.integers(-(2**80), 2**80) | st.integers(-1000, 1000)


@given(st.lists(st.tuples(integers, st.integers(1, 2**70) | st.integers(1, 100)), min_size=1, max_size=8))
def test_quotients_are_correctly_rounded(pairs: list[tuple[int, int]]) -> None:
    numerators = np.array([n for n, _ in pairs], dtype=object)
    denominators = np.array([d for _, d in pairs], dtype=object)
    expected = [float(Fraction(n, d)) for n, d in pairs]
    assert exact_quotient(numerators, denominators).tolist() == expected


def _integers(items: list[int]) -> np.ndarray:
    fits = all(-(2**63) <= item < 2**63 for item in items)
    return np.array(items, dtype=np.int64 if fits else object)


@given(st.lists(st.lists(st.integers(-(2**40), 2**40), max_size=5), min_size=1, max_size=5), st.integers(0, 4))
def test_mean_and_deviation_are_those_of_exact_rationals(groups: list[list[int]], scale: int) -> None:
    state = AggregateState(
        np.array([len(g) for g in groups]),
        np.array([len(g) for g in groups]),
        total=_integers([sum(g) for g in groups]),
        total_squares=_integers([sum(x * x for x in g) for g in groups]),
    )
    means, _ = finalise(Aggregate(Kind.MEAN, "x", Float64, 1, scale), state)
    deviations, _ = finalise(Aggregate(Kind.STD, "x", Float64, 1, scale), state)
    for row, group in enumerate(groups):
        exact = [Fraction(x, 10**scale) for x in group]
        assert means.to_pylist()[row] == (float(sum(exact) / len(exact)) if exact else None)
        deviation = math.sqrt(float(statistics.variance(exact))) if len(exact) > 1 else None
        assert deviations.to_pylist()[row] == deviation


def test_counts_of_nothing_are_present_zeros_and_all_else_is_missing() -> None:
    none = np.zeros(1, dtype=np.int64)
    empty = AggregateState(none, none, none, none, None, column(Int64, [None]), none)
    for kind in Kind:
        values, statuses = finalise(Aggregate(kind, "x", Int64, 1), empty)
        counts = kind in (Kind.COUNT, Kind.DISTINCT)
        assert values.to_pylist() == [0 if counts else None]
        assert statuses.tolist() == [Status.PRESENT if counts else Status.MISSING]


def test_events_without_values_are_null_not_missing() -> None:
    none, two = np.zeros(1, dtype=np.int64), np.array([2])
    state = AggregateState(two, none, none, none, None, column(Int64, [None]), none)
    for kind in (Kind.SUM, Kind.MEAN, Kind.STD, Kind.MIN, Kind.LAST):
        assert finalise(Aggregate(kind, "x", Int64, 1), state)[1].tolist() == [Status.NULL]


def test_a_ttl_nulls_everything_it_ends_and_nothing_that_never_was() -> None:
    finalised = column(Int64, [0, 5, None]), np.array([Status.PRESENT, Status.PRESENT, Status.MISSING], dtype=np.uint8)
    latest, has = np.array([10, 10, 0]), np.array([True, True, False])
    values, statuses = apply_ttl(finalised, np.array([20, 21, 99]), latest, has, 10)
    assert values.to_pylist() == [0, None, None]
    assert statuses.tolist() == [Status.PRESENT, Status.EXPIRED, Status.MISSING]
    assert apply_ttl(finalised, 99, latest, has, None) is finalised
