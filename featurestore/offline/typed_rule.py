"""Columns of typed files as columns of a declared type that is not an instant."""

from __future__ import annotations

import decimal
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.offline.column_rule import Quick, Rule, all_true, cast_to, null_mask
from featurestore.offline.text_value import INT64_MAX, INT64_MIN, Unfit, scaled
from featurestore.semantics.arrow_column import arrow_type, to_arrow
from featurestore.semantics.value import Column, DType, Int64

EXACT_WHOLE = 2**53
"""Up to here a double that is a whole number is the very number that was written."""


def typed_rule(found: pa.DataType, dtype: DType) -> Rule | None:
    """Return how a column of the file's type is read as ``dtype``; ``None`` where that would be a guess."""
    if dtype == Int64:
        return _int_rule(found)
    if dtype.floating:
        return _float_rule(found, dtype)
    if dtype.name == "decimal":
        return _decimal_rule(found, dtype)
    same = pa.types.is_boolean(found) if dtype.name == "bool" else _is_text(found)
    return Rule(cast_to(arrow_type(dtype)), lambda value: value) if same else None


def _is_text(found: pa.DataType) -> bool:
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found))


def _int_rule(found: pa.DataType) -> Rule | None:
    if pa.types.is_integer(found):
        return Rule(cast_to(pa.int64()), _fitting)
    if pa.types.is_floating(found):
        return Rule(_quick_whole, _whole)
    return Rule(cast_to(pa.int64()), _whole_decimal) if pa.types.is_decimal(found) else None


def _quick_whole(array: pa.Array) -> pa.Array | None:
    values = pc.cast(array, pa.float64())
    inside = pc.less_equal(pc.abs(values), float(EXACT_WHOLE))
    return cast_to(pa.int64())(values) if all_true(inside) else None


def _whole(value: float) -> int:
    if math.isnan(value):
        raise Unfit("NaN is not a whole number: write null")
    if not value.is_integer():
        raise Unfit(f"{value!r} is not a whole number")
    if abs(value) > EXACT_WHOLE:
        raise Unfit(f"{value!r} is a float beyond 2^53, which may have been rounded already")
    return int(value)


def _whole_decimal(value: decimal.Decimal) -> int:
    if value != value.to_integral_value():
        raise Unfit(f"{value} is not a whole number")
    return _fitting(int(value))


def _fitting(value: int) -> int:
    if not INT64_MIN <= value <= INT64_MAX:
        raise Unfit(f"{value} does not fit 64 bits")
    return value


def _float_rule(found: pa.DataType, dtype: DType) -> Rule | None:
    if pa.types.is_integer(found):
        return Rule(cast_to(arrow_type(dtype)), lambda value: _exact_float(value, dtype))
    if not pa.types.is_floating(found):
        return None
    if found.bit_width <= arrow_type(dtype).bit_width:
        return Rule(cast_to(arrow_type(dtype)), float)
    return Rule(_narrowed, lambda value: _exact_float(value, dtype))


def _narrowed(array: pa.Array) -> pa.Array | None:
    narrow = pc.cast(array, pa.float32())
    same = pc.or_(pc.equal(array, pc.cast(narrow, array.type)), pc.is_nan(array))
    return narrow if all_true(same) else None


def _exact_float(value: float, dtype: DType) -> float:
    with np.errstate(over="ignore"):
        held = float(dtype.storage.type(value))
    if held != value and not math.isnan(value):
        raise Unfit(f"{value!r} is not exactly a {dtype}")
    return held


def _decimal_rule(found: pa.DataType, dtype: DType) -> Rule | None:
    scale = dtype.scale or 0
    if pa.types.is_decimal(found):
        return Rule(cast_to(arrow_type(dtype)), lambda value: scaled(value, scale))
    if pa.types.is_integer(found):
        return Rule(_quick_integers(dtype), lambda value: scaled(decimal.Decimal(value), scale))
    if pa.types.is_floating(found):
        single = found.bit_width < 64
        return Rule(_quick_fixed(dtype, single=single), lambda value: _fixed(value, scale, single=single))
    return None


def _quick_integers(dtype: DType) -> Quick:
    unit = 10 ** (dtype.scale or 0)
    limit = (10**18 - 1) // unit

    def quick(array: pa.Array) -> pa.Array | None:
        whole = cast_to(pa.int64())(array)
        if whole is None:
            return None
        values = whole.fill_null(0).to_numpy()
        if ((values > limit) | (values < -limit)).any():
            return None
        return to_arrow(Column(dtype, values * np.int64(unit), null_mask(array)))

    return quick


def _quick_fixed(dtype: DType, *, single: bool) -> Quick:
    unit = 10.0 ** (dtype.scale or 0)

    def quick(array: pa.Array) -> pa.Array | None:
        nulls = null_mask(array)
        values = np.where(nulls, 0, array.to_numpy(zero_copy_only=False).astype(np.float64))
        with np.errstate(all="ignore"):
            fixed = np.rint(values * unit)
            back = fixed / unit
            same = (back.astype(np.float32) if single else back) == values
        if not (same & (np.abs(fixed) < _digits_limit(single=single))).all():
            return None
        return to_arrow(Column(dtype, fixed.astype(np.int64), nulls))

    return quick


def _fixed(value: float, scale: int, *, single: bool) -> int:
    """Return the decimal whose nearest float is ``value``, if one of ``scale`` decimals and few enough digits is."""
    if not math.isfinite(value):
        raise Unfit(f"{value} is not a decimal: write null")
    if abs(value) * 10.0**scale >= _digits_limit(single=single):
        raise Unfit(f"{value!r} has more digits than its float type keeps: write it as a decimal")
    fixed = round(decimal.Decimal(value).scaleb(scale))
    back = fixed / 10**scale
    if (float(np.float32(back)) if single else back) != value:
        raise Unfit(f"{value!r} has more than {scale} decimals")
    return fixed


def _digits_limit(*, single: bool) -> float:
    """Return the bound below which a decimal of that many digits survives the float type and comes back."""
    return 1e6 if single else 1e15
