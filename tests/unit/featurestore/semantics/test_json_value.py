import json
import math
from decimal import Decimal as Exact

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.semantics.json_value import FLOAT32_MAX, UnreadableValue, reader, shown, write_output, writer
from featurestore.semantics.value import Bool, Decimal, Float32, Float64, Int64, String, Timestamp

INT64 = st.integers(-(2**63), 2**63 - 1)


def travel(dtype, value):
    """Write a value, send it through JSON, and read it."""
    return reader(dtype)(orjson.loads(orjson.dumps(writer(dtype)(value))))


@given(INT64)
def test_whole_numbers_travel_exactly(value):
    assert travel(Int64, value) == value


@given(st.floats(allow_nan=False))
def test_floats_travel_bit_for_bit(value):
    assert np.float64(travel(Float64, value)).tobytes() == np.float64(value).tobytes()


def test_not_a_number_travels():
    assert math.isnan(travel(Float64, math.nan))
    assert writer(Float64)(-math.inf) == "-Infinity"


@given(st.integers(-(10**18) + 1, 10**18 - 1), st.integers(0, 18))
def test_decimals_travel_exactly(value, scale):
    assert travel(Decimal(scale), value) == value


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_instants_travel_exactly(value):
    assert travel(Timestamp, value) == value


@given(st.text())
def test_texts_and_booleans_travel(text):
    assert travel(String, text) == text
    assert travel(Bool, True) is True


@pytest.mark.parametrize(
    ("dtype", "given", "stored"),
    [
        (Decimal(2), 12.3, 1230),
        (Decimal(2), 12, 1200),
        (Decimal(2), "12.30", 1230),
        (Decimal(2), "-0.500", -50),
        (Decimal(0), 10**17, 10**17),
        (Decimal(18), "0.000000000000000001", 1),
        (Float64, 3, 3.0),
        (Float64, -0.0, -0.0),
        (Timestamp, "2017-12-31T01:00:00.000001+01:00", 1_514_678_400_000_001),
    ],
)
def test_other_ways_to_write_a_value(dtype, given, stored):
    read = reader(dtype)(given)
    assert (read, type(read)) == (stored, type(stored))


@pytest.mark.parametrize(
    ("dtype", "given", "what"),
    [
        (Int64, "7", "'7' is not a whole number"),
        (Int64, 7.0, "7.0 is not a whole number"),
        (Int64, True, "true is not a whole number"),
        (Int64, [7], "[7] is not a whole number"),
        (Int64, 2**63, "does not fit int64"),
        (Int64, float(2**70), "does not fit int64"),
        (Int64, -1e19, "does not fit int64"),
        (Float64, "7", "'7' is not a number"),
        (Float64, "nan", "'nan' is not a number"),
        (Float64, False, "false is not a number"),
        (Float64, {}, "{} is not a number"),
        (Float32, 3.5e38, "does not fit float32"),
        (Bool, 0, "0 is not a boolean"),
        (Bool, "true", "'true' is not a boolean"),
        (String, 7, "7 is not a string"),
        (Timestamp, 1_514_678_400, "is not an instant"),
        (Timestamp, "yesterday", "'yesterday' is not an instant"),
        (Timestamp, "2017-12-31T00:00:00", "has no time zone"),
        (Timestamp, "2017-12-31", "is not an instant"),
        (Timestamp, "2017-12-31T00:00:00.1234567Z", "finer than a microsecond"),
        (Timestamp, "0001-01-01T00:00:00+05:00", "outside the years"),
        (Decimal(2), 1.005, "more than 2 decimals"),
        (Decimal(2), "1." + "0" * 30 + "1", "more than 2 decimals"),
        (Decimal(2), 12345678901234.567, "more digits than a JSON number keeps"),
        (Decimal(2), "1e3", "is not a decimal"),
        (Decimal(2), " 1", "is not a decimal"),
        (Decimal(2), "١", "is not a decimal"),
        (Decimal(2), "12_000", "is not a decimal"),
        (Decimal(2), True, "true is not a decimal"),
        (Decimal(2), 10**17, "more than 18 digits"),
        (Decimal(2), "9" * 400, "is not a decimal"),
    ],
)
def test_what_is_not_of_the_type_is_refused_with_a_mend(dtype, given, what):
    with pytest.raises(UnreadableValue) as caught:
        reader(dtype)(given)
    assert what in str(caught.value)
    assert caught.value.mend


def test_the_greatest_float32_is_the_last_that_fits():
    fits = float(np.nextafter(FLOAT32_MAX, 0))
    assert np.isfinite(np.float32(reader(Float32)(fits)))
    with pytest.raises(UnreadableValue):
        reader(Float32)(FLOAT32_MAX)


def test_outputs_are_the_equal_doubles_and_never_null():
    numbers = np.array([[0.1, np.nan], [np.inf, -np.inf]], dtype=np.float32)
    assert write_output(numbers) == [[float(np.float32(0.1)), "NaN"], ["Infinity", "-Infinity"]]
    assert write_output(numbers[:, 0]) == [float(np.float32(0.1)), "Infinity"]
    assert write_output(np.array([2**62 + 1])) == [2**62 + 1]
    assert write_output(np.array(["a"], dtype=np.object_)) == ["a"]


def test_decimals_are_written_with_all_their_places():
    assert writer(Decimal(2))(-5) == "-0.05"
    assert writer(Decimal(0))(10**18 - 1) == "9" * 18
    assert Exact(writer(Decimal(18))(1)) == Exact("1e-18")


def test_values_are_shown_short_and_as_json():
    assert (shown(None), shown(True), shown("x")) == ("null", "true", "'x'")
    assert len(shown("x" * 500)) == 60
    assert json.loads("true") is True
