"""A file's column becomes its declared type unchanged or is refused, and the quick reading agrees with the slow one."""

import datetime as dt
import decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.foundation.clock import parse_instant
from featurestore.offline.column_rule import TypeMismatch
from featurestore.offline.text_rule import text_rule
from featurestore.offline.value_check import SMALL_ENOUGH, check_column
from featurestore.semantics.arrow_column import arrow_type, from_arrow
from featurestore.semantics.value import (
    Bool,
    Decimal,
    Float32,
    Float64,
    Int64,
    String,
    Timestamp,
    column,
    identical,
)

UTC_NS, UTC_US = pa.timestamp("ns", "UTC"), pa.timestamp("us", "UTC")
D = decimal.Decimal


@pytest.mark.parametrize(
    ("array", "dtype", "stored"),
    [
        (pa.array([1, None, 2**63 - 1], pa.uint64()), Int64, [1, None, 2**63 - 1]),
        (pa.array([1.0, None, -(2.0**53)]), Int64, [1, None, -(2**53)]),
        (pa.array([3.0], pa.float16()), Int64, [3]),
        (pa.array([D("7.00")], pa.decimal128(9, 2)), Int64, [7]),
        (pa.array([2**53, 2**60], pa.int64()), Float64, [2.0**53, 2.0**60]),
        (pa.array([0.1], pa.float32()), Float64, [float(np.float32(0.1))]),
        (pa.array([0.5, float("nan"), float("inf"), -0.0]), Float32, [0.5, float("nan"), float("inf"), -0.0]),
        (pa.array([2.39, -1.1, None]), Decimal(2), [239, -110, None]),
        (pa.array([2.39], pa.float32()), Decimal(2), [239]),
        (pa.array([7, -7], pa.int8()), Decimal(3), [7000, -7000]),
        (pa.array([D("1.50"), None], pa.decimal256(40, 2)), Decimal(1), [15, None]),
        (pa.array(["a", None, "a"]).dictionary_encode(), String, ["a", None, "a"]),
        (pa.array(["é"], pa.large_string()), String, ["é"]),
        (pa.array(["é"], pa.string_view()), String, ["é"]),
        (pa.array([True, None]), Bool, [True, None]),
        (pa.array([1_000, None], UTC_NS), Timestamp, [1, None]),
        (pa.array([7], pa.timestamp("s", "Europe/Berlin")), Timestamp, [7_000_000]),
        (pa.nulls(2), Decimal(3), [None, None]),
        (pa.array([None, None], pa.int32()), Int64, [None, None]),
    ],
)
def test_a_column_is_taken_unchanged(array, dtype, stored):
    checked = check_column(array, dtype, None)
    assert checked.reasons == {}
    assert checked.array.type == arrow_type(dtype)
    assert identical(from_arrow(checked.array, dtype), column(dtype, stored)).all()


@pytest.mark.parametrize(
    ("array", "dtype", "reason"),
    [
        (pa.array([2**63], pa.uint64()), Int64, "does not fit 64 bits"),
        (pa.array([float("nan")]), Int64, "NaN is not a whole number: write null"),
        (pa.array([1.5]), Int64, "1.5 is not a whole number"),
        (pa.array([2.0**53 + 2]), Int64, "beyond 2\\^53"),
        (pa.array([D("1.5")], pa.decimal128(9, 2)), Int64, "not a whole number"),
        (pa.array([2**53 + 1]), Float64, "not exactly a float64"),
        (pa.array([0.1]), Float32, "not exactly a float32"),
        (pa.array([1e300]), Float32, "not exactly a float32"),
        (pa.array([2**24 + 1]), Float32, "not exactly a float32"),
        (pa.array([2.391]), Decimal(2), "more than 2 decimals"),
        (pa.array([0.1 + 0.2]), Decimal(2), "more than 2 decimals"),
        (pa.array([1e14]), Decimal(2), "more digits than its float type keeps"),
        (pa.array([float("inf")]), Decimal(2), "inf is not a decimal"),
        (pa.array([10**17]), Decimal(2), "more than 18 digits"),
        (pa.array([D("1.55")], pa.decimal128(9, 2)), Decimal(1), "more than 1 decimals"),
        (pa.array([1_001], UTC_NS), Timestamp, "1001 ns since 1970 is finer than a microsecond"),
        (pa.array([2**60], UTC_US), Timestamp, "outside the years 1 to 9999"),
        (pa.array([2**62], pa.timestamp("s", "UTC")), Timestamp, "outside the years 1 to 9999"),
    ],
)
def test_a_value_that_would_change_is_refused_and_the_rest_is_not(array, dtype, reason):
    many = pa.concat_arrays([pa.nulls(3 * SMALL_ENOUGH, array.type), array, pa.nulls(5, array.type)])
    checked = check_column(many, dtype, None)
    assert list(checked.reasons) == [3 * SMALL_ENOUGH]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(checked.reasons[3 * SMALL_ENOUGH])
    assert len(checked.array) == len(many)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (pa.string(), Int64),
        (pa.int64(), String),
        (pa.int64(), Timestamp),
        (pa.int64(), Bool),
        (pa.decimal128(9, 2), Float64),
        (pa.list_(pa.int64()), Int64),
        (pa.binary(), String),
    ],
)
def test_types_that_only_a_guess_could_join_are_refused(kind, dtype):
    with pytest.raises(TypeMismatch, match=f"where {dtype} is declared".replace("(", ".").replace(")", ".")):
        check_column(pa.array([], kind), dtype, None)


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.date32(), pa.date64()])
def test_instants_without_a_zone_need_one_on_the_source(kind):
    array = pa.array([dt.datetime(2017, 7, 1), None]).cast(pa.timestamp("ms")).cast(kind)  # noqa: DTZ001
    with pytest.raises(TypeMismatch, match="without a time zone"):
        check_column(array, Timestamp, None)
    utc = check_column(array, Timestamp, "UTC").array.cast(pa.int64()).to_pylist()
    berlin = check_column(array, Timestamp, "Europe/Berlin").array.cast(pa.int64()).to_pylist()
    assert utc == [1_498_867_200_000_000, None]
    assert berlin == [1_498_867_200_000_000 - 2 * 3_600_000_000, None]


def test_typed_wall_clocks_that_are_skipped_are_refused_one_by_one():
    walls = pa.array(["2017-03-26T02:30:00", "2017-03-26T03:30:00"]).cast(pa.timestamp("us"))
    checked = check_column(walls, Timestamp, "Europe/Berlin")
    assert list(checked.reasons) == [0]
    assert checked.array.cast(pa.int64()).to_pylist() == [None, 1_490_491_800_000_000]


def test_bytes_that_are_no_utf8_are_refused_row_by_row():
    checked = check_column(pa.array([b"a", b"\xff"], pa.binary()), String, None, text=True)
    assert checked.reasons == {1: "b'\\xff' is not UTF-8"}


TEXTS = st.one_of(
    st.from_regex(r"\A[+-]?[0-9]{0,20}\.?[0-9]{0,4}([eE][+-]?[0-9]{1,3})?\Z"),
    st.sampled_from(["nan", "-inf", "Infinity", "true", "False", "1", "0", "0x1", " 1", "1 ", "", "1_0"]),
    st.from_regex(
        r"\A201[0-9]-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,8})?)?(Z|\+0[0-3]:00)?\Z"
    ),
    st.text(max_size=5),
)


@given(
    TEXTS.filter(lambda text: text.isascii() or text.isprintable()),
    st.sampled_from([Int64, Float64, Float32, Bool, String, Timestamp, Decimal(2), Decimal(18)]),
    st.sampled_from([None, "UTC", "Europe/Berlin"]),
)
def test_wherever_the_quick_reading_answers_it_agrees_with_the_slow_one(text, dtype, zone):
    rule = text_rule(dtype, zone)
    quick = rule.quick(pa.array([text.encode()], pa.binary()))
    if quick is not None:
        assert identical(from_arrow(quick, dtype), column(dtype, [rule.slow(text.encode())])).all()


@given(
    st.lists(st.floats(width=32) | st.floats(), min_size=1, max_size=4), st.sampled_from([Int64, Float32, Decimal(2)])
)
def test_quick_and_slow_agree_on_floats_too(values, dtype):
    together = check_column(pa.array(values, pa.float64()), dtype, None)
    for row, value in enumerate(values):
        alone = check_column(pa.array([value, 1e-300], pa.float64()), dtype, None)
        assert alone.reasons.get(0) == together.reasons.get(row)
        assert identical(*(from_arrow(part, dtype) for part in (alone.array[:1], together.array[row : row + 1]))).all()


def test_wall_clocks_beyond_the_zone_tables_do_not_depend_on_their_neighbours():
    far, skipped = (dt.datetime.fromisoformat(text) for text in ("2200-07-01T00:00:00", "2017-03-26T02:30:00"))
    alone = check_column(pa.array([far], pa.timestamp("us")), Timestamp, "Europe/Berlin")
    beside = check_column(pa.array([far, skipped], pa.timestamp("us")), Timestamp, "Europe/Berlin")
    summer_time = parse_instant("2200-07-01T00:00:00+02:00")
    assert from_arrow(alone.array, Timestamp).to_pylist() == [summer_time]
    assert from_arrow(beside.array, Timestamp).to_pylist() == [summer_time, None]
