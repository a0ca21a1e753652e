"""A month of receipts as the tills would have sent them: most at once, some late, some corrected later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurestore.foundation.clock import DAY, HOUR, MINUTE, format_instant

SEED = 20_171_201
LATE_FRACTION = 0.05
CORRECTED_FRACTION = 0.01
LATEST_ARRIVAL_US = 3 * DAY
TICK_US = 10 * MINUTE
"""How far the clock moves at a time: what arrives in between is sent together."""
INSTANT = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A receipt, or its correction, and the instant it reaches the gateway, microseconds UTC."""

    at_us: int
    row: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tick:
    """What arrives until an instant, microseconds UTC, since the tick before."""

    until_us: int
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Replay:
    """What is sent, in order, and how much of it is late or a correction."""

    ticks: list[Tick]
    events: int
    late: int
    corrected: int
    households: list[int]


def split_history(baskets: Path, before: Path, cut_us: int) -> int:
    """Write the receipts before an instant to a file of their own, for the import; return how many."""
    table = pq.read_table(baskets)
    kept = table.filter(pc.less(table["timestamp"], pa.scalar(cut_us, INSTANT)))
    pq.write_table(kept, before, compression="zstd")
    return int(kept.num_rows)


def plan_replay(baskets: Path, cut_us: int, seed: int = SEED) -> Replay:
    """Return the receipts from an instant on as they arrive; the same file and seed give the same replay."""
    table = pq.read_table(baskets)
    rows = table.filter(pc.greater_equal(table["timestamp"], pa.scalar(cut_us, INSTANT))).to_pylist()
    chance = np.random.default_rng(seed)
    late = corrected = 0
    arrivals: list[Arrival] = []
    for row in rows:
        happened_us = _micros(row)
        is_late = chance.random() < LATE_FRACTION
        arrives_us = happened_us + (int(chance.integers(MINUTE, LATEST_ARRIVAL_US)) if is_late else 0)
        late += is_late
        arrivals.append(Arrival(arrives_us, _as_json(row)))
        if chance.random() < CORRECTED_FRACTION:
            corrected += 1
            arrivals.append(
                Arrival(arrives_us + int(chance.integers(HOUR, 2 * DAY)), _as_json(_corrected(row, chance)))
            )
    arrivals.sort(key=lambda each: each.at_us)
    households = sorted({row["household_id"] for row in table.select(["household_id"]).to_pylist()})
    return Replay(list(_ticks(arrivals)), len(rows), late, corrected, households)


def _ticks(arrivals: list[Arrival]) -> Iterator[Tick]:
    for number, members in groupby(arrivals, key=lambda each: each.at_us // TICK_US):
        yield Tick((number + 1) * TICK_US, [each.row for each in members])


def _corrected(row: dict[str, Any], chance: np.random.Generator) -> dict[str, Any]:
    """Return the receipt with a coupon that was forgotten, or an hour that was wrong."""
    if chance.random() < 0.5:
        return {**row, "coupon_disc": row["coupon_disc"] + Decimal(int(chance.integers(1, 500))) / 100}
    return {**row, "timestamp": row["timestamp"] - int(chance.integers(1, 4)) * _HOUR}


def _micros(row: dict[str, Any]) -> int:
    return int(pa.scalar(row["timestamp"], INSTANT).cast(pa.int64()).as_py())


def _as_json(row: dict[str, Any]) -> dict[str, Any]:
    texts = {name: str(value) for name, value in row.items() if isinstance(value, Decimal)}
    return {**row, **texts, "timestamp": format_instant(_micros(row))}


_HOUR = pa.scalar(HOUR, pa.duration("us")).as_py()
