"""A read of one key with a million events in thirty days, when its row has just expired."""

from __future__ import annotations

import statistics
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from featurestore.catalog.load import load_definitions
from featurestore.foundation.clock import DAY, SECOND, parse_instant
from featurestore.online.open_store import open_store
from featurestore.retrieval.online_features import OnlineFeatures
from loadtests.ingest.reads import NOW, prepare, write_events
from loadtests.ingest.workload import SERVICE, write_project

EVENTS = 1_000_000
READS = 200
WINDOWS = ("1h", "1d", "30d")


def measure(folder: Path) -> dict[str, Any]:
    """Backfill the key on LMDB and read it at instants seven seconds apart, so that each time its row has expired."""
    project = folder / "hot-key"
    url = f"lmdb:{project.absolute()}/online"
    write_project(project, url, clock=f"fixed:{NOW}")
    _widen_windows(project / "features.py")
    chance, now_us = np.random.default_rng(5), parse_instant(NOW)
    at_us = now_us - np.sort(chance.integers(0, 30 * DAY, EVENTS))[::-1]
    prepare(project, write_events(project / "purchases.parquet", np.zeros(EVENTS, np.int64), at_us, seed=6))
    service = load_definitions(project / "features.py").service(SERVICE)
    features = OnlineFeatures(service)
    taken: list[float] = []
    cpu: list[float] = []
    with closing(open_store(url)) as store:
        for number in range(READS):
            began, cpu_began = time.perf_counter(), time.thread_time()
            read = features.read_blocking(store, {"user": [0]}, now_us + (number + 1) * 7 * SECOND)
            counted = int(read.columns["spending.count_30d"].values[0])
            taken.append((time.perf_counter() - began) * 1e3)
            cpu.append((time.thread_time() - cpu_began) * 1e3)
    return {
        "events": EVENTS,
        "events_in_window_at_the_last_read": counted,
        "read_ms": statistics.median(taken),
        "read_p99_ms": statistics.quantiles(taken, n=100)[98],
        "first_read_ms": taken[0],
        "read_cpu_ms": statistics.median(cpu),
        "read_cpu_p99_ms": statistics.quantiles(cpu, n=100)[98],
    }


def _widen_windows(definitions: Path) -> None:
    """Ask every windowed aggregate of the workload over a day and over thirty."""
    text = definitions.read_text().replace('over="1h"', 'over="30d"')
    definitions.write_text(text)
