"""Columns of instants, dates and wall clocks as timestamps in µs UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.foundation.clock import EARLIEST_US, LATEST_US
from featurestore.offline.column_rule import Rule, TypeMismatch, cast_to
from featurestore.offline.text_value import Unfit, in_range, localise

UTC_MICROS = pa.timestamp("us", tz="UTC")
WALL_MICROS = pa.timestamp("us")
_PER_UNIT = {"s": 1_000_000, "ms": 1_000, "us": 1}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RULES_AGREE_US = (0, 2_114_380_800_000_000)
"""Wall clocks of 1970 to 2036, for which Arrow has every zone's rules; beyond, only the slow reading knows them."""


def instant_rule(found: pa.DataType, zone: str | None) -> Rule | None:
    """Return how a typed column is read as timestamps; ``None`` if it holds neither instants nor dates.

    Raises
    ------
    TypeMismatch
        If it has no time zone and ``zone`` is ``None``.
    """
    if pa.types.is_timestamp(found) and found.tz is not None:
        return Rule(instants_or_none, lambda value: _micros(value, found.unit))
    if not (pa.types.is_timestamp(found) or pa.types.is_date(found)):
        return None
    if zone is None:
        raise TypeMismatch(
            f"the file has {found}, instants without a time zone",
            'say how to read them on the source, as in timezone="UTC"',
        )
    if pa.types.is_date(found):
        return Rule(lambda array: local_or_none(array, zone), lambda value: _local_us(_midnight(value), zone))
    return Rule(lambda array: local_or_none(array, zone), lambda value: _wall_us(value, found.unit, zone))


def instants_or_none(array: pa.Array) -> pa.Array | None:
    """Read instants with zones, all of them whole microseconds of the years 1 to 9999."""
    moments = cast_to(UTC_MICROS)(array)
    return moments if moments is not None and _all_in_range(moments) else None


def local_or_none(array: pa.Array, zone: str) -> pa.Array | None:
    """Read wall clocks in ``zone``, none of them skipped or repeated by a change of the clocks there."""
    walls = cast_to(WALL_MICROS)(array)
    if walls is None or not _all_in_range(walls):
        return None
    if zone == "UTC":
        return walls.cast(UTC_MICROS)
    if not _all_in_range(walls, *_RULES_AGREE_US):
        return None
    try:
        return pc.assume_timezone(walls, zone).cast(UTC_MICROS)
    except pa.ArrowInvalid:
        return None


def _all_in_range(moments: pa.Array, earliest_us: int = EARLIEST_US, latest_us: int = LATEST_US) -> bool:
    edges = pc.min_max(moments.cast(pa.int64())).as_py()
    return edges["min"] is None or bool(edges["min"] >= earliest_us and edges["max"] <= latest_us)


def _micros(value: int, unit: str) -> int:
    if unit == "ns" and value % 1_000:
        raise Unfit(f"{value} ns since 1970 is finer than a microsecond")
    return in_range(value // 1_000 if unit == "ns" else value * _PER_UNIT[unit])


def _wall_us(value: int, unit: str, zone: str) -> int:
    return _local_us(np.datetime64(_micros(value, unit), "us").astype(datetime), zone)


def _midnight(value: date) -> datetime:
    return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - a wall clock, localised next


def _local_us(wall: Any, zone: str) -> int:
    return in_range((localise(wall, zone) - _EPOCH) // timedelta(microseconds=1))
