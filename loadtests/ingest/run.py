"""Time ingestion beside its peers: ``python -m loadtests.ingest.run``; README.md says what and why.

Exit status 1 when a ratio or a goal's figure is missing.
"""

from __future__ import annotations

import argparse
import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from loadtests.ingest import hot_key, raw_stream, reads
from loadtests.ingest.disk import DELAY_US, slow_disk_environment, sync_latency_ms
from loadtests.ingest.processes import redis_server, serving
from loadtests.ingest.throughput import Throughput, measure_lag_ms, measure_throughput, percentiles
from loadtests.ingest.workload import bodies, write_project
from loadtests.pit.machine import machine, versions

EVENTS = 200_000
LAG_SECONDS = 10.0
GOAL_EVENTS_PER_S = 20_000


def main() -> int:
    """Run everything, write the result, and return the exit status."""
    options = _options()
    folder: Path = options.directory / "ingest"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    result = _run(folder, options.events)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({name: result[name] for name in ("ratios", "other_ratios", "figures")}, indent=2))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS, help="events of the throughput runs")
    parser.add_argument("--directory", type=Path, default=Path(".bench"), help="projects, servers' data")
    parser.add_argument("--output", type=Path, default=Path("loadtests/results/ingest.json"))
    return parser.parse_args()


def _run(folder: Path, events: int) -> dict[str, Any]:
    disk = sync_latency_ms(folder)
    raw = _raw(folder, events)
    on_redis = _ours(folder, "redis", events)
    on_lmdb = _ours(folder, "lmdb", events)
    slow = _ours(folder, "redis", events // 4, slow=True)
    read = reads.measure(folder)
    hot = hot_key.measure(folder)
    return {
        "name": "ingest",
        "machine": machine(),
        "versions": versions("duckdb", "numpy", "redis", "lmdb", "uvicorn"),
        "ratios": {
            "ingest_vs_raw_stream": on_redis["events_per_s_core"] / raw["events_per_s_core"],
            "realtime_read_vs_batch_read": read["running"]["ratio"],
        },
        "other_ratios": {"realtime_read_vs_batch_read_cold": read["cold"]["ratio"]},
        "figures": {
            "events_per_s_core": on_redis["events_per_s_core"],
            "events_per_s_core_lmdb": on_lmdb["events_per_s_core"],
            "lag_p99_ms": on_redis["lag_ms"]["p99"],
            "lag_p99_ms_lmdb": on_lmdb["lag_ms"]["p99"],
            "lag_p99_ms_slow_disk": slow["lag_ms"]["p99"],
            "hot_key_read_ms": hot["read_ms"],
            "sync_p50_ms": disk["p50"],
            "sync_p99_ms": disk["p99"],
        },
        "median_seconds": {"read_batch": read["cold"]["batch_seconds"], "read_cold": read["cold"]["realtime_seconds"]},
        "raw_stream": raw,
        "redis": on_redis,
        "lmdb": on_lmdb,
        f"redis_with_{DELAY_US}_us_sync_delay": slow,
        "reads": read,
        "hot_key": hot,
    }


def _raw(folder: Path, events: int) -> dict[str, Any]:
    with redis_server(folder / "raw") as server:
        assert server.process is not None
        before = _redis_cpu(server.process.pid)
        told = raw_stream.run(server.url, bodies(events, 0, seed=1))
        cpu = told["cpu_seconds"] + _redis_cpu(server.process.pid) - before
    return {**told, "cpu_seconds": cpu, "events_per_s_core": events / cpu}


def _redis_cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _ours(folder: Path, backend: str, events: int, *, slow: bool = False) -> dict[str, Any]:
    name = f"{backend}{'-slow' if slow else ''}"
    environment = slow_disk_environment(folder) if slow else {}
    with ExitStack() as stack:
        others: tuple[int, ...] = ()
        url = f"lmdb:{folder.absolute()}/{name}/online"
        if backend == "redis":
            server = stack.enter_context(redis_server(folder / f"{name}-data", environment))
            assert server.process is not None
            url, others = server.url, (server.process.pid,)
        project = folder / name
        write_project(project, url)
        served = stack.enter_context(serving(project, *others, environment=environment))
        throughput = measure_throughput(served, url, events)
        lags = measure_lag_ms(served, url, GOAL_EVENTS_PER_S / 2, LAG_SECONDS, first_id=10 * events)
    return {**_told(throughput), "lag_rate_events_per_s": GOAL_EVENTS_PER_S / 2, "lag_ms": percentiles(lags)}


def _told(throughput: Throughput) -> dict[str, Any]:
    return {
        "events": throughput.events,
        "seconds": throughput.seconds,
        "cpu_seconds": throughput.cpu_seconds,
        "events_per_s": throughput.events / throughput.seconds,
        "events_per_s_core": throughput.events_per_s_core,
    }


if __name__ == "__main__":
    raise SystemExit(main())
