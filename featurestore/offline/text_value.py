"""Texts as values of a declared type, strictly: what a CSV cell may look like.

A text is taken or it is refused with a reason; nothing is guessed, trimmed or rounded. The one rounding there is: a
decimal text becomes the nearest float of the declared width.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from featurestore.foundation.clock import EARLIEST_US, LATEST_US
from featurestore.semantics.value import DType

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
MAX_DIGITS = 18

WHOLE = r"^[+-]?[0-9]+$"
FLOAT = r"^[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[iI][nN][fF]([iI][nN][iI][tT][yY])?|[nN][aA][nN])$"
PLAIN_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?$"
INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$"
LOCAL = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?)?$"

_MOMENT = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?P<time>\d{2}:\d{2}(?::\d{2})?)(?:\.(?P<fraction>\d+))?(?P<zone>[Zz]|[+-]\d{2}:\d{2})?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BOOLS = {"true": True, "false": False, "1": True, "0": False}


class Unfit(ValueError):
    """A value that the declared type cannot hold unchanged; the text is the reason."""


def parse_text(text: str, dtype: DType, zone: str | None) -> Any:
    """Read one text as a value of ``dtype`` in storage form: µs UTC for timestamps, scaled integers for decimals.

    Raises
    ------
    Unfit
        With the reason, if the text is not exactly one value of the type.
    """
    if dtype.name == "timestamp":
        return parse_moment(text, zone)
    if dtype.name == "decimal":
        return scaled(_decimal(text), dtype.scale or 0)
    value: Any = _PARSERS[dtype.name](text)
    return value


def parse_moment(text: str, zone: str | None) -> int:
    """Read an RFC 3339 instant, or a local date or date-time where ``zone`` says how to read it; return µs UTC."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise Unfit(f"{text!r} is not an instant such as 2017-12-31T18:30:00Z")
    micros = _micros(match["fraction"] or "")
    try:
        moment = datetime.fromisoformat(f"{match['date']}T{match['time'] or '00:00'}{(match['zone'] or '').upper()}")
    except ValueError as error:
        raise Unfit(f"{text!r} is not an instant: {error}") from None
    if moment.tzinfo is None and zone is None:
        raise Unfit(f"{text!r} has no time zone: write one, or set the source's timezone")
    aware = moment if moment.tzinfo is not None else localise(moment, str(zone))
    return in_range((aware - _EPOCH) // timedelta(microseconds=1) + micros)


def localise(moment: datetime, zone: str) -> datetime:
    """Read a wall clock in ``zone``; times that a change of the clocks skips or repeats are refused."""
    first, second = (moment.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        raise Unfit(f"{moment.isoformat()} is skipped or repeated by a change of the clocks in {zone}")
    return first


def in_range(instant_us: int) -> int:
    """Return the instant if it lies in the years 1 to 9999."""
    if not EARLIEST_US <= instant_us <= LATEST_US:
        raise Unfit("is outside the years 1 to 9999")
    return instant_us


def scaled(number: decimal.Decimal, scale: int) -> int:
    """Return ``number * 10**scale`` if that is a whole number of at most 18 digits."""
    if number == 0:
        return 0
    if number.adjusted() + scale >= MAX_DIGITS:
        raise Unfit(f"{number} has more than {MAX_DIGITS} digits at scale {scale}")
    sign, digits, exponent = number.as_tuple()
    shift = int(exponent) + scale
    whole, lost = divmod(int("".join(map(str, digits))), int(10 ** max(-shift, 0)))
    whole *= int(10 ** max(shift, 0))
    if lost:
        raise Unfit(f"{number} has more than {scale} decimals")
    return -whole if sign else whole


def shown(value: Any) -> str:
    """Write a value for an error message, cut to what a line can bear."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _micros(fraction: str) -> int:
    if fraction[6:].strip("0"):
        raise Unfit(f"fraction .{fraction} is finer than a microsecond")
    return int(fraction[:6].ljust(6, "0"))


def _int(text: str) -> int:
    if re.match(WHOLE, text) is None or text.endswith("\n"):
        raise Unfit(f"{shown(text)} is not a whole number")
    if len(text) > 25 or not INT64_MIN <= int(text) <= INT64_MAX:
        raise Unfit(f"{shown(text)} does not fit 64 bits")
    return int(text)


def _float(kind: pa.DataType) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if re.match(FLOAT, text) is None or text.endswith("\n"):
            raise Unfit(f"{shown(text)} is not a number")
        value = float(pa.scalar(text.removeprefix("+")).cast(kind).as_py())
        if value in (float("inf"), float("-inf")) and "n" not in text.lower():
            raise Unfit(f"{shown(text)} is too large for a {kind}")
        return value

    return parse


def _bool(text: str) -> bool:
    if text.lower() not in _BOOLS:
        raise Unfit(f"{shown(text)} is neither true nor false")
    return _BOOLS[text.lower()]


def _decimal(text: str) -> decimal.Decimal:
    if re.match(NUMBER, text) is None or text.endswith("\n"):
        raise Unfit(f"{shown(text)} is not a decimal number")
    return decimal.Decimal(text)


_PARSERS: dict[str, Callable[[str], Any]] = {
    "int64": _int,
    "float64": _float(pa.float64()),
    "float32": _float(pa.float32()),
    "bool": _bool,
    "string": str,
}
