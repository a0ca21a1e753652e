"""The join against `state_at`, which looks at one key's log and shares none of the join's arithmetic."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from featurestore.offline.point_in_time import join as module
from featurestore.offline.point_in_time import timeline
from featurestore.offline.point_in_time.event_rows import EventRows
from featurestore.offline.point_in_time.join import join, stacked
from featurestore.semantics.aggregate import SUMMING, Aggregate, Kind, latest_event_us, state_at
from featurestore.semantics.finalise import finalise
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.status import Status
from featurestore.semantics.value import Column, DType, Float64, Int64, String, column, identical

FLOATS = [None, 1.5, 2.25, math.nan, math.inf, -math.inf, -0.0, 0.0, -3.0, 1e30, 0.125]
LARGE = [None, 2**62, -(2**62), 2**53 + 1, 1, 2, 3]
TEXTS = [None, "a", "b", "ü", ""]


def _rows(draw: random.Random) -> EventRows:
    events = []
    for index in range(draw.randint(1, 25)):
        event = draw.randint(0, 20)
        available = event + draw.choice([0, 0, 0, 1, 5, 30])
        enter = max(event, available)
        leave = draw.choice([NEVER_US] * 4 + [enter + draw.randint(1, 15)])
        values = (draw.choice(FLOATS), draw.choice(LARGE), draw.choice(TEXTS))
        events.append((draw.randrange(3), event, available, index, enter, leave, *values))
    events.sort(key=lambda event: event[:4])
    codes = np.array([event[0] for event in events])
    keys, codes = np.unique(codes, return_inverse=True)
    event_us, enter_us, leave_us = (np.array([event[part] for event in events], dtype=np.int64) for part in (1, 4, 5))
    return EventRows(
        column(Int64, keys.tolist()),
        codes.astype(np.int64),
        event_us,
        enter_us,
        leave_us,
        {
            "f": column(Float64, [event[6] for event in events]),
            "i": column(Int64, [event[7] for event in events]),
            "s": column(String, [event[8] for event in events]),
        },
    )


def _aggregates() -> dict[str, Aggregate]:
    made = {"count": Aggregate(Kind.COUNT, None, None, 7), "last": Aggregate(Kind.LAST, "f", Float64, None)}
    dtypes: dict[str, DType] = {"f": Float64, "i": Int64, "s": String}
    for window in (3, 7, 50):
        for kind in Kind:
            for name, dtype in dtypes.items():
                if kind in SUMMING and (name == "s" or (name == "i" and kind is Kind.SUM)):
                    continue
                scale = 2 if name == "f" and kind in SUMMING else None
                made[f"{kind}_{name}_{window}"] = Aggregate(kind, name, dtype, window, scale)
    return made


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("rank_always", [False, True], ids=["packed", "ranked"])
def test_the_join_gives_what_each_log_gives(seed: int, rank_always: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(seed)
    rows, aggregates = _rows(draw), _aggregates()
    if rank_always:
        monkeypatch.setattr(timeline, "AXIS_LIMIT", 0)
    spine = [(draw.randrange(-1, len(rows.keys)), draw.randint(-2, 75)) for _ in range(draw.choice([1, 5, 300]))]
    codes, instants = (np.array(part, dtype=np.int64) for part in zip(*spine, strict=True))
    frame = join(rows, aggregates, codes, instants, threads=draw.choice([1, 2]))
    for row, (code, t_us) in enumerate(spine):
        log = rows.log(rows.bounds(code) if code >= 0 else slice(0, 0))
        latest = latest_event_us(log, t_us)
        assert bool(frame.has_latest[row]) == (latest is not None)
        assert latest is None or latest == frame.latest_event_us[row]
        for name, aggregate in aggregates.items():
            value, status = finalise(aggregate, state_at(log, aggregate, t_us))
            assert _same(frame.columns[name], row, value), (name, code, t_us)
            assert frame.statuses[name][row] == status[0]


def _same(of: Column, row: int, value: Column) -> bool:
    return bool(identical(of.take(np.array([row])), value)[0])


def test_a_spine_without_history_is_missing_throughout() -> None:
    none = np.zeros(0, dtype=np.int64)
    rows = EventRows(column(Int64, []), none, none, none, none, {"f": column(Float64, []), "i": column(Int64, [])})
    aggregates = {"n": Aggregate(Kind.COUNT, None, None, 7), "m": Aggregate(Kind.MAX, "f", Float64, 7)}
    frame = join(rows, aggregates, np.array([-1, -1]), np.array([1, 2]))
    assert frame.columns["n"].to_pylist() == [0, 0]
    assert frame.columns["m"].to_pylist() == [None, None]
    assert not frame.has_latest.any()


def test_pieces_and_threads_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(99)
    rows, aggregates = _rows(draw), _aggregates()
    codes = np.array([draw.randrange(-1, 3) for _ in range(500)], dtype=np.int64)
    instants = np.array([draw.randint(-2, 75) for _ in range(500)], dtype=np.int64)
    codes = np.minimum(codes, len(rows.keys) - 1)
    whole = join(rows, aggregates, codes, instants, threads=1)
    monkeypatch.setattr(timeline, "CHUNK_ROWS", 64)
    monkeypatch.setattr("featurestore.offline.point_in_time.join.CHUNK_ROWS", 64)
    pieces = join(rows, aggregates, codes, instants, threads=2)
    for name, of in whole.columns.items():
        assert identical(of, pieces.columns[name]).all()
        assert (whole.statuses[name] == pieces.statuses[name]).all()


def test_many_keys_over_ten_thousand_years_still_fit_the_axis() -> None:
    count = 3_000
    event = np.where(np.arange(count) % 2 == 0, -62_135_596_800_000_000, 253_402_300_799_999_999 - 10)
    rows = EventRows(column(Int64, list(range(count))), np.arange(count), event, event, np.full(count, NEVER_US), {})
    frame = join(rows, {"n": Aggregate(Kind.COUNT, None, None, 5)}, np.arange(count), event + 4)
    assert frame.columns["n"].values.tolist() == [1] * count


def test_a_sum_beyond_64_bits_is_null_and_nobody_elses_concern() -> None:
    event = np.array([0, 1, 50, 50])
    values = column(Int64, [2**62, 2**62, 5, 6])
    rows = EventRows(column(Int64, [7, 8]), np.array([0, 0, 0, 1]), event, event, np.full(4, NEVER_US), {"x": values})
    aggregates = {"sum": Aggregate(Kind.SUM, "x", Int64, 10), "mean": Aggregate(Kind.MEAN, "x", Int64, 10)}
    for length in (3, 300):
        codes, instants = np.tile([0, 0, 1], length // 3), np.tile([5, 55, 55], length // 3)
        frame = join(rows, aggregates, codes, instants)
        assert frame.columns["sum"].to_pylist() == [None, 5, 6] * (length // 3)
        assert frame.statuses["sum"].tolist() == [Status.NULL, Status.PRESENT, Status.PRESENT] * (length // 3)
        assert frame.columns["mean"].to_pylist() == [2.0**62, 5.0, 6.0] * (length // 3)


def test_a_prepared_join_answers_again_and_again_whether_it_holds_states_or_not(monkeypatch):
    draw = random.Random(5)
    rows, aggregates = _rows(draw), _aggregates()
    holding = module.PreparedJoin(rows, aggregates)
    monkeypatch.setattr(module, "HELD_STATES", 0)
    forgetting = module.PreparedJoin(rows, aggregates)
    for _ in range(3):
        codes = np.array([draw.randrange(-1, len(rows.keys)) for _ in range(20)])
        instants = np.array([draw.randint(-5, 80) for _ in range(20)], dtype=np.int64)
        right = join(rows, aggregates, codes, instants)
        for prepared in (holding, forgetting):
            frame = prepared.at(codes, instants)
            assert (frame.latest_event_us[frame.has_latest] == right.latest_event_us[right.has_latest]).all()
            for name in aggregates:
                assert identical(frame.columns[name], right.columns[name]).all()
                assert (frame.statuses[name] == right.statuses[name]).all()


def test_frames_stack_and_part_again():
    draw = random.Random(6)
    rows, aggregates = _rows(draw), _aggregates()
    codes, instants = np.array([0, -1, 0, 0]), np.array([5, 5, 20, 60], dtype=np.int64)
    whole = join(rows, aggregates, codes, instants)
    again = stacked([whole.take(np.array([2, 3])), whole.take(np.array([0, 1]))]).take(np.array([2, 3, 0, 1]))
    assert (again.latest_event_us == whole.latest_event_us).all()
    assert (again.has_latest == whole.has_latest).all()
    for name in aggregates:
        assert identical(again.columns[name], whole.columns[name]).all()
        assert (again.statuses[name] == whole.statuses[name]).all()
