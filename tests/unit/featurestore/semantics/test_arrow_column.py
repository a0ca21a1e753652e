from __future__ import annotations

import decimal
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from featurestore.foundation.errors import SemanticsError
from featurestore.semantics.arrow_column import arrow_type, from_arrow, to_arrow
from featurestore.semantics.value import (
    Bool,
    Decimal,
    DType,
    Float32,
    Float64,
    Int64,
    String,
    Timestamp,
    column,
    identical,
)

CASES: list[tuple[DType, list[Any]]] = [
    (Int64, [2**53 + 1, -(2**63), None]),
    (Float64, [-0.0, float("nan"), None, float("inf")]),
    (Float32, [0.5, None, 3.0]),
    (Bool, [True, None, False]),
    (String, ["", "ü€😀", None]),
    (Timestamp, [-1, None, 10**17]),
    (Decimal(2), [-(10**18 - 1), 10**18 - 1, None, 0, -5]),
]


@pytest.mark.parametrize(("dtype", "items"), CASES, ids=lambda case: str(case)[:12])
def test_columns_survive_the_trip_through_arrow(dtype: DType, items: list[Any]) -> None:
    made = column(dtype, items)
    array = to_arrow(made)
    array.validate(full=True)
    assert array.type == arrow_type(dtype)
    assert identical(from_arrow(array, dtype), made).all()
    assert identical(from_arrow(array.slice(1), dtype), column(dtype, items[1:])).all()
    assert identical(from_arrow(pa.chunked_array([array, array]), dtype), column(dtype, items * 2)).all()
    assert len(from_arrow(pa.chunked_array([], type=array.type), dtype)) == 0


def test_arrow_sees_the_values_that_were_meant() -> None:
    assert to_arrow(column(Decimal(2), [-5, 123456])).to_pylist() == [
        decimal.Decimal("-0.05"),
        decimal.Decimal("1234.56"),
    ]
    assert to_arrow(column(Timestamp, [1_000_001])).to_pylist() == [datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC)]


def test_nothing_is_cast_in_silence() -> None:
    for array in (pa.array([1], pa.int32()), pa.array([1.0]), pa.array(["1"])):
        with pytest.raises(SemanticsError):
            from_arrow(array, Int64)
    with pytest.raises(SemanticsError):
        from_arrow(pa.array([decimal.Decimal("1.5")], pa.decimal128(18, 1)), Decimal(2))


def test_nan_is_no_null() -> None:
    array = to_arrow(column(Float64, [float("nan"), None]))
    assert array.null_count == 1
    assert np.isnan(array[0].as_py())
