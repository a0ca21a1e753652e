"""Every metric of the gateway: its name, kind, unit and meaning, here and nowhere else.

Counting is a dictionary update on the event loop; Prometheus' text is made when somebody scrapes. ``docs/metrics.md``
lists the same metrics, and a test holds it to `METRICS`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the buckets of every duration, in seconds."""

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """One metric."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    labels: tuple[str, ...]
    meaning: str


REQUESTS = Definition(
    "unskew_requests_total", "counter", "requests", ("model", "status"), "predict requests by HTTP status"
)
REQUEST_SECONDS = Definition(
    "unskew_request_seconds",
    "histogram",
    "seconds",
    ("model",),
    "from a predict request's last byte to its encoded answer, answered requests only",
)
IN_FLIGHT = Definition("unskew_requests_in_flight", "gauge", "requests", (), "predict requests in work")
PREDICTIONS = Definition(
    "unskew_predictions_total", "counter", "rows", ("model", "version", "variant"), "rows that were answered"
)
DEGRADED = Definition(
    "unskew_degraded_predictions_total",
    "counter",
    "rows",
    ("model",),
    "rows answered with every feature missing, because the online store failed",
)
FETCHES = Definition(
    "unskew_feature_fetches_total", "counter", "rounds", ("service",), "rounds of feature reads, failed ones included"
)
FETCHED_ROWS = Definition(
    "unskew_feature_fetch_rows_total", "counter", "rows", ("service",), "rows whose features those rounds read"
)
FETCH_ERRORS = Definition(
    "unskew_feature_fetch_errors_total", "counter", "rounds", ("service",), "rounds that the online store failed"
)
FETCH_SECONDS = Definition(
    "unskew_feature_fetch_seconds", "histogram", "seconds", ("service",), "duration of a round of feature reads"
)
ROUTE_REVISION = Definition(
    "unskew_route_revision", "gauge", "revision", ("model",), "revision of the route that answers here"
)
ROUTE_FAILED = Definition(
    "unskew_route_failed",
    "gauge",
    "0 or 1",
    ("model",),
    "1 while the registry's route cannot be loaded, so that an older one answers or none",
)
LOG_ROWS = Definition(
    "unskew_prediction_log_rows_total",
    "counter",
    "rows",
    ("fate",),
    "predictions handed to the log: `written` and synced, or `dropped` because the buffer was full",
)
LOG_WAITING = Definition("unskew_prediction_log_waiting_rows", "gauge", "rows", (), "predictions not yet synced")
LOG_UNSYNCED = Definition(
    "unskew_prediction_log_unsynced_rows_total",
    "counter",
    "rows",
    (),
    'answers that left before their record was synced, though durability = "sync": the disk failed or was too slow',
)
LOG_FILES = Definition("unskew_prediction_log_files_total", "counter", "files", (), "segments the log has begun")
LOG_ERRORS = Definition(
    "unskew_prediction_log_errors_total", "counter", "attempts", (), "attempts to write records that failed"
)

EVENT_REQUESTS = Definition(
    "unskew_event_requests_total", "counter", "requests", ("source", "status"), "events requests by HTTP status"
)
EVENTS = Definition(
    "unskew_events_total",
    "counter",
    "events",
    ("source", "fate"),
    "events by what became of them: `accepted` into the stream, synced, or `refused` and kept as dead letters",
)
EVENTS_SHED = Definition(
    "unskew_event_requests_shed_total",
    "counter",
    "requests",
    ("source", "reason"),
    "events requests answered 429: because the `backlog` of the ingest program is full, or too many are `in_flight`",
)
EVENT_APPEND_SECONDS = Definition(
    "unskew_event_append_seconds",
    "histogram",
    "seconds",
    ("source",),
    "duration of a round of appends, the stream's sync and that of the dead letters included",
)
EVENT_BACKLOG = Definition(
    "unskew_event_backlog_rows",
    "gauge",
    "events",
    ("source",),
    "events that wait for the ingest program, of sources that this gateway has taken events of; looked at every second",
)

METRICS = (
    REQUESTS,
    REQUEST_SECONDS,
    IN_FLIGHT,
    PREDICTIONS,
    DEGRADED,
    FETCHES,
    FETCHED_ROWS,
    FETCH_ERRORS,
    FETCH_SECONDS,
    ROUTE_REVISION,
    ROUTE_FAILED,
    LOG_ROWS,
    LOG_WAITING,
    LOG_UNSYNCED,
    LOG_FILES,
    LOG_ERRORS,
    EVENT_REQUESTS,
    EVENTS,
    EVENTS_SHED,
    EVENT_APPEND_SECONDS,
    EVENT_BACKLOG,
)

Reading = tuple[Definition, Labels, float]


class Histogram:
    """Counts of durations by bucket, and their sum."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total_s = 0.0

    def observe(self, duration_s: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS_S, duration_s)] += 1
        self.total_s += duration_s

    def cumulative(self) -> list[tuple[str, float]]:
        """Return the pairs (upper bound, observations up to it), as Prometheus wants them."""
        bounds = [*(str(bound) for bound in BUCKETS_S), "+Inf"]
        return [(bound, float(count)) for bound, count in zip(bounds, accumulate(self.counts), strict=True)]


class Measures(Collector):
    """What has been counted in this process; one event loop writes and reads it."""

    def __init__(self) -> None:
        self._counts: dict[Definition, dict[Labels, float]] = defaultdict(lambda: defaultdict(float))
        self._durations: dict[Definition, dict[Labels, Histogram]] = defaultdict(lambda: defaultdict(Histogram))
        self._watched: list[Callable[[], Iterable[Reading]]] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def add(self, metric: Definition, labels: Labels, amount: float = 1) -> None:
        """Add to a counter; ``labels`` in the order of its definition."""
        self._counts[metric][labels] += amount

    def duration(self, metric: Definition, labels: Labels) -> Histogram:
        """Return the histogram to observe durations with; callers on the hot path keep it."""
        return self._durations[metric][labels]

    def watch(self, read: Callable[[], Iterable[Reading]]) -> None:
        """Ask ``read`` at every scrape for figures that are kept elsewhere."""
        self._watched.append(read)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, those without a figure too."""
        figures = {metric: dict(self._counts.get(metric, {})) for metric in METRICS}
        for read in self._watched:
            for metric, labels, value in read():
                figures[metric][labels] = value
        for metric in METRICS:
            yield self._family(metric, figures[metric])

    def _family(self, metric: Definition, figures: dict[Labels, float]) -> Metric:
        if metric.kind == "histogram":
            durations = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
            for labels, histogram in self._durations.get(metric, {}).items():
                durations.add_metric(labels, histogram.cumulative(), histogram.total_s)
            return durations
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(metric.name, metric.meaning, labels=metric.labels)
        for labels, value in figures.items():
            family.add_metric(labels, value)
        return family
