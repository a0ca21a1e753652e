"""Feast's side of the comparison; runs in Feast's own environment, started by `feast_process`.

It reads one JSON command per line and answers each with one JSON line:

``{"open": spine_file}``
    load the spine as the pandas frame that Feast wants (not timed);
``{"run": answers_file or null}``
    time one ``get_historical_features(...).to_arrow()``, and write its answer to Parquet (not timed).

Best configuration found: DuckDB offline store with two threads, one file source, only the columns asked for, answers
as Arrow; no TTL, as the other jobs have none. ``preserve_insertion_order = false`` made no difference.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from datetime import timedelta
from pathlib import Path

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.types import Float64, Int64
from feast.value_type import ValueType

FEATURES = ["baskets:net", "baskets:store_id"]


def open_store(baskets: str, directory: Path, threads: int) -> FeatureStore:
    """Make a Feast repository over the baskets file."""
    connection = ibis.duckdb.connect()
    connection.raw_sql(f"SET threads = {threads}")
    ibis.set_backend(connection)
    store = FeatureStore(config=_configuration(directory))
    household = Entity(name="household", join_keys=["household_id"], value_type=ValueType.INT64)
    fields = [("household_id", Int64), ("net", Float64), ("store_id", Int64)]
    view = FeatureView(
        name="baskets",
        entities=[household],
        ttl=timedelta(0),
        schema=[Field(name=name, dtype=dtype) for name, dtype in fields],
        source=FileSource(path=baskets, timestamp_field="event_timestamp"),
        online=False,
    )
    store.apply([household, view])
    return store


def _configuration(directory: Path) -> RepoConfig:
    return RepoConfig(
        project="pit",
        provider="local",
        registry=str(directory / "registry.db"),
        online_store={"type": "sqlite", "path": str(directory / "online.db")},
        offline_store={"type": "duckdb"},
        entity_key_serialization_version=3,
    )


def read_spine(path: str) -> pd.DataFrame:
    """Return the spine with the timestamp column that Feast looks for."""
    return pq.read_table(path).rename_columns(["household_id", "event_timestamp"]).to_pandas()


def run_once(store: FeatureStore, spine: pd.DataFrame) -> tuple[float, pa.Table]:
    """Return the seconds of one retrieval, and its answer."""
    start = time.perf_counter()
    answer = store.get_historical_features(entity_df=spine, features=FEATURES).to_arrow()
    return time.perf_counter() - start, answer


def serve(store: FeatureStore) -> None:
    """Answer commands until standard input ends."""
    spine = None
    for line in sys.stdin:
        command = json.loads(line)
        if "open" in command:
            spine = read_spine(command["open"])
            _say({"rows": len(spine)})
            continue
        seconds, answer = run_once(store, spine)
        if command["run"]:
            pq.write_table(answer, command["run"])
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _say({"seconds": seconds, "rows": answer.num_rows, "peak_bytes": peak_kib * 1024})


def _say(message: dict) -> None:
    sys.__stdout__.write(json.dumps(message) + "\n")
    sys.__stdout__.flush()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout = sys.stderr
    serve(open_store(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
