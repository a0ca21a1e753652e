"""What a CSV cell may look like: every text is read exactly, or refused with its reason."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.foundation.clock import EARLIEST_US, LATEST_US
from featurestore.offline.text_value import Unfit, parse_text
from featurestore.semantics.value import Bool, Decimal, Float32, Float64, Int64, String, Timestamp

YEAR_2017_US = 1_483_228_800_000_000


@pytest.mark.parametrize(
    ("text", "dtype", "value"),
    [
        ("9223372036854775807", Int64, 2**63 - 1),
        ("-9223372036854775808", Int64, -(2**63)),
        ("+7", Int64, 7),
        ("007", Int64, 7),
        ("1e3", Float64, 1000.0),
        ("+.5", Float64, 0.5),
        ("-inf", Float64, float("-inf")),
        ("TRUE", Bool, True),
        ("0", Bool, False),
        ("1.50", Decimal(2), 150),
        ("-1.5000", Decimal(2), -150),
        ("15e-1", Decimal(2), 150),
        ("999999999999999999", Decimal(0), 10**18 - 1),
        ("0e9999", Decimal(2), 0),
        (" x ", String, " x "),
        ("2017-01-01T00:00:00Z", Timestamp, YEAR_2017_US),
        ("2017-01-01t01:00:00.000001+01:00", Timestamp, YEAR_2017_US + 1),
        ("2017-01-01 00:00:00.1234560000Z", Timestamp, YEAR_2017_US + 123_456),
        ("0001-01-01T00:00:00Z", Timestamp, EARLIEST_US),
        ("9999-12-31T23:59:59.999999Z", Timestamp, LATEST_US),
    ],
)
def test_a_text_is_read_exactly(text, dtype, value):
    assert parse_text(text, dtype, None) == value


def test_the_sign_of_zero_and_nan_are_kept():
    assert np.signbit(parse_text("-0.0", Float64, None))
    assert np.isnan(parse_text("NaN", Float64, None))


def test_a_text_becomes_the_nearest_float32_in_one_rounding():
    assert parse_text("1.00000005960464477539062500000000001", Float32, None) == np.nextafter(
        np.float32(1), np.float32(2)
    )


@pytest.mark.parametrize(
    ("text", "dtype", "reason"),
    [
        ("9223372036854775808", Int64, "does not fit 64 bits"),
        ("1.0", Int64, "not a whole number"),
        ("0x10", Int64, "not a whole number"),
        ("1_000", Int64, "not a whole number"),
        (" 1", Int64, "not a whole number"),
        ("1\n", Int64, "not a whole number"),
        ("٣", Int64, "not a whole number"),
        ("1,5", Float64, "not a number"),
        ("1e999", Float64, "too large for a double"),
        ("1e39", Float32, "too large for a float"),
        ("0x1p3", Float64, "not a number"),
        ("yes", Bool, "neither true nor false"),
        ("1.505", Decimal(2), "more than 2 decimals"),
        ("1." + "0" * 70 + "1", Decimal(2), "more than 2 decimals"),
        ("12345678901234567.89", Decimal(2), "more than 18 digits"),
        ("1e9999", Decimal(2), "more than 18 digits"),
        ("NaN", Decimal(2), "not a decimal"),
        ("2017-01-01T00:00:00", Timestamp, "has no time zone"),
        ("2017-01-01", Timestamp, "has no time zone"),
        ("2017-02-30T00:00:00Z", Timestamp, "not an instant"),
        ("2017-01-01T00:00:60Z", Timestamp, "not an instant"),
        ("20170101T000000Z", Timestamp, "not an instant"),
        ("1483228800", Timestamp, "not an instant"),
        ("2017-01-01T00:00:00.0000001Z", Timestamp, "finer than a microsecond"),
        ("0001-01-01T00:00:00+02:00", Timestamp, "outside the years 1 to 9999"),
        ("9999-12-31T23:59:59-02:00", Timestamp, "outside the years 1 to 9999"),
    ],
)
def test_what_is_not_exactly_a_value_is_refused_with_its_reason(text, dtype, reason):
    with pytest.raises(Unfit, match=reason):
        parse_text(text, dtype, None)


def test_wall_clocks_are_read_in_the_zone_that_the_source_names():
    assert parse_text("2017-07-01 02:00:00", Timestamp, "Europe/Berlin") == parse_text(
        "2017-07-01T00:00:00Z", Timestamp, None
    )
    assert parse_text("2017-01-01", Timestamp, "UTC") == YEAR_2017_US


@pytest.mark.parametrize("text", ["2017-03-26T02:30:00", "2017-10-29T02:30:00"])
def test_a_wall_clock_that_is_skipped_or_repeated_is_refused(text):
    with pytest.raises(Unfit, match="skipped or repeated by a change of the clocks in Europe/Berlin"):
        parse_text(text, Timestamp, "Europe/Berlin")


@given(st.integers(0, 18), st.integers(-(10**18) + 1, 10**18 - 1))
def test_every_decimal_of_18_digits_is_read_exactly(scale, scaled):
    exact = Fraction(scaled, 10**scale)
    sign = "-" if scaled < 0 else ""
    digits = str(abs(scaled)).rjust(scale + 1, "0")
    text = f"{sign}{digits[: len(digits) - scale]}.{digits[len(digits) - scale :]}"
    assert Fraction(parse_text(text, Decimal(scale), None), 10**scale) == exact
