from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from featurestore.definitions import Delay, Derived, Entity, EventSource, FeatureView, Int64, Last, Max, Timestamp
from featurestore.foundation.clock import DAY, HOUR, FixedClock
from featurestore.foundation.errors import OfflineStoreError
from featurestore.offline.duckdb_store import open_offline_store
from featurestore.offline.event_import import import_file

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
