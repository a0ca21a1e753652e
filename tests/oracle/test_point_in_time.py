"""The oracle itself, on examples small enough to check by hand."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle.point_in_time import (
    EXPIRED,
    MISSING,
    NULL,
    PRESENT,
    Answer,
    Ask,
    Version,
    View,
    answers,
    bits,
    label,
    latest_event,
    nearest_double,
    reduced,
)


def event(identity, at, value, *, available=None, s=1, key="a", deleted=False):
    known = at if available is None else available
    return Version((identity,), at, known, s, {"key": key, "x": value}, deleted)


def ask(kind, window=10, column="x", scale=None):
    return Ask("it", kind, column, window, scale)


def at(history, t, one, *, s=9, key="a", **view):
    return answers(history, View("key", [one], **view), key, t, s)["it"]


def test_the_window_is_open_on_the_left_and_closed_on_the_right():
    history = [event(1, 100, 5)]
    values = [at(history, t, ask("count")).value for t in (99, 100, 109, 110)]
    assert values == [0, 1, 1, 0]


def test_an_event_counts_from_when_it_is_known():
    history = [event(1, 100, 5, available=104)]
    assert [at(history, t, ask("count")).value for t in (103, 104)] == [0, 1]


def test_the_last_committed_known_version_counts():
    history = [event(1, 100, 5), event(1, 100, 6, available=105, s=2), event(1, 100, 7, available=103, s=3)]
    assert [at(history, t, ask("sum")).value for t in (100, 103, 105)] == [5, 7, 7]
    assert [at(history, 105, ask("sum"), s=s).value for s in (0, 1, 2, 3)] == [None, 5, 6, 7]


def test_a_tombstone_withdraws_and_a_correction_may_move_an_event():
    history = [event(1, 100, 5), event(1, 100, None, available=103, deleted=True)]
    assert [at(history, t, ask("count")).value for t in (102, 103)] == [1, 0]
    history = [event(1, 100, 5), event(1, 101, 5, available=103, key="b")]
    assert [(at(history, t, ask("count")).value, at(history, t, ask("count"), key="b").value) for t in (102, 103)] == [
        (1, 0),
        (0, 1),
    ]


def test_ties_go_by_availability_and_then_by_identity():
    history = [event(2, 100, "late"), event(1, 100, "early")]
    assert at(history, 100, ask("last")).value == "late"
    history = [event(2, 100, "soon"), event(1, 100, "later", available=101)]
    assert at(history, 101, ask("last")).value == "later"


def test_statuses_and_ttl():
    history = [event(1, 100, None)]
    assert at(history, 99, ask("last")) == Answer(None, MISSING)
    assert at(history, 100, ask("last")) == Answer(None, NULL)
    assert at(history, 110, ask("sum")) == Answer(None, MISSING)
    count = ask("count", column=None)
    assert at(history, 109, count) == Answer(1, PRESENT)
    assert at(history, 110, count) == Answer(0, PRESENT)
    assert at(history, 105, count, ttl=5) == Answer(1, PRESENT)
    assert at(history, 106, count, ttl=5) == Answer(None, EXPIRED)
    assert at(history, 99, count, ttl=5) == Answer(0, PRESENT)
    assert latest_event(history, View("key", []), "a", 500, 9) == 100


def test_a_label_looks_ahead_and_is_read_when_it_matures():
    history = [event(1, 100, 1), event(2, 105, 2), event(3, 110, 4, available=113), event(4, 110, 8, available=114)]
    view = View("key", [])
    assert label(history, view, ask("sum"), "a", 100, 9, over=10, late=3) == Answer(6, PRESENT)


@pytest.mark.parametrize(
    ("kind", "values", "scale", "value"),
    [
        ("mean", [1, 2], None, 1.5),
        ("sum", [Decimal("0.10"), Decimal("0.20")], None, 0.3),
        ("sum", [0.1, 0.2], 2, 0.3),
        ("sum", [0.125, 0.375], 2, 0.5),
        ("sum", [1.0, math.nan], 2, math.nan),
        ("sum", [1e300], 2, math.nan),
        ("sum", [2.0**62], 0, 2.0**62),
        ("sum", [math.nextafter(2.0**62, math.inf)], 0, math.nan),
        ("std", [1, 2, 3, 4], None, math.sqrt(5 / 3)),
        ("std", [7], None, None),
        ("std", [math.nan], 1, None),
        ("std", [3, 3], None, 0.0),
        ("max", [math.inf, math.nan], None, math.nan),
        ("min", [math.inf, math.nan], None, math.inf),
        ("max", [-0.0], None, 0.0),
        ("min", ["\U0001f600", "\uffee"], None, "\uffee"),
    ],
)
def test_reductions(kind, values, scale, value):
    assert bits(reduced(ask(kind, scale=scale), values)) == bits(value)


@given(st.fractions())
def test_the_nearest_double_is_pythons(number):
    assert nearest_double(number) == number.numerator / number.denominator


@given(st.floats(-1e308, 1e308), st.integers(-1, 1))
def test_the_nearest_double_is_ieees_between_neighbours_too(number, side):
    halfway = (Fraction(number) + Fraction(math.nextafter(number, side * math.inf if side else number))) / 2
    assert nearest_double(halfway) == halfway.numerator / halfway.denominator
