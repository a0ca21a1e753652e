"""Rows of a batch are the rows that history gives, whatever the expression; a row it fails on is told, and no other."""

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.definitions import Count, Delay, Derived, Entity, EventSource, FeatureView, Last, Sum
from featurestore.foundation.clock import FixedClock
from featurestore.offline import row_engine
from featurestore.offline.duckdb_store import open_offline_store
from featurestore.offline.event_import import import_file
from featurestore.offline.row_engine import RowEngine
from featurestore.offline.row_sql import RowSqlFailed
from featurestore.semantics.arrow_column import arrow_type, to_arrow
from featurestore.semantics.value import (
    Bool,
    Float32,
    Float64,
    Int64,
    String,
    Timestamp,
    column,
    identical,
)
from tests.property.histories import VALUES

SCHEMA = {
    "id": Int64,
    "key": String,
    "at": Timestamp,
    "gone": Bool,
    **{name: dtype for name, (dtype, _) in VALUES.items()},
}
SOURCE = EventSource(
    "things", schema=SCHEMA, event_timestamp="at", event_id="id", available_at=Delay("0s"), path="x", tombstone="gone"
)
ENTITY = Entity("thing", "key", String)
DERIVED = {
    "halved": Derived("double / 2", Float64),
    "narrow": Derived("single * 3", Float32),
    "difference": Derived("coalesce(whole, 0) - count", Int64),
    "dearer": Derived("coalesce(money, 0) + 0.01", Float64),
    "hour": Derived("hour(moment)", Int64),
    "day": Derived("date_trunc('day', at)", Timestamp),
    "loud": Derived("upper(text) || '!'", String),
    "longer": Derived("length(text) > 1", Bool),
    "sized": Derived("CASE WHEN count > 0 THEN 'some' WHEN count IS NULL THEN NULL ELSE 'none' END", String),
    "read": Derived("TRY_CAST(text AS BIGINT)", Int64),
    "flagged": Derived("flag AND NOT coalesce(flag, false)", Bool),
    "moved": Derived("moment", Timestamp),
}
CONDITIONS = [None, "count > 0", "text = '' OR flag", "money IS NULL", "count / 0 > 1", "hour(at) >= 0"]


def made(conditions: str | None, names: list[str]) -> FeatureView:
    lasts = [Last(name) for name in ["id", *names]]
    derive = {name: DERIVED[name] for name in names if name in DERIVED}
    return FeatureView("seen", ENTITY, SOURCE, [*lasts, Count(over="1d")], derive=derive, where=conditions)


def batch(rows: list[dict[str, object]]) -> pa.Table:
    columns = {}
    for name, dtype in SCHEMA.items():
        plain = pa.int64() if dtype == Timestamp else arrow_type(dtype)
        columns[name] = pa.array([row[name] for row in rows], plain).cast(arrow_type(dtype))
    return pa.table(columns)


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(["a", "b", None]),
            "at": st.sampled_from([0, 1, 86_400_000_000]),
            "gone": st.sampled_from([False, False, True]),
            **{name: st.sampled_from(allowed) for name, (_, allowed) in VALUES.items()},
        }
    ),
    max_size=12,
).map(lambda rows: [{**row, "id": number} for number, row in enumerate(rows)])


@pytest.mark.slow
@given(ROWS, st.sampled_from(CONDITIONS), st.lists(st.sampled_from([*DERIVED, *VALUES]), max_size=5, unique=True))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_batch_has_the_rows_that_history_has(rows, condition, names):
    view, table = made(condition, names), batch(rows)
    with closing(RowEngine()) as engine:
        found = engine.rows(view, table)
    with TemporaryDirectory() as folder, closing(open_offline_store(Path(folder), 1)) as store:
        if rows:
            import_file(SOURCE, table, Path(folder), FixedClock(0))
        stored = store._rows(view, list(view.columns), min(len(rows), 1), None)
    order = np.argsort(stored.columns["id"].values)
    assert found.index.tolist() == found.columns["id"].to_pylist() == stored.columns["id"].values[order].tolist()
    assert identical(found.keys, stored.keys.take(stored.codes[order])).all()
    assert list(found.columns) == list(view.columns)
    for name in view.columns:
        assert identical(found.columns[name], stored.columns[name].take(order)).all(), name


def failing(number: str = "CAST(text AS BIGINT)") -> FeatureView:
    return FeatureView(
        "strict",
        ENTITY,
        SOURCE,
        [Sum("number", over="1d")],
        where="CAST(text AS BIGINT) > 0",
        derive={"number": Derived(number, Int64)},
    )


def row(identity: int, text: str | None, key: str | None = "a", *, gone: bool = False) -> dict[str, object]:
    return {**dict.fromkeys(VALUES), "id": identity, "key": key, "at": 1, "gone": gone, "text": text}


def test_a_row_that_an_expression_fails_on_is_told():
    with closing(RowEngine()) as engine:
        with pytest.raises(RowSqlFailed, match="FeatureView strict over source things: the rows cannot be computed"):
            engine.rows(failing(), batch([row(1, "5"), row(2, "five")]))
        assert engine.rows(failing(), batch([row(1, "5")])).columns["number"].to_pylist() == [5]


NUMBER = "derive 'number'"
TRIED = [
    (row(0, "5"), ""),
    (row(1, "five"), "where"),
    (row(2, None), ""),
    (row(3, "1"), NUMBER),
    (row(4, "-9"), ""),
    (row(5, "five", None), ""),
    (row(6, "five", gone=True), ""),
    (row(7, ""), "where"),
]


def test_rows_that_fail_by_themselves_are_found_all_at_once():
    """What is null does not fail, and what the condition leaves out is not asked for derived columns."""
    view = failing("CAST(CASE WHEN id = 3 THEN 'x' ELSE text END AS BIGINT)")
    table = batch([each for each, _ in TRIED])
    with closing(RowEngine()) as engine:
        assert engine.failing(view, table) == {i: part for i, (_, part) in enumerate(TRIED) if part}
        alone = [i for i in range(len(table)) if fails(engine, view, table.slice(i, 1))]
        assert list(engine.failing(view, table)) == alone
        assert engine.failing(view, table.slice(0, 0)) == {}


def test_where_the_engine_cannot_try_an_expression_no_row_is_told(monkeypatch):
    monkeypatch.setattr(row_engine, "failing_sql", lambda *_: "SELECT TRY(random())")
    with closing(RowEngine()) as engine:
        assert engine.failing(failing(), batch([row(1, "five")])) == {}


def fails(engine: RowEngine, view: FeatureView, table: pa.Table) -> bool:
    try:
        engine.rows(view, table)
    except RowSqlFailed:
        return True
    return False


@pytest.mark.parametrize("harmless", [{"key": None}, {"gone": True}], ids=["no key", "tombstone"])
def test_a_row_that_does_not_count_fails_neither_the_batch_nor_history(harmless, tmp_path):
    """What a commit could compute, history can: in neither is the condition, which overflows, asked of such a row."""
    view = FeatureView("sums", ENTITY, SOURCE, [Sum("huge", over="1d")], where="huge + count > 0")
    table = batch([{**row(1, "x"), "huge": 2, "count": 1}, {**row(2, "x"), "huge": 2**63 - 1, "count": 1, **harmless}])
    with closing(RowEngine()) as engine:
        assert engine.rows(view, table).index.tolist() == [0]
    import_file(SOURCE, table, tmp_path, FixedClock(0))
    with closing(open_offline_store(tmp_path, 1)) as store:
        frame = store.features_at(view, column(String, ["a"]), np.array([5]), 1)
    assert frame.columns["huge_sum_1d"].to_pylist() == [2]


def test_columns_that_the_source_lacks_are_passed_over_and_positions_are_the_table_s():
    table = batch([row(1, "1", None), row(2, "2"), row(3, "-3")]).append_column(
        "__event_us", to_arrow(column(Int64, [1] * 3))
    )
    with closing(RowEngine()) as engine:
        found = engine.rows(failing(), table)
        assert (found.index.tolist(), found.keys.to_pylist(), found.columns["number"].to_pylist()) == ([1], ["a"], [2])
        assert len(engine.rows(failing(), table.slice(0, 0))) == 0
        assert engine.rows(made(None, ["text"]), table).columns["text"].to_pylist() == ["2", "-3"]
