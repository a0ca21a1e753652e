"""Training sets: each row is what the oracle says of its own keys, instant and request values; labels look ahead."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.definitions import (
    Count,
    Delay,
    DistinctCount,
    Entity,
    EventSource,
    FeatureService,
    FeatureView,
    Label,
    Last,
    Max,
    Mean,
    Min,
    Request,
    StdDev,
    Sum,
    request_feature,
)
from featurestore.definitions.aggregation import Aggregation
from featurestore.foundation.clock import LATEST_US, FixedClock, format_duration, parse_duration
from featurestore.offline.duckdb_store import DuckDBStore, open_offline_store
from featurestore.offline.event_import import import_file
from featurestore.retrieval.training_set import build_training_set
from featurestore.semantics.arrow_column import arrow_type
from featurestore.semantics.value import Float64, Int64, Timestamp
from tests.oracle import point_in_time as oracle
from tests.property.engine import bits_of, take_in
from tests.property.histories import SCALE, Chooser, Drawn, History, Seeded, Setting, make_history, make_setting

Row = tuple[Any, int, Any, float | None]

LABELS_EACH = 4
AMOUNTS: list[float | None] = [1.5, 0.0, -0.0, math.nan, math.inf, 1e308, None]
LABELS: list[tuple[Aggregation, Any]] = [
    (Sum("whole"), 0),
    (Sum("money"), None),
    (Sum("double", scale=SCALE), -1.5),
    (Mean("whole"), None),
    (StdDev("count"), None),
    (Min("double"), None),
    (Max("huge"), 7),
    (Last("text"), "none"),
    (DistinctCount("flag"), None),
    (Count(), None),
]


@dataclass
class Side:
    """One entity: its setting, the history of its key space, and the last commit."""

    setting: Setting
    history: History
    last: int = 0


@dataclass
class Outlook:
    """A label as the oracle knows it."""

    ask: oracle.Ask
    over: int
    late: int
    empty: Any
    than: str | None
    label: Label


def make_outlook(choose: Chooser, setting: Setting) -> Outlook:
    aggregation, empty = choose.one(LABELS)
    over = choose.one(setting.spans_us)
    late = choose.one(["0s", "1us", "3us", "1h"])
    empty = choose.one([None, empty, empty])
    numeric = aggregation.column in ("whole", "huge", "money", "double") or aggregation.kind in ("count", "distinct")
    than = choose.one([None, "whole", "huge", "money", "double"]) if numeric else None
    label = Label(
        "outlook",
        aggregation,
        setting.view,
        over=format_duration(over),
        lateness=late,
        empty=empty,
        exceeds=None if than is None else setting.view[than],
    )
    ask = oracle.Ask("outlook", str(aggregation.kind), aggregation.column, None, aggregation.scale)
    return Outlook(ask, over, parse_duration(late), empty, than, label)


def expected_label(side: Side, outlook: Outlook, key: Any, t: int, as_of: int) -> Any:
    if t + outlook.over + outlook.late > as_of:
        return None
    setting, history = side.setting.oracle, side.history.versions
    told = oracle.label(history, setting, outlook.ask, key, t, side.last, over=outlook.over, late=outlook.late)
    value = outlook.empty if told.status == oracle.MISSING and outlook.empty is not None else told.value
    if outlook.than is None:
        return value
    other = oracle.answers(history, setting, key, t, side.last)[outlook.than].value
    return None if value is None or other is None else greater(value, other)


def greater(value: Any, other: Any) -> bool:
    """Compare integers as they are, and all else as doubles."""
    return value > other if isinstance(value, int) and isinstance(other, int) else float(value) > float(other)


@dataclass
class Figures:
    """What a run compared."""

    sets: int = 0
    rows: int = 0
    labels: int = 0


def check(choose: Chooser, figures: Figures) -> None:
    """Import two histories, and compare training sets over both with the oracle, under several labels."""
    settings = make_setting(choose), make_setting(choose, "far_")
    near, far = (Side(setting, make_history(choose, setting, 0, 3)) for setting in settings)
    rows: list[Row] = [
        (*question, choose.one(far.history.keys), choose.one(AMOUNTS))
        for question in near.history.questions
        for _ in range(choose.integer(1, 2))
    ]
    with TemporaryDirectory() as folder:
        for side in (near, far):
            side.last = take_in(side.setting, [side.history], Path(folder))
        with closing(open_offline_store(Path(folder), threads=2)) as store:
            for _ in range(LABELS_EACH):
                check_one(choose, (near, far), rows, store, Path(folder), figures)


def check_one(
    choose: Chooser, sides: tuple[Side, Side], rows: list[Row], store: DuckDBStore, root: Path, figures: Figures
) -> None:
    near, far = sides
    outlook = make_outlook(choose, near.setting)
    count = far.setting.view[f"count_{format_duration(far.setting.view.windows[0])}"]

    @request_feature(inputs=[Request("amount", Float64), count], dtype=Float64)
    def scaled(amount, many):
        return amount * many

    service = FeatureService("inputs", [near.setting.view, Request("amount", Float64), far.setting.view, scaled])
    matures = outlook.over + outlook.late
    as_of = min(max(t for _, t, _, _ in rows) + choose.one([matures, matures, matures, outlook.over, 0]), LATEST_US)
    sources = (near.setting.view.source, far.setting.view.source)
    made = build_training_set(
        service,
        _spine(near, far, rows),
        store,
        as_of_us=as_of,
        root=root,
        label=outlook.label,
        sequences={source.name: store.latest_sequence(source) for source in sources},
    )
    assert made.label is not None
    found = {name: list(bits_of(column)) for name, column in made.columns.items()}
    labels = list(bits_of(made.label))
    for row, (near_key, t, far_key, amount) in enumerate(rows):
        wanted = features(near, near_key, t) | features(far, far_key, t) | {"amount": amount}
        many = wanted[count.name]
        wanted["scaled"] = None if amount is None or many is None else amount * float(many)
        assert set(wanted) == set(found)
        for name, value in wanted.items():
            assert found[name][row] == oracle.bits(value), (name, row, near.history.versions, far.history.versions)
        told = expected_label(near, outlook, near_key, t, as_of)
        assert labels[row] == oracle.bits(told), (outlook, near_key, t, as_of, near.history.versions)
    figures.sets += 1
    figures.rows += len(rows)
    figures.labels += sum(value is not None for value in labels)


def features(side: Side, key: Any, t: int) -> dict[str, Any]:
    told = oracle.answers(side.history.versions, side.setting.oracle, key, t, side.last)
    return {f"{side.setting.view.name}.{name}": answer.value for name, answer in told.items()}


def _spine(near: Side, far: Side, rows: list[Row]) -> pa.Table:
    kinds = [arrow_type(side.setting.view.entity.dtype) for side in (near, far)]
    near_keys, instants, far_keys, amounts = (list(part) for part in zip(*rows, strict=True))
    return pa.table(
        {
            "key": pa.array(near_keys, kinds[0]),
            "far_key": pa.array(far_keys, kinds[1]),
            "timestamp": pa.array(instants, pa.int64()).cast(pa.timestamp("us", "UTC")),
            "amount": pa.array(amounts, pa.float64()),
        }
    )


def test_integers_are_compared_exactly_beyond_2_to_the_53(tmp_path):
    schema = {"id": Int64, "key": Int64, "at": Timestamp, "amount": Int64}
    source = EventSource(
        "sales", schema=schema, event_timestamp="at", event_id="id", available_at=Delay("0s"), path="none"
    )
    view = FeatureView("sold", Entity("shop", join_key="key"), source, [Last("amount")])
    label = Label("more", Max("amount"), view, over="1h", exceeds=view["amount_last"])
    instants = pa.array([0, 10], pa.timestamp("us", "UTC"))
    rows = {"id": [1, 2], "key": [1, 1], "at": instants, "amount": [2**53, 2**53 + 1]}
    import_file(source, pa.table(rows), tmp_path, FixedClock(0))
    spine = pa.table({"key": [1], "timestamp": instants[:1]})
    with closing(open_offline_store(tmp_path)) as store:
        made = build_training_set(
            FeatureService("inputs", [view]), spine, store, as_of_us=10**12, root=tmp_path, label=label
        )
    assert made.label is not None
    assert made.label.to_pylist() == [True]


@given(st.data())
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_small_training_set_is_the_oracles(data):
    check(Drawn(data.draw), Figures())


def test_training_sets_from_seeds_are_the_oracles():
    figures = Figures()
    for seed in range(25):
        check(Seeded(seed), figures)
    assert figures.labels > figures.rows / 10, "too few labels have a value to say anything"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_thousand_training_sets(capsys):
    figures = Figures()
    for seed in range(250):
        check(Seeded(50_000 + seed), figures)
    with capsys.disabled():
        print(f"\ntraining sets: {figures}")
