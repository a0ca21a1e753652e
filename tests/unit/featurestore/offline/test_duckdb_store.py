from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.definitions import (
    Count,
    Delay,
    Derived,
    Entity,
    EventSource,
    FeatureView,
    Int64,
    Last,
    Max,
    Timestamp,
)
from featurestore.foundation.clock import DAY, HOUR, FixedClock
from featurestore.foundation.errors import OfflineStoreError
from featurestore.offline.duckdb_store import open_offline_store
from featurestore.offline.event_import import import_file
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.status import Status

VISITS = EventSource(
    "visits",
    schema={"id": Int64, "who": Int64, "at": Timestamp},
    event_timestamp="at",
    event_id="id",
    available_at=Delay("0s"),
    path="visits.parquet",
)
VIEW = FeatureView(
    "seen",
    Entity("person", "who"),
    VISITS,
    [Max("at", over="7d"), Last("hour")],
    derive={"hour": Derived("hour(at)", Int64)},
)


def _import(root: Path, *rows: tuple[int, int, int]) -> None:
    ids, people, instants = (list(part) for part in zip(*rows, strict=True))
    table = pa.table({"id": ids, "who": people, "at": pa.array(instants, pa.timestamp("us", "UTC"))})
    import_file(VISITS, table, root, FixedClock(0))


def _read(root: Path) -> list[object]:
    store = open_offline_store(root, 1)
    frame = store.features_at(VIEW, store.keys(VIEW, 1), np.array([2 * DAY]), 1)
    return [part for name in ("at_max_7d", "hour_last") for part in frame.columns[name].to_pylist()]


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC", "America/New_York"])
def test_the_zone_of_the_machine_does_not_matter(zone: str, tmp_path: Path) -> None:
    _import(tmp_path, (1, 1, DAY + 5 * HOUR))
    module = __name__.rpartition(".")[2]
    program = f"import pathlib, {module}; print({module}._read(pathlib.Path({str(tmp_path)!r})))"
    environment = os.environ | {"TZ": zone, "PYTHONPATH": f"{Path.cwd()}:{Path(__file__).parent}"}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str([DAY + 5 * HOUR, 5])


def test_keys_are_all_that_any_version_ever_had(tmp_path: Path) -> None:
    _import(tmp_path, (1, 7, 1), (2, 5, 1))
    _import(tmp_path, (1, 9, 1))
    store = open_offline_store(tmp_path)
    assert store.keys(VIEW, 2).to_pylist() == [5, 7, 9]
    assert store.keys(VIEW, 1).to_pylist() == [5, 7]
    assert store.keys(VIEW, 0).to_pylist() == []


def test_a_sequence_that_is_not_yet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OfflineStoreError, match="no commit 1"):
        open_offline_store(tmp_path).keys(VIEW, 1)


def test_logs_hold_what_may_still_matter_and_nothing_else(tmp_path: Path) -> None:
    _import(tmp_path, (1, 1, 1 * DAY), (2, 1, 2 * DAY), (3, 1, 20 * DAY), (4, 2, 1 * DAY), (5, 1, 40 * DAY))
    store = open_offline_store(tmp_path)
    keys = store.keys(VIEW, 1)
    at_21 = {keys.to_pylist()[row]: log.event_us.tolist() for row, log in store.logs(VIEW, keys, 21 * DAY, 1)}
    assert at_21 == {1: [20 * DAY, 40 * DAY], 2: [1 * DAY]}
    at_30 = {keys.to_pylist()[row]: log.event_us.tolist() for row, log in store.logs(VIEW, keys, 30 * DAY, 1)}
    assert at_30 == {1: [20 * DAY, 40 * DAY], 2: [1 * DAY]}


def test_logs_tell_when_a_version_became_available_and_of_which_event_it_is(tmp_path: Path) -> None:
    late = EventSource(
        "visits",
        schema={**VISITS.schema, "known": Timestamp},
        event_timestamp="at",
        event_id="id",
        available_at="known",
        path="visits.parquet",
    )
    view = FeatureView("known", Entity("person", "who"), late, [Last("id")])
    instants = [pa.array(of, pa.timestamp("us", "UTC")) for of in ([5, 9, 5], [7, 2, 8])]
    table = pa.table({"id": [-4, 3, -4], "who": [1, 1, 1], "at": instants[0], "known": instants[1]})
    import_file(late, table, tmp_path, FixedClock(0))
    store = open_offline_store(tmp_path)
    keys = store.keys(view, 1)
    for logs in (store.logs(view, keys, 0, 1), store.view_rows(view, 1).logs(keys, 0)):
        ((_, log),) = logs
        assert log.ids is not None
        assert log.ids.tolist() == [2**64 - 4, 2**64 - 4, 3]
        assert (log.available_us.tolist(), log.enter_us.tolist()) == ([7, 8, 2], [7, 8, 9])
        assert log.leave_us.tolist() == [8, NEVER_US, NEVER_US]


ODD_FOLDERS = ["p[1]", "st*r", "what?", "region=eu/who=7", 'it\'s "here"', "back\\slash", "{a,b}", "%20#é"]


@pytest.mark.parametrize("folder", ODD_FOLDERS)
def test_a_path_is_a_name_and_nothing_else(folder: str, tmp_path: Path) -> None:
    for sibling in ("p1", "star", "whatt", "a"):
        _import(tmp_path / sibling, (1, 99, 1))
    _import(tmp_path / folder, (1, 5, DAY + HOUR))
    store = open_offline_store(tmp_path / folder)
    assert store.keys(VIEW, 1).to_pylist() == [5]
    assert _read(tmp_path / folder) == [DAY + HOUR, 1]


@pytest.mark.parametrize("name", ["id", "key", "event_us", "c0", "stored", "select", 'a"b', "it's"])
def test_ties_are_broken_by_the_event_id_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    source = EventSource(
        "sales",
        schema={"who": Int64, name: Int64, "at": Timestamp, "paid": Int64},
        event_timestamp="at",
        event_id=name,
        available_at=Delay("0s"),
        path="sales.parquet",
    )
    view = FeatureView("sold", Entity("person", "who"), source, [Last("paid")])
    at = pa.array([DAY] * 3, pa.timestamp("us", "UTC"))
    import_file(
        source, pa.table({"who": [1] * 3, name: [2, 3, 1], "at": at, "paid": [30, 10, 20]}), tmp_path, FixedClock(0)
    )
    store = open_offline_store(tmp_path)
    assert store.features_at(view, store.keys(view, 1), np.array([DAY]), 1).columns["paid_last"].to_pylist() == [10]


def test_a_column_added_since_the_last_import_is_null(tmp_path: Path) -> None:
    _import(tmp_path, (1, 1, DAY))
    longer = EventSource(
        "visits",
        schema={**VISITS.schema, "shop": Int64},
        event_timestamp="at",
        event_id="id",
        available_at=Delay("0s"),
        path="visits.parquet",
    )
    view = FeatureView("shops", Entity("person", "who"), longer, [Last("shop"), Count("shop", over="7d")])
    store = open_offline_store(tmp_path)
    frame = store.features_at(view, store.keys(view, 1), np.array([DAY]), 1)
    assert [column.to_pylist() for column in frame.columns.values()] == [[None], [0]]
    assert frame.statuses["shop_last"].tolist() == [Status.NULL]


def test_a_file_that_was_changed_is_not_read(tmp_path: Path) -> None:
    _import(tmp_path, (1, 1, DAY))
    _read(tmp_path)
    path = next((tmp_path / "sources").rglob("data/*/*.parquet"))
    changed = pq.read_table(path, partitioning=None)
    pq.write_table(changed.set_column(0, changed.schema.field(0), pa.array([2])), path)
    with pytest.raises(OfflineStoreError, match="has changed") as refused:
        _read(tmp_path)
    assert str(path) in str(refused.value)


def test_a_change_under_an_open_store_is_noticed(tmp_path: Path) -> None:
    _import(tmp_path, (1, 1, DAY))
    store = open_offline_store(tmp_path)
    store.keys(VIEW, 1)
    path = next((tmp_path / "sources").rglob("data/*/*.parquet"))
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(OfflineStoreError, match="has changed"):
        store.keys(VIEW, 1)
