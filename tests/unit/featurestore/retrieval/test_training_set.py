"""Training sets over small histories whose answers can be read off the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.definitions import (
    Attribute,
    Count,
    Decimal,
    Delay,
    Derived,
    Entity,
    EventSource,
    FeatureService,
    FeatureView,
    Float64,
    Int64,
    Label,
    Last,
    Mean,
    Request,
    RequestFeature,
    String,
    Sum,
    TableSource,
    Timestamp,
    request_feature,
)
from featurestore.foundation.clock import DAY, FixedClock
from featurestore.foundation.errors import DefinitionError, ImportRefused, SpineError, UnskewError
from featurestore.offline.duckdb_store import DuckDBStore, open_offline_store
from featurestore.offline.event_import import import_file
from featurestore.retrieval.training_record import TrainingRecordError, keep_record, record_digest
from featurestore.retrieval.training_set import (
    SourceEmpty,
    TrainingSet,
    build_training_set,
    rebuild_training_set,
)

household = Entity("household", "household_id")
store = Entity("store", "store_code", String)
baskets = EventSource(
    "baskets",
    schema={
        "id": Int64,
        "household_id": Int64,
        "store_code": String,
        "ts": Timestamp,
        "known": Timestamp,
        "paid": Decimal(2),
    },
    event_timestamp="ts",
    event_id="id",
    available_at="known",
    path="baskets.parquet",
)
people = TableSource(
    "people",
    schema={"household_id": Int64, "since": Timestamp, "size": Int64},
    key="household_id",
    effective_at="since",
    path="people.parquet",
)
spending = FeatureView(
    "spending",
    household,
    baskets,
    [Sum("net", over="7d"), Count(over="7d"), Mean("net", over="30d"), Last("store_code")],
    derive={"net": Derived("paid * 2", Decimal(2))},
    where="paid > 0",
)
busy = FeatureView("busy", store, baskets, [Count(over="7d")], ttl="2d")
profile = FeatureView("profile", household, people, [Attribute("size")])


@request_feature(inputs=[Request("basket_value", Float64), spending["net_mean_30d"]], dtype=Float64)
def ratio(basket_value: np.ndarray, net_mean_30d: np.ndarray) -> np.ndarray:
    return np.divide(basket_value, net_mean_30d)


service = FeatureService("inputs", [spending, busy, profile["size"], ratio])
next_week = Label("next_week", Sum("net"), spending, over="7d", lateness="1d", empty=0.0)
spends_more = Label("spends_more", Sum("net"), spending, over="7d", empty=0.0, exceeds=spending["net_sum_7d"])

AS_OF = 40 * DAY
BASKETS = [
    # id, household, store, day, known on day, paid in cents
    (1, 1, "a", 1, 1, 100),
    (2, 1, "b", 2, 5, 200),
    (3, 1, "a", 10, 10, 400),
    (3, 1, "a", 10, 12, 300),
    (4, 2, "a", 10, 10, -5),
    (5, 1, "b", 39, 39, 700),
]


def _days(days: list[Any]) -> pa.Array:
    return pa.array([None if day is None else int(day * DAY) for day in days], pa.int64()).cast(
        pa.timestamp("us", "UTC")
    )


@pytest.fixture
def offline(tmp_path: Path) -> DuckDBStore:
    root, clock = tmp_path / "offline", FixedClock(AS_OF)
    ids, households, stores, days, known, cents = (list(part) for part in zip(*BASKETS, strict=True))
    table = pa.table(
        {
            "id": ids,
            "household_id": households,
            "store_code": stores,
            "ts": _days(days),
            "known": _days(known),
            "paid": pa.array([cent / 100 for cent in cents]),
        }
    )
    import_file(baskets, table, root, clock)
    sizes = pa.table({"household_id": [1, 1], "since": _days([0, 11]), "size": [2, 3]})
    import_file(people, sizes, root, clock)
    return open_offline_store(root, 2)


SPINE = pa.table(
    {
        "note": ["x", "y", "z", "x", "w"],
        "household_id": [1, 1, 1, 2, 3],
        "store_code": ["a", "a", "b", "a", "c"],
        "timestamp": _days([4, 11, 12, 11, 12]),
        "basket_value": [3.0, None, 7.0, 1.0, 2.0],
    }
)


def _build(offline: DuckDBStore, tmp_path: Path, spine: Any = SPINE, label: Label | None = next_week) -> TrainingSet:
    return build_training_set(service, spine, offline, as_of_us=AS_OF, root=tmp_path / "sets", label=label)


def test_every_row_sees_what_was_known_at_its_own_instant(offline: DuckDBStore, tmp_path: Path) -> None:
    table = _build(offline, tmp_path).table
    assert table.column_names[:5] == SPINE.column_names
    assert table.select(range(5)).equals(SPINE)
    assert {name: table[name].to_pylist() for name in table.column_names[5:]} == {
        "spending.net_sum_7d": [2.0, 8.0, 6.0, None, None],
        "spending.count_7d": [1, 1, 1, 0, 0],
        "spending.net_mean_30d": [2.0, 14.0 / 3, 4.0, None, None],
        "spending.store_code_last": ["a", "a", "a", None, None],
        "busy.count_7d": [None, 2, None, 2, 0],
        "profile.size": [2, 3, 3, None, None],
        "ratio": [1.5, None, 1.75, None, None],
        "next_week": [6.0, 0.0, 0.0, 0.0, 0.0],
    }


def test_an_immature_label_is_null_not_zero(offline: DuckDBStore, tmp_path: Path) -> None:
    spine = pa.table({name: [SPINE[name][0].as_py()] * 3 for name in SPINE.column_names})
    spine = spine.set_column(3, "timestamp", _days([32, 32.000001, 33]))
    assert _build(offline, tmp_path, spine).label.to_pylist() == [14.0, None, None]  # type: ignore[union-attr]


def test_a_label_may_compare_with_a_feature(offline: DuckDBStore, tmp_path: Path) -> None:
    label = _build(offline, tmp_path, label=spends_more).label
    assert label is not None
    assert label.to_pylist() == [True, False, False, None, None]


def test_pandas_polars_arrow_and_parquet_spines_agree(offline: DuckDBStore, tmp_path: Path) -> None:
    pq.write_table(SPINE, tmp_path / "spine.parquet")
    frame = SPINE.to_pandas()
    frame.index = pd.Index([f"row {n}" for n in range(len(frame))])
    spines = [SPINE, frame, pl.from_arrow(SPINE), tmp_path / "spine.parquet", str(tmp_path / "spine.parquet")]
    tables = [_build(offline, tmp_path, spine).table for spine in spines]
    for table in tables[1:]:
        assert table.select(range(5, 13)).equals(tables[0].select(range(5, 13)))


def test_the_result_goes_to_pandas_polars_and_parquet_without_loss(offline: DuckDBStore, tmp_path: Path) -> None:
    made = _build(offline, tmp_path)
    assert made.to_polars()["busy.count_7d"].to_list() == [None, 2, None, 2, 0]
    assert str(made.to_pandas()["busy.count_7d"].dtype) == "int64[pyarrow]"
    made.write_parquet(tmp_path / "set.parquet")
    assert pq.read_table(tmp_path / "set.parquet").equals(made.table)


def test_it_is_rebuilt_identical_after_corrections_have_come_in(offline: DuckDBStore, tmp_path: Path) -> None:
    made = _build(offline, tmp_path)
    correction = pa.table(
        {
            "id": [1],
            "household_id": [1],
            "store_code": ["a"],
            "ts": _days([1]),
            "known": _days([1]),
            "paid": pa.array([9.0]),
        }
    )
    import_file(baskets, correction, tmp_path / "offline", FixedClock(AS_OF))
    known = {"services": {"inputs": service}, "labels": {"next_week": next_week}}
    again = rebuild_training_set(made.digest, tmp_path / "sets", offline, **known)  # type: ignore[arg-type]
    assert (again.digest, again.table.equals(made.table)) == (made.digest, True)
    today = _build(offline, tmp_path)
    assert today.digest != made.digest
    assert today.table["spending.net_sum_7d"].to_pylist()[0] == 18.0


def test_changed_definitions_and_changed_spines_are_found_out(offline: DuckDBStore, tmp_path: Path) -> None:
    made = _build(offline, tmp_path)
    other = FeatureService("inputs", [spending])
    with pytest.raises(TrainingRecordError, match="has changed since"):
        rebuild_training_set(
            made.digest, tmp_path / "sets", offline, services={"inputs": other}, labels={"next_week": next_week}
        )
    with pytest.raises(TrainingRecordError, match="no longer exists"):
        rebuild_training_set(made.digest, tmp_path / "sets", offline, services={}, labels={})
    path = tmp_path / "sets" / "spines" / f"{made.record['spine_digest']}.arrow"
    with pa.ipc.new_file(str(path), SPINE.schema) as writer:
        writer.write_table(SPINE.slice(1))
    with pytest.raises(TrainingRecordError, match="the spine was changed"):
        rebuild_training_set(
            made.digest, tmp_path / "sets", offline, services={"inputs": service}, labels={"next_week": next_week}
        )
    with pytest.raises(TrainingRecordError, match="no such training set"):
        rebuild_training_set("0" * 64, tmp_path / "sets", offline, services={}, labels={})


def test_building_twice_gives_one_digest_and_one_record(offline: DuckDBStore, tmp_path: Path) -> None:
    first, second = _build(offline, tmp_path), _build(offline, tmp_path)
    assert first.digest == second.digest
    assert len(list((tmp_path / "sets" / "records").iterdir())) == 1


def test_a_spine_of_no_rows_gives_a_table_of_no_rows(offline: DuckDBStore, tmp_path: Path) -> None:
    made = _build(offline, tmp_path, SPINE.slice(0, 0))
    assert (made.rows, made.table.num_columns) == (0, 13)


def test_progress_is_told(offline: DuckDBStore, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    build_training_set(
        service,
        SPINE,
        offline,
        as_of_us=AS_OF,
        root=tmp_path / "sets",
        progress=lambda *step: told.append(step),
    )
    assert told[0] == ("view spending", 0, 3)
    assert told[-1] == ("done", 3, 3)


def _replace(name: str, values: Any) -> pa.Table:
    return SPINE.set_column(
        SPINE.column_names.index(name), name, pa.array(values) if isinstance(values, list) else values
    )


BAD_SPINES: dict[str, tuple[Any, str]] = {
    "no key": (SPINE.drop_columns(["household_id"]), "household_id"),
    "misspelt key": (SPINE.rename_columns(["note", "houshold_id", *SPINE.column_names[2:]]), "houshold_id"),
    "no instant": (SPINE.drop_columns(["timestamp"]), "timestamp"),
    "no request value": (SPINE.drop_columns(["basket_value"]), "basket_value"),
    "null key": (_replace("household_id", [1, None, 1, 2, 3]), "row 1"),
    "null instant": (_replace("timestamp", _days([1, 2, None, 3, 4])), "row 2"),
    "key of text": (_replace("household_id", list("abcde")), "household_id"),
    "key with a fraction": (_replace("household_id", [1.0, 2.5, 1.0, 1.0, 1.0]), "row 1"),
    "naive instants": (_replace("timestamp", _days([1, 2, 3, 4, 5]).cast(pa.timestamp("us"))), "time zone"),
    "instants as text": (_replace("timestamp", ["2017-01-01"] * 5), "timestamp"),
    "finer than a microsecond": (_replace("timestamp", pa.array([1] * 5, pa.timestamp("ns", "UTC"))), "row 0"),
    "after the cut": (_replace("timestamp", _days([1, 2, 3, 4, 41])), "row 4"),
    "request value of text": (_replace("basket_value", list("abcde")), "basket_value"),
    "column of a result's name": (SPINE.append_column("profile.size", pa.array([1] * 5)), "profile.size"),
    "two columns of one name": (SPINE.append_column("household_id", SPINE["household_id"]), "2 columns"),
    "no data at all": ([1, 2, 3], "list"),
    "no such file": (Path("nowhere.parquet"), "nowhere.parquet"),
}


@pytest.mark.parametrize("name", BAD_SPINES)
def test_a_bad_spine_is_refused_by_name_and_nothing_is_kept(name: str, offline: DuckDBStore, tmp_path: Path) -> None:
    spine, told = BAD_SPINES[name]
    with pytest.raises(SpineError) as refused:
        _build(offline, tmp_path, spine)
    assert told in str(refused.value)
    assert refused.value.mend
    assert not (tmp_path / "sets").exists()


def test_a_row_for_which_an_expression_fails_is_named(tmp_path: Path) -> None:
    view = FeatureView(
        "risky", household, people, [Last("part")], derive={"part": Derived("CAST(concat('x', size) AS BIGINT)", Int64)}
    )
    import_file(people, pa.table({"household_id": [1], "since": _days([0]), "size": [0]}), tmp_path, FixedClock(AS_OF))
    store = open_offline_store(tmp_path)
    with pytest.raises(UnskewError, match="FeatureView risky"):
        store.features_at(view, store.keys(view, 1), np.array([AS_OF]), 1)


def test_an_import_that_is_refused_changes_nothing(offline: DuckDBStore, tmp_path: Path) -> None:
    before = offline.latest_sequence(people)
    with pytest.raises(ImportRefused):
        import_file(people, pa.table({"household_id": [1]}), tmp_path / "offline", FixedClock(AS_OF))
    assert offline.latest_sequence(people) == before


def test_delays_make_events_visible_later(tmp_path: Path) -> None:
    slow = EventSource(
        "slow",
        schema={"id": Int64, "household_id": Int64, "ts": Timestamp},
        event_timestamp="ts",
        event_id="id",
        available_at=Delay("1d"),
        path="slow.parquet",
    )
    view = FeatureView("seen", household, slow, [Count(over="7d")])
    import_file(slow, pa.table({"id": [1], "household_id": [1], "ts": _days([1])}), tmp_path, FixedClock(AS_OF))
    store = open_offline_store(tmp_path)
    instants = np.array([1, 2, 7.999999, 8]) * DAY
    frame = store.features_at(view, store.keys(view, 1).take(np.zeros(4, np.int64)), instants.astype(np.int64), 1)
    assert frame.columns["count_7d"].to_pylist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    "extra",
    [
        pa.array([1] * 5, pa.timestamp("s", "UTC")),
        pa.array(list("ababa")).dictionary_encode(),
        pa.array([[1], [], None, [2], [3]]),
        pa.array([{"a": 1}] * 5),
        pa.array([1.5] * 5, pa.float16()),
    ],
    ids=lambda extra: str(extra.type)[:12],
)
def test_a_spine_with_columns_of_any_type_is_rebuilt(extra: pa.Array, offline: DuckDBStore, tmp_path: Path) -> None:
    made = _build(offline, tmp_path, SPINE.append_column("extra", extra))
    known = {"services": {"inputs": service}, "labels": {"next_week": next_week}}
    again = rebuild_training_set(made.digest, tmp_path / "sets", offline, **known)  # type: ignore[arg-type]
    assert again.table.schema.equals(made.table.schema)
    assert again.digest == made.digest


@request_feature(inputs=[Request("basket_value", Float64)], dtype=Float64)
def above_average(basket_value: np.ndarray) -> np.ndarray:
    return basket_value - basket_value.mean()


@request_feature(inputs=[above_average, spending["net_mean_30d"]], dtype=Float64)
def built_on_it(above: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return above * mean


@pytest.mark.parametrize("bad", [above_average, built_on_it], ids=["itself", "through another"])
def test_a_request_feature_that_looks_at_its_batch_is_refused(
    bad: RequestFeature, offline: DuckDBStore, tmp_path: Path
) -> None:
    skewed = FeatureService("skewed", [spending, bad])
    with pytest.raises(DefinitionError, match="in its batch") as refused:
        build_training_set(skewed, SPINE, offline, as_of_us=AS_OF, root=tmp_path / "sets")
    assert "above_average" in str(refused.value)
    assert not (tmp_path / "sets").exists()
    label = Label("more", Sum("net"), spending, over="7d", exceeds=bad)
    with pytest.raises(DefinitionError, match="in its batch"):
        _build(offline, tmp_path, label=label)


def test_a_rebuild_that_comes_out_different_is_told_and_not_kept(offline: DuckDBStore, tmp_path: Path) -> None:
    made = _build(offline, tmp_path)
    record = {**made.record, "table_digest": "0" * 64}
    keep_record(tmp_path / "sets", record, SPINE)
    before = sorted((tmp_path / "sets").rglob("*"))
    known = {"services": {"inputs": service}, "labels": {"next_week": next_week}}
    with pytest.raises(TrainingRecordError, match="came out different"):
        rebuild_training_set(record_digest(record), tmp_path / "sets", offline, **known)  # type: ignore[arg-type]
    assert sorted((tmp_path / "sets").rglob("*")) == before


def test_a_source_without_history_is_refused_unless_asked_for_at_the_beginning(tmp_path: Path) -> None:
    store = open_offline_store(tmp_path / "offline")
    with pytest.raises(SourceEmpty, match="source baskets") as refused:
        _build(store, tmp_path)
    assert refused.value.mend == "run: unskew import baskets"
    assert not (tmp_path / "sets").exists()
    before = {"baskets": 0, "people": 0}
    made = build_training_set(service, SPINE, store, as_of_us=AS_OF, root=tmp_path / "sets", sequences=before)
    assert made.table["profile.size"].null_count == len(SPINE)
