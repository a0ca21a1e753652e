from decimal import Decimal as Exact
from typing import Any

import pytest

from featurestore.definitions import Bool, Decimal, DType, Float32, Float64, Int64, String, Timestamp
from featurestore.definitions.written_value import stored_value, value_example


@pytest.mark.parametrize(
    ("dtype", "written", "stored"),
    [
        (Int64, 2**63 - 1, 2**63 - 1),
        (Int64, -(2**63), -(2**63)),
        (Float64, 0, 0.0),
        (Float64, 1.5, 1.5),
        (Float64, 2**53, 2.0**53),
        (Float32, 0.5, 0.5),
        (Float32, 0.1, 0.10000000149011612),
        (Bool, False, False),
        (String, "", ""),
        (Timestamp, "1970-01-01T00:00:01Z", 1_000_000),
        (Decimal(2), "1.25", 125),
        (Decimal(2), 3, 300),
        (Decimal(2), Exact("-0.010"), -1),
        (Decimal(0), "9" * 18, 10**18 - 1),
    ],
)
def test_storage_form(dtype: DType, written: object, stored: Any) -> None:
    assert stored_value(dtype, written) == stored
    assert type(stored_value(dtype, written)) is type(stored)


@pytest.mark.parametrize(
    ("dtype", "written"),
    [
        (Int64, 2**63), (Int64, 1.0), (Int64, True), (Int64, "1"), (Int64, None),
        (Float64, float("nan")), (Float64, float("inf")), (Float64, 2**53 + 1), (Float64, True), (Float64, "1"),
        (Float64, 10**400), (Float32, 1e39), (Float32, float("inf")), (Float32, float("nan")),
        (Bool, 1), (Bool, "true"), (String, 1), (String, None),
        (Timestamp, "1970-01-01"), (Timestamp, 0), (Timestamp, "soon"),
        (Decimal(2), "1.255"), (Decimal(2), 1.25), (Decimal(2), "much"), (Decimal(2), "NaN"), (Decimal(2), "Infinity"),
        (Decimal(2), True), (Decimal(0), "1" + "0" * 18), (Decimal(2), None), (Decimal(2), "1e400"),
    ],
)  # fmt: skip
def test_values_that_are_none_of_the_type(dtype: DType, written: object) -> None:
    assert stored_value(dtype, written) is None


def test_every_type_has_an_example() -> None:
    for dtype in (Int64, Float64, Float32, Bool, String, Timestamp, Decimal(3)):
        assert value_example(dtype)
