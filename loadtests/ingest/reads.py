"""Reads of a realtime view, a fifth and more of its rows expired, beside the same rows while all of them are exact."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from featurestore.catalog.load import load_definitions
from featurestore.definitions import FeatureService
from featurestore.foundation.clock import DAY, MINUTE, SECOND, parse_instant
from featurestore.online.base import OnlineStore
from featurestore.online.open_store import open_store
from featurestore.retrieval.online_features import OnlineFeatures
from loadtests.ingest.workload import SERVICE, SOURCE, USERS, write_project

NOW = "2026-11-01T12:00:00Z"
EVENTS = 300_000
BATCH_KEYS = 100
ROUNDS = 9
PASSES = 200
EXPIRED_FRACTION = 0.2


def measure(folder: Path) -> dict[str, Any]:
    """Backfill 10,000 users on LMDB, and read all of them, a hundred at a time, exact and expired in turn."""
    project = folder / "reads"
    url = f"lmdb:{project.absolute()}/online"
    write_project(project, url, clock=f"fixed:{NOW}")
    prepare(project, _history(project / "purchases.parquet"))
    catalog = load_definitions(project / "features.py")
    service, now_us = catalog.service(SERVICE), parse_instant(NOW)
    with closing(open_store(url)) as store:
        return {
            "users": USERS,
            "batch_keys": BATCH_KEYS,
            "running": measure_running(service, store, now_us),
            "cold": measure_cold(service, store, now_us),
        }


def measure_running(service: FeatureService, store: OnlineStore, now_us: int) -> dict[str, Any]:
    """Read all users over and over, ten seconds or so, under a clock that runs, in turn with reads of exact rows.

    The reader of the expired rows is new at the beginning, so that the first computation of each is in the time, as is
    that of each row that expires, or changes once more, while the clock runs.
    """
    next_changes = _next_changes_us(service, store, now_us)
    later_us = _later_us(next_changes, now_us)
    exact, realtime = OnlineFeatures(service), OnlineFeatures(service)
    batch_s: list[float] = []
    realtime_s: list[float] = []
    began = time.perf_counter()
    for _ in range(PASSES):
        batch_s.append(_read_all(exact, store, lambda: now_us))
        realtime_s.append(_read_all(realtime, store, lambda: later_us + int((time.perf_counter() - began) * SECOND)))
    elapsed = time.perf_counter() - began
    ends = (later_us, later_us + elapsed * SECOND)
    return {
        "expired_fraction": [float((next_changes <= at_us).mean()) for at_us in ends],
        "passes": PASSES,
        "seconds": elapsed,
        "batch_seconds": sum(batch_s),
        "realtime_seconds": sum(realtime_s),
        "first_pass_seconds": realtime_s[0],
        "ratio": sum(batch_s) / sum(realtime_s),
        "ratio_of_medians": statistics.median(batch_s) / statistics.median(realtime_s),
    }


def measure_cold(service: FeatureService, store: OnlineStore, now_us: int) -> dict[str, Any]:
    """Read all users at one later instant, each round by a reader that remembers nothing, in turn with exact rows."""
    next_changes = _next_changes_us(service, store, now_us)
    later_us = _later_us(next_changes, now_us)
    exact: list[float] = []
    realtime: list[float] = []
    for _ in range(ROUNDS):
        exact.append(_read_all(OnlineFeatures(service), store, lambda: now_us))
        realtime.append(_read_all(OnlineFeatures(service), store, lambda: later_us))
    batch_s, realtime_s = statistics.median(exact), statistics.median(realtime)
    return {
        "expired_fraction": float((next_changes <= later_us).mean()),
        "batch_seconds": batch_s,
        "realtime_seconds": realtime_s,
        "ratio": batch_s / realtime_s,
        "seconds": {"batch": exact, "realtime": realtime},
    }


def prepare(project: Path, file: Path) -> None:
    """Put the definitions in force, import a file, and make the views servable as of the project's clock."""
    for command in (["apply"], ["import", SOURCE, str(file)], ["backfill"]):
        subprocess.run(
            [sys.executable, "-m", "unskew", *command, "--project", str(project)], check=True, stdout=subprocess.DEVNULL
        )


def write_events(path: Path, users: Any, at_us: Any, seed: int) -> Path:
    """Write a file of purchases to import."""
    chance, count = np.random.default_rng(seed), len(users)
    whole = pa.array(chance.integers(1, 200, count, dtype=np.int32))
    table = pa.table(
        {
            "event_id": pa.array(np.arange(count)),
            "user_id": pa.array(users),
            "at": pa.array(at_us).cast(pa.timestamp("us", "UTC")),
            "amount": whole.cast(pa.decimal128(12, 2)).cast(pa.decimal128(18, 2)),
            "shop_id": pa.array(chance.integers(0, 200, count)),
        }
    )
    pq.write_table(table, path)
    return path


def _history(path: Path) -> Path:
    chance = np.random.default_rng(3)
    at_us = parse_instant(NOW) - np.sort(chance.integers(0, DAY, EVENTS))[::-1]
    return write_events(path, chance.integers(0, USERS, EVENTS), at_us, seed=4)


def _next_changes_us(service: FeatureService, store: OnlineStore, now_us: int) -> NDArray[np.int64]:
    """Return until when each stored row is exact."""
    read = OnlineFeatures(service).read_blocking(store, {"user": list(range(USERS))}, now_us)
    (part,) = read._views  # noqa: SLF001 - the stored interval is nobody else's business
    return part.rows.fixed["next_change"].astype(np.int64)


def _later_us(next_changes: NDArray[np.int64], now_us: int) -> int:
    """Return the first quarter of a minute after now at which a fifth of the rows are past their next change."""
    later_us = now_us
    while (next_changes <= later_us).mean() < EXPIRED_FRACTION:
        later_us += MINUTE // 4
    return later_us


def _read_all(features: OnlineFeatures, store: OnlineStore, clock: Callable[[], int]) -> float:
    began = time.perf_counter()
    for start in range(0, USERS, BATCH_KEYS):
        read = features.read_blocking(store, {"user": list(range(start, start + BATCH_KEYS))}, clock())
        assert len(read.columns) == len(features.service.refs)
    return time.perf_counter() - began
