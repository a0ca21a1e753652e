from __future__ import annotations

import math

import numpy as np
import pytest

from featurestore.foundation.errors import SemanticsError
from featurestore.semantics.value import (
    Bool,
    Column,
    Decimal,
    DType,
    Float32,
    Float64,
    Int64,
    String,
    Timestamp,
    column,
    identical,
    null_column,
    parse_dtype,
)

ALL = [Int64, Float64, Float32, Bool, String, Timestamp, Decimal(0), Decimal(18)]


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_a_type_survives_the_trip_through_text(dtype: DType) -> None:
    assert parse_dtype(str(dtype)) == dtype


@pytest.mark.parametrize("text", ["", "int32", "decimal", "decimal(x)", "decimal(19)", "Int64"])
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(SemanticsError):
        parse_dtype(text)


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_columns_keep_nulls_beside_the_values(dtype: DType) -> None:
    item = "x" if dtype == String else True if dtype == Bool else 1
    made = column(dtype, [item, None])
    assert made.values.dtype == dtype.storage
    assert made.to_pylist() == [item, None]
    assert null_column(dtype, 2).to_pylist() == [None, None]
    assert column(dtype, []).to_pylist() == []


def test_int64_beyond_2_to_the_53_is_kept() -> None:
    assert column(Int64, [2**53 + 1, -(2**63), None]).to_pylist() == [2**53 + 1, -(2**63), None]


def test_taking_gives_null_for_minus_one() -> None:
    assert column(Int64, [7, None]).take(np.array([1, -1, 0])).to_pylist() == [None, None, 7]
    assert column(String, []).take(np.array([-1])).to_pylist() == [None]


def test_identity_is_bit_by_bit_but_for_the_payload_of_nan() -> None:
    left = column(Float64, [0.0, math.nan, None, 1.0, None])
    right = column(Float64, [-0.0, -math.nan, None, 1.0, 0.0])
    assert identical(left, right).tolist() == [False, True, True, True, False]
    assert not identical(column(Int64, [1]), column(Timestamp, [1])).any()
    single = Column(Float32, np.array([0.1], dtype=np.float32), np.zeros(1, dtype=np.bool_))
    assert identical(single, single).all()
