from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from featurestore.semantics.aggregate import (
    Aggregate,
    AggregateState,
    EventLog,
    Kind,
    latest_event_us,
    next_change_us,
    state_at,
)
from featurestore.semantics.finalise import finalise
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.log_states import LogBatch, LogsAt, latest_at, next_changes_us, states_at
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
)

POOLS: dict[str, tuple[DType, list[Any]]] = {
    "amount": (Decimal(2), [None, 0, 5, -7, 10**17]),
    "big": (Int64, [None, 1, 2, 2**62, -(2**62), 2**63 - 1, -(2**63)]),
    "flag": (Bool, [None, True, False]),
    "kind": (String, [None, "", "a", "b", "ä"]),
    "ratio": (Float64, [None, 0.0, -0.0, 0.125, math.nan, math.inf, -math.inf, 1e300, 4e16]),
    "small": (Float32, [None, 0.0, -0.0, 0.5, math.nan, math.inf]),
    "when": (Timestamp, [None, 0, 2**62, -(2**62)]),
}
TAME = {"amount": [None, 5, 7], "big": [1, 2, 3], "ratio": [0.25, None], "small": [0.5]}
WINDOWS = (6, 25)


def _aggregates() -> list[Aggregate]:
    found = [Aggregate(Kind.COUNT, None, None, window) for window in WINDOWS]
    for name, (dtype, _) in POOLS.items():
        kinds = set(Kind) if dtype.numeric else set(Kind) - {Kind.SUM, Kind.MEAN, Kind.STD}
        for scale in (1, 2) if dtype.floating else (None,):
            found += [Aggregate(kind, name, dtype, window, scale) for window in WINDOWS for kind in sorted(kinds)]
        found.append(Aggregate(Kind.LAST, name, dtype, None))
    return found


AGGREGATES = _aggregates()


def _log(rng: random.Random, tame: bool) -> EventLog:
    m = rng.choice((0, 0, 1, 2, 5, 12))
    event = sorted(rng.randrange(40) for _ in range(m))
    available = [at + rng.choice((-3, 0, 0, 1, 15)) for at in event]
    leave = [rng.choice((NEVER_US, NEVER_US, at + rng.randrange(-5, 30))) for at in event]
    pools: dict[str, Any] = {name: TAME.get(name, pool) if tame else pool for name, (_, pool) in POOLS.items()}
    columns = {name: column(dtype, rng.choices(pools[name], k=m)) for name, (dtype, _) in POOLS.items()}
    at_us, available_us, leave_us = (np.array(part, dtype=np.int64) for part in (event, available, leave))
    return EventLog(at_us, available_us, leave_us, columns)


def _same_state(left: AggregateState, right: AggregateState) -> bool:
    for name in ("n_events", "n_valid", "total", "total_squares", "n_unrepresentable", "n_distinct"):
        one, other = getattr(left, name), getattr(right, name)
        if (one is None) != (other is None) or (one is not None and one.tolist() != other.tolist()):
            return False
    if left.value is None or right.value is None:
        return left.value is right.value
    return bool(identical(left.value, right.value).all())


@pytest.mark.parametrize("tame", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_many_logs_at_once_give_what_each_gives_alone(seed: int, tame: bool) -> None:
    rng = random.Random(seed)
    logs = [_log(rng, tame) for _ in range(9)]
    instants = np.array([rng.randrange(60) for _ in logs])
    many = states_at(logs, AGGREGATES, instants)
    latest_us, there = latest_at(logs, instants)
    changes = next_changes_us(logs, WINDOWS, instants)
    for i, (log, t_us) in enumerate(zip(logs, instants.tolist(), strict=True)):
        for aggregate, states in zip(AGGREGATES, many, strict=True):
            mine = states.take(np.array([i]))
            assert _same_state(mine, state_at(log, aggregate, t_us)), aggregate
            together = finalise(aggregate, states)[0].take(np.array([i]))
            assert identical(together, finalise(aggregate, state_at(log, aggregate, t_us))[0]).all(), aggregate
        assert (latest_us[i] if there[i] else None) == latest_event_us(log, t_us)
        assert changes[i] == next_change_us(log, WINDOWS, t_us)


def test_one_instant_stands_for_all_logs() -> None:
    rng = random.Random(7)
    logs = [_log(rng, True) for _ in range(5)]
    batch = LogBatch.of(logs)
    assert len(batch) == 5
    for one, each in zip(states_at(logs, AGGREGATES, 20), states_at(batch, AGGREGATES, np.full(5, 20)), strict=True):
        assert _same_state(one, each)
    assert next_changes_us(logs, WINDOWS, 20).tolist() == next_changes_us(batch, WINDOWS, np.full(5, 20)).tolist()


def test_logs_without_any_version_have_states_too() -> None:
    none = np.empty(0, dtype=np.int64)
    empty = EventLog(none, none, none, {name: column(dtype, []) for name, (dtype, _) in POOLS.items()})
    for aggregate, state in zip(AGGREGATES, states_at([empty, empty], AGGREGATES, 5), strict=True):
        assert _same_state(state.take(np.array([1])), state_at(empty, aggregate, 5)), aggregate
    assert latest_at([empty], 5)[1].tolist() == [False]
    assert next_changes_us([empty], WINDOWS, 5).tolist() == [NEVER_US]


def test_strings_that_stand_at_nulls_do_not_matter() -> None:
    at = np.array([1, 2])
    held = Column(String, np.array([None, "b"], dtype=object), np.array([True, False]))
    log = EventLog(at, at, np.array([NEVER_US] * 2), {"kind": held})
    for kind in (Kind.MIN, Kind.MAX, Kind.DISTINCT, Kind.LAST):
        aggregate = Aggregate(kind, "kind", String, 9)
        assert _same_state(states_at([log], [aggregate], 3)[0], state_at(log, aggregate, 3))


@pytest.mark.parametrize("seed", range(4))
def test_the_instants_after_one_are_the_changes_one_after_the_other(seed: int) -> None:
    rng = random.Random(seed)
    batch = LogBatch.of(logs := [_log(rng, True) for _ in range(7)])
    instants = LogsAt(batch, 20).next_instants_us(WINDOWS, 5)
    for i, log in enumerate(logs):
        expected = [20]
        while len(expected) < 5:
            expected.append(next_change_us(log, WINDOWS, expected[-1]))
        assert instants[:, i].tolist() == expected


def test_repeated_logs_are_each_seen_at_an_instant_of_its_own() -> None:
    rng = random.Random(3)
    batch = LogBatch.of([_log(rng, False) for _ in range(4)])
    instants = np.array([rng.randrange(60) for _ in range(12)])
    many = states_at(batch.repeated(3), AGGREGATES, instants)
    for i in range(3):
        for one, states in zip(states_at(batch, AGGREGATES, instants[4 * i : 4 * i + 4]), many, strict=True):
            assert _same_state(one, states.take(np.arange(4 * i, 4 * i + 4)))
