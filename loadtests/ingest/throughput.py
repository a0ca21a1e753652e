"""Events per CPU second through the whole of it: HTTP, stream, features, history; and how late they can be read."""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from featurestore.catalog.load import load_definitions
from featurestore.foundation.clock import SystemClock
from featurestore.ingestion.stream.open_stream import open_stream
from featurestore.online.open_store import open_store
from featurestore.retrieval.online_features import OnlineFeatures
from loadtests.ingest.processes import Serving
from loadtests.ingest.workload import SERVICE, SOURCE, USERS, Body, bodies

SENDERS = 4
WARM_EVENTS = 20_000
LAG_BODY_EVENTS = 100
PROBES = USERS + 1_000_000
"""Users above this one are only written to by the probe of the lag."""
DRAIN_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Throughput:
    """What a run of sending as fast as is taken gave."""

    events: int
    seconds: float
    cpu_seconds: dict[str, float]

    @property
    def events_per_s_core(self) -> float:
        """Events per CPU second of gateway, ingest program and Redis together."""
        return self.events / sum(self.cpu_seconds.values())


def measure_throughput(serving: Serving, stream_url: str, events: int) -> Throughput:
    """Send events from four connections as fast as they are acknowledged, and wait until all are committed."""
    warm = bodies(WARM_EVENTS, 0, seed=0)
    _send_all(serving.url, warm)
    _wait_until_committed(serving, stream_url, WARM_EVENTS)
    loaded = bodies(events, WARM_EVENTS, seed=1)
    before, began = serving.cpu_seconds(), time.perf_counter()
    _send_all(serving.url, loaded)
    _wait_until_committed(serving, stream_url, WARM_EVENTS + events)
    seconds, after = time.perf_counter() - began, serving.cpu_seconds()
    used = {name: round(after[name] - before.get(name, 0.0), 3) for name in after}
    return Throughput(events, seconds, used)


def measure_lag_ms(
    serving: Serving, online_url: str, events_per_s: float, seconds: float, first_id: int
) -> list[float]:
    """Send at a steady rate; return, of one event in each body, the time from acknowledgement to being readable, ms."""
    count = int(events_per_s * seconds) // LAG_BODY_EVENTS
    loaded = bodies(count * LAG_BODY_EVENTS, first_id, seed=2, per_body=LAG_BODY_EVENTS)
    catalog = load_definitions(serving.project / "features.py")
    features = OnlineFeatures(catalog.service(SERVICE))
    clock, lags = SystemClock(), []
    with closing(open_store(online_url)) as store, closing(_Sender(serving.url)) as sender:
        began = time.perf_counter()
        for number, body in enumerate(loaded):
            _sleep_until(began + number * LAG_BODY_EVENTS / events_per_s)
            probe = _probe(body, PROBES + number, first_id + 10_000_000 + number)
            sender.send(probe)
            acknowledged = time.perf_counter()
            while not _readable(features, store, PROBES + number, clock):
                time.sleep(0.000_5)
            lags.append((time.perf_counter() - acknowledged) * 1e3)
    return lags


def percentiles(lags: Sequence[float]) -> dict[str, float]:
    """Return median and 99th percentile."""
    return {"p50": statistics.median(lags), "p99": statistics.quantiles(lags, n=100)[98]}


class _Sender:
    """A connection that is kept."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=60)

    def send(self, body: Body) -> None:
        while True:
            headers = {"content-type": "application/x-ndjson"}
            self._connection.request("POST", f"/v1/events/{SOURCE}", body.content, headers)
            answer = self._connection.getresponse()
            told = answer.read()
            if answer.status < 300:
                return
            if answer.status != http.client.TOO_MANY_REQUESTS:
                raise RuntimeError(f"{answer.status}: {told[:500]!r}")
            time.sleep(0.05)

    def close(self) -> None:
        self._connection.close()


def _send_all(url: str, loaded: Sequence[Body]) -> None:
    waiting, lock = iter(loaded), threading.Lock()

    def work() -> None:
        with closing(_Sender(url)) as sender:
            while True:
                with lock:
                    body = next(waiting, None)
                if body is None:
                    return
                sender.send(body)

    with ThreadPoolExecutor(SENDERS) as pool:
        for done in [pool.submit(work) for _ in range(SENDERS)]:
            done.result()


def _wait_until_committed(serving: Serving, stream_url: str, rows: int) -> None:
    deadline = time.monotonic() + DRAIN_TIMEOUT_S
    with closing(open_stream(stream_url, _stream_folder(serving.project), SOURCE, backlog_limit_rows=1)) as stream:
        while stream.backlog().committed_rows < rows:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{stream.backlog()} after {DRAIN_TIMEOUT_S} s, of {rows}")
            time.sleep(0.005)


def _stream_folder(project: Path) -> Path:
    return project / ".unskew" / "stream"


def _probe(body: Body, user: int, event_id: int) -> Body:
    first, _, rest = body.content.partition(b"\n")
    at = first[first.index(b'"at"') :]
    line = b'{"event_id":%d,"user_id":%d,%s' % (event_id, user, at)
    return Body(line + b"\n" + rest, body.events)


def _readable(features: OnlineFeatures, store: Any, user: int, clock: SystemClock) -> bool:
    read = features.read_blocking(store, {"user": [user]}, clock.now_us())
    return bool(read.columns["spending.count_1d"].values[0] > 0)


def _sleep_until(due: float) -> None:
    left = due - time.perf_counter()
    if left > 0:
        time.sleep(left)
