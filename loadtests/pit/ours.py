"""This engine's side of the comparison: the one module that knows the engine's API.

Each ``open_*`` does what is not timed (definitions, import of the baskets file into a history, opening the store) and
returns the job: the spine, an Arrow table, is checked, joined and given back as an Arrow table in its own order.
`open_training_set` is what a user calls: the windows job and its record, spine and digests, kept on the disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa

from featurestore.definitions import (
    Aggregation,
    Count,
    Decimal,
    DistinctCount,
    Entity,
    EventSource,
    FeatureService,
    FeatureView,
    Int64,
    Last,
    Max,
    Mean,
    Min,
    StdDev,
    Sum,
    Timestamp,
)
from featurestore.foundation.clock import SystemClock
from featurestore.offline.duckdb_store import DuckDBStore, open_offline_store
from featurestore.offline.event_import import import_file
from featurestore.retrieval.spine import read_spine
from featurestore.retrieval.training_set import build_training_set
from featurestore.semantics.arrow_column import to_arrow
from loadtests.pit.workload import DAY_US, THREADS, WINDOW_COLUMNS, WINDOW_DAYS, YEAR_START_US, Workload

Job = Callable[[], pa.Table]

AS_OF_US = YEAR_START_US + 365 * DAY_US
WINDOWS = {
    f"{name}_{days}d": aggregation
    for days in WINDOW_DAYS
    for name, aggregation in (
        ("sum", Sum("net", over=f"{days}d", name=f"sum_{days}d")),
        ("mean", Mean("net", over=f"{days}d", name=f"mean_{days}d")),
        ("count", Count(over=f"{days}d", name=f"count_{days}d")),
    )
} | {"last_store": Last("store_id", name="last_store")}
LATEST = {"net": Last("net", name="net"), "store_id": Last("store_id", name="store_id")}
EXTREMES = {
    "min_30d": Min("net", over="30d", name="min_30d"),
    "max_30d": Max("net", over="30d", name="max_30d"),
    "std_30d": StdDev("net", over="30d", name="std_30d"),
    "stores_30d": DistinctCount("store_id", over="30d", name="stores_30d"),
}


def open_windows(workload: Workload) -> Job:
    """Sum, mean and count of net over 7, 30 and 90 days, and the last store: `WINDOW_COLUMNS`."""
    return _open(workload, WINDOWS)


def open_latest(workload: Workload) -> Job:
    """The latest basket's net and store: `LATEST_COLUMNS`."""
    return _open(workload, LATEST)


def open_extremes(workload: Workload) -> Job:
    """Minimum, maximum, standard deviation of net and distinct stores over 30 days: `EXTREME_COLUMNS`."""
    return _open(workload, EXTREMES)


def open_training_set(workload: Workload) -> Job:
    """The windows as a training set, with digests, spine and record kept on the disk: `WINDOW_COLUMNS`."""
    view, store = _view(WINDOWS), _store(workload)
    service = FeatureService("windows", [view])
    kept = workload.directory / "training_sets"

    def run() -> pa.Table:
        shutil.rmtree(kept, ignore_errors=True)
        built = build_training_set(service, workload.spine, store, as_of_us=AS_OF_US, root=kept, timestamp_column="at")
        return built.table.select([f"baskets.{name}" for name in WINDOW_COLUMNS]).rename_columns(WINDOW_COLUMNS)

    return run


def _open(workload: Workload, features: Mapping[str, Aggregation]) -> Job:
    view, store = _view(features), _store(workload)
    s = store.latest_sequence(view.source)

    def run() -> pa.Table:
        spine = read_spine(
            workload.spine, entities=[view.entity], requests=[], timestamp_column="at", as_of_us=AS_OF_US
        )
        frame = store.features_at(view, spine.keys[view.entity.name], spine.instants_us, s)
        return pa.table({name: to_arrow(column) for name, column in frame.columns.items()})

    return run


def _view(features: Mapping[str, Aggregation]) -> FeatureView:
    household = Entity("household", join_key="household_id", dtype=Int64)
    return FeatureView("baskets", entity=household, source=_source(), features=list(features.values()))


def _source() -> EventSource:
    return EventSource(
        "baskets",
        schema={
            "household_id": Int64,
            "basket_id": Int64,
            "event_timestamp": Timestamp,
            "available_at": Timestamp,
            "store_id": Int64,
            "net": Decimal(2),
        },
        event_timestamp="event_timestamp",
        event_id="basket_id",
        available_at="available_at",
        path="baskets.parquet",
    )


def _store(workload: Workload) -> DuckDBStore:
    """Open the history; import the baskets unless they were imported before."""
    root: Path = workload.directory / "history"
    import_file(_source(), workload.baskets, root, SystemClock())
    return open_offline_store(root, THREADS)
