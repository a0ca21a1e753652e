"""Values as JSON has them: read strictly into storage form, written without loss.

=============  ====================================================  =======================================
type           read from                                             written as
=============  ====================================================  =======================================
Int64          whole number                                          number, also beyond 2^53
Float64        number, ``"NaN"``, ``"Infinity"``, ``"-Infinity"``    the same
Float32        the same, rounded to the nearest float32              the equal double
Bool           true, false                                           the same
String         string                                                string
Timestamp      RFC 3339 string with a zone, at most microseconds     RFC 3339 string in UTC
Decimal(s)     string of digits; number of at most 15 digits         string with s decimals
=============  ====================================================  =======================================
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Context
from decimal import Decimal as Exact
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.foundation.clock import EARLIEST_US, LATEST_US, format_instant, parse_instant
from featurestore.foundation.errors import ClockError
from featurestore.semantics.value import DType

Reader = Callable[[Any], Any]
Writer = Callable[[Any], Any]

FLOAT32_MAX = 3.4028235677973366e38
"""The least double that rounds to an infinite float32: 2^128 - 2^103."""
FLOAT64_MAX = 2**1024 - 2**970
"""The least integer that rounds to an infinite double; only a program can hand over such, no JSON has it."""
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_DECIMAL_LIMIT = 10**18
_EXACT_DIGITS = 15
_WIDE = Context(prec=80)
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


class UnreadableValue(ValueError):
    """A JSON value is not of the type it should be.

    Attributes
    ----------
    mend
        What to send instead.
    """

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.mend = mend


def reader(dtype: DType) -> Reader:
    """Return the function from a JSON value, not null, to storage form; it raises `UnreadableValue`."""
    if dtype.name == "decimal":
        scale = dtype.scale or 0
        return lambda value: _read_decimal(value, scale)
    return _READERS[dtype.name]


def writer(dtype: DType) -> Writer:
    """Return the function from storage form, not null, to what orjson writes."""
    if dtype.name == "decimal":
        scale = dtype.scale or 0
        return lambda value: f"{Exact(value).scaleb(-scale):.{scale}f}"
    return _WRITERS.get(dtype.name, lambda value: value)


def write_number(value: float) -> float | str:
    """Return a float for JSON: not-a-number and infinities as the strings that `reader` reads."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def write_output(values: NDArray[Any]) -> list[Any]:
    """Return a model's output for JSON, an entry per row: a value of a ``(N,)`` array, a list of an ``(N, k)`` one."""
    entries: list[Any] = values.tolist()
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return entries
    return [
        [write_number(value) for value in entry] if isinstance(entry, list) else write_number(entry)
        for entry in entries
    ]


def shown(value: Any) -> str:
    """Return a JSON value as an error shows it, cut at 60 characters."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _read_int64(value: Any) -> int:
    # orjson reads whole numbers beyond 64 bits as floats.
    wide = type(value) is float and abs(value) > _INT64_MAX
    if type(value) is not int and not wide:
        raise UnreadableValue(f"{shown(value)} is not a whole number", "send a JSON number without point or quotes")
    if wide or not _INT64_MIN <= value <= _INT64_MAX:
        raise UnreadableValue(f"{shown(value)} does not fit int64", "send a number from -2^63 to 2^63 - 1")
    return int(value)


def _read_float64(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int and abs(value) < FLOAT64_MAX:
        return float(value)
    if type(value) is str and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    raise UnreadableValue(
        f"{shown(value)} is not a number", 'send a JSON number without quotes, or "NaN", "Infinity", "-Infinity"'
    )


def _read_float32(value: Any) -> float:
    number = _read_float64(value)
    if math.isfinite(number) and abs(number) >= FLOAT32_MAX:
        raise UnreadableValue(f"{value} does not fit float32", "send a number below 3.4e38 in size")
    return number


def _read_bool(value: Any) -> bool:
    if type(value) is not bool:
        raise UnreadableValue(f"{shown(value)} is not a boolean", "send true or false, without quotes")
    return value


def _read_string(value: Any) -> str:
    if type(value) is not str:
        raise UnreadableValue(f"{shown(value)} is not a string", "send it in quotes")
    return value


def _read_timestamp(value: Any) -> int:
    if type(value) is not str:
        raise UnreadableValue(f"{shown(value)} is not an instant", 'send it as "2017-12-31T09:30:00Z"')
    try:
        instant = parse_instant(value)
    except ClockError as error:
        raise UnreadableValue(error.what, error.mend or "") from None
    if not EARLIEST_US <= instant <= LATEST_US:
        raise UnreadableValue(f"{shown(value)} is outside the years 1 to 9999 UTC", "send an instant within them")
    return instant


def _read_decimal(value: Any, scale: int) -> int:
    scaled = _exact(value, scale).scaleb(scale, _WIDE)
    if scaled != scaled.to_integral_value():
        raise UnreadableValue(
            f"{shown(value)} has more than {scale} decimals", f"round it to {scale} decimals before you send it"
        )
    if abs(scaled) >= _DECIMAL_LIMIT:
        raise UnreadableValue(f"{shown(value)} has more than 18 digits", "send at most 18 digits in all")
    return int(scaled)


def _exact(value: Any, scale: int) -> Exact:
    if type(value) is int and abs(value) < _DECIMAL_LIMIT:
        return Exact(value)
    if type(value) is float and len(Exact(repr(value)).normalize().as_tuple().digits) <= _EXACT_DIGITS:
        return Exact(repr(value))
    if type(value) is str and len(value) <= 40 and _DECIMAL.fullmatch(value):
        return Exact(value)
    example = f"12.{'5'.ljust(scale, '0')}" if scale else "12"
    if type(value) is float:
        raise UnreadableValue(
            f"{value!r} has more digits than a JSON number keeps exactly", f'send it as a string, as "{example}"'
        )
    raise UnreadableValue(f"{shown(value)} is not a decimal", f'send it as a string, as "{example}"')


_READERS: dict[str, Reader] = {
    "int64": _read_int64,
    "float64": _read_float64,
    "float32": _read_float32,
    "bool": _read_bool,
    "string": _read_string,
    "timestamp": _read_timestamp,
}
_WRITERS: dict[str, Writer] = {"float64": write_number, "float32": write_number, "timestamp": format_instant}
