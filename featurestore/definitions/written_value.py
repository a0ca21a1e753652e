"""Values as an author writes them in a definition, such as a default, in the form they are stored in."""

from __future__ import annotations

import decimal
import math
import struct
from typing import Any

from featurestore.foundation.clock import parse_instant
from featurestore.foundation.errors import ClockError
from featurestore.semantics.value import DType

_EXAMPLES = {
    "int64": "a whole number of 64 bits",
    "float64": "a finite number",
    "float32": "a finite number within float32",
    "bool": "True or False",
    "string": "a string",
    "timestamp": 'an instant such as "2017-12-31T00:00:00Z"',
    "decimal": 'a number that its decimals hold, as in "1.25"',
}


def value_example(dtype: DType) -> str:
    """Return what an error asks for in place of a value that is none of the type."""
    return _EXAMPLES[dtype.name]


def stored_value(dtype: DType, value: object) -> Any:
    """Return a written value in storage form, or ``None`` if the type has no such value."""
    if dtype.name in ("bool", "string"):
        return value if type(value) is (bool if dtype.name == "bool" else str) else None
    if dtype.name == "int64":
        return value if type(value) is int and -(2**63) <= value < 2**63 else None
    if dtype.name == "timestamp":
        return _instant(value)
    if dtype.name == "decimal":
        return _scaled(value, dtype.scale or 0)
    return _finite(value, dtype)


def _instant(value: object) -> int | None:
    try:
        return parse_instant(value) if isinstance(value, str) else None
    except ClockError:
        return None


def _scaled(value: object, scale: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, str, decimal.Decimal)):
        return None
    try:
        exact = decimal.Decimal(value).scaleb(scale, decimal.Context(prec=60))
    except decimal.InvalidOperation:
        return None
    whole = exact.is_finite() and exact == exact.to_integral_value() and abs(exact) < 10**18
    return int(exact) if whole else None


def _finite(value: object, dtype: DType) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    if dtype.name == "float32":
        return _nearest_float32(number)
    return number if math.isfinite(number) and number == value else None


def _nearest_float32(number: float) -> float | None:
    if not math.isfinite(number):
        return None
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        return None
