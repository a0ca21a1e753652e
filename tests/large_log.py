"""A project with millions of logged values that are right, made in seconds: history by import and by stream commits.

What is logged is what the offline store gives in one join over all of history, and s is the last commit that touched
the key by then, as an online store would have stamped its row. The audit has neither from here: it asks at each (t, s).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from featurestore.catalog.applied import apply
from featurestore.catalog.load import load_definitions
from featurestore.definitions import FeatureService, Source
from featurestore.foundation.clock import DAY, SECOND, format_instant, parse_instant
from featurestore.offline.duckdb_store import DuckDBStore, open_offline_store
from featurestore.offline.event_import import import_file
from featurestore.offline.row_check import stored_schema
from featurestore.offline.stream_commit import append_commits
from featurestore.semantics.arrow_column import to_arrow
from featurestore.semantics.finalise import apply_ttl
from featurestore.semantics.value import Column, Decimal, Float64, Int64
from gateway.registry.record import ModelRecord
from gateway.registry.registry import open_registry
from gateway.settings import Settings, load_settings

NOW_US = parse_instant("2017-12-31T00:00:00Z")
BEGIN_US = NOW_US - 60 * DAY
LIVE_US = NOW_US - 10 * DAY
"""From here on events came by the stream, and predictions were made."""
MODEL = "scored"
FILE_ROWS = 50_000

DEFINITIONS = """
from featurestore.definitions import *

card = Entity("card", join_key="card_id")
payments = EventSource(
    "payments",
    schema={"payment_id": Int64, "card_id": Int64, "ts": Timestamp, "known_at": Timestamp, "amount": Decimal(2),
            "shop": String},
    event_timestamp="ts", event_id="payment_id", available_at="known_at", path="payments.parquet",
)
recent = FeatureView(
    "recent", card, payments, ttl="20d",
    features=[Count(over="1h"), Count(over="1d"), Count(over="7d"), Sum("amount", over="1d"), Sum("amount", over="7d"),
              Mean("amount", over="1d"), Mean("amount", over="7d"), StdDev("amount", over="7d"),
              Max("amount", over="7d"), Min("amount", over="7d"), Last("shop"), DistinctCount("shop", over="7d")],
)
monthly = FeatureView(
    "monthly", card, payments, where="amount > 1",
    features=[Count(over="30d"), Sum("amount", over="30d"), Mean("amount", over="30d"), StdDev("amount", over="30d"),
              Max("amount", over="30d"), Last("amount")],
)


@request_feature(inputs=[Request("amount", Float64), recent["amount_mean_7d"]], dtype=Float64)
def against_week(amount, amount_mean_7d):
    return amount / amount_mean_7d


@request_feature(inputs=[Request("amount", Float64), monthly["amount_mean_30d"]], dtype=Float64)
def against_month(amount, amount_mean_30d):
    return amount / amount_mean_30d


inputs = FeatureService("inputs", [recent, monthly, against_week, against_month])
"""
VALUES = 20
"""Logged values of a prediction."""


class LargeLog:
    """Make the project in a folder.

    Parameters
    ----------
    predictions
        Each has `VALUES` values.
    cards, imported, streamed, commits
        Keys, events that were imported, events that came by the stream, and in how many commits.
    """

    def __init__(
        self, folder: Path, predictions: int, *, cards: int, imported: int, streamed: int, commits: int
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "features.py").write_text(DEFINITIONS)
        (folder / "unskew.toml").write_text(
            '[project]\nname = "large"\n[online]\nurl = "memory:"\n[clock]\nnow = "fixed:2017-12-31T00:00:00Z"\n'
        )
        self.settings: Settings = load_settings(folder)
        self.catalog = load_definitions(folder / "features.py")
        apply(self.catalog, self.settings.project.state, self.settings.open_clock())
        self.chance = np.random.default_rng(11)
        self.source: Source = self.catalog.sources["payments"]
        touched = self._write_history(folder, cards, imported, streamed, commits)
        with open_registry(
            self.settings.registry.url, self.settings.registry.artifacts, self.settings.open_clock()
        ) as registry:
            self.record = registry.register(self._record(), b"a model")
        offline = open_offline_store(self.settings.offline.path)
        for number, rows in enumerate(_split(predictions)):
            self._write_file(number, self._predictions(offline, rows, cards, touched))
        offline.close()

    def _write_history(
        self, folder: Path, cards: int, imported: int, streamed: int, commits: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Write history; return card, instant and sequence of each streamed event, ascending by card and instant."""
        clock, root = self.settings.open_clock(), self.settings.offline.path
        before = np.sort(self.chance.integers(BEGIN_US, LIVE_US, imported))
        pq.write_table(self._events(np.arange(imported), before, before, cards), folder / "payments.parquet")
        import_file(self.source, folder / "payments.parquet", root, clock)
        known = np.sort(self.chance.integers(LIVE_US, NOW_US, commits))
        known += np.arange(commits)
        commit = np.sort(self.chance.integers(0, commits, streamed))
        happened = known[commit] - self.chance.integers(0, 300, streamed) * SECOND
        table = self._events(imported + np.arange(streamed), happened, known[commit], cards)
        stored = table.append_column("__event_us", pa.array(happened))
        stored = stored.append_column("__available_us", pa.array(known[commit]))
        stored = stored.append_column("__commit", pa.array(commit + 2))
        stored = stored.append_column("__row", pa.array(np.arange(streamed)))
        stored = stored.append_column("__deleted", pa.array(np.zeros(streamed, np.bool_)))
        stored = stored.cast(stored_schema(self.source))
        append_commits(self.source, root, stored, first=2, last=commits + 1, clock=clock)
        card = table.column("card_id").to_numpy()
        order = np.lexsort((known[commit], card))
        return card[order], known[commit][order], commit[order] + 2

    def _events(
        self, numbers: NDArray[np.int64], happened: NDArray[np.int64], known: NDArray[np.int64], cards: int
    ) -> pa.Table:
        n = len(numbers)
        cents = to_arrow(Column(Decimal(2), self.chance.integers(1, 50_000, n), np.zeros(n, np.bool_)))
        shops = np.array([f"shop {number}" for number in range(500)])
        return pa.table(
            {
                "payment_id": pa.array(numbers),
                "card_id": pa.array((cards * self.chance.random(n) ** 1.5).astype(np.int64)),
                "ts": pa.array(happened).cast(INSTANT),
                "known_at": pa.array(known).cast(INSTANT),
                "amount": cents,
                "shop": pa.array(shops[self.chance.integers(0, 500, n)]),
            }
        )

    def _predictions(
        self,
        offline: DuckDBStore,
        rows: int,
        cards: int,
        touched: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    ) -> dict[str, Any]:
        keys = Column(Int64, self.chance.integers(0, cards, rows), np.zeros(rows, np.bool_))
        instants = self.chance.integers(LIVE_US, NOW_US, rows)
        sequences = _stamps(keys.values, instants, touched)
        service = self.catalog.service("inputs")
        requests = {"amount": Column(Float64, self.chance.random(rows) * 100, np.zeros(rows, np.bool_))}
        features, statuses = _served(offline, service, self.source, keys, instants)
        outputs = service.evaluate({**features, **requests})
        return {
            "prediction_id": [secrets.token_hex(16) for _ in range(rows)],
            "instant": pa.array(instants).cast(INSTANT),
            **{name: pa.array([value] * rows) for name, value in self._constants().items()},
            "sequence": np.arange(rows),
            **{f"s.{view.name}": sequences for view in service.views},
            "key.card": to_arrow(keys),
            "request.amount": to_arrow(requests["amount"]),
            **{f"feature.{name}": to_arrow(of) for name, of in {**features, **outputs}.items()},
            **{f"status.{name}": of for name, of in statuses.items()},
        }

    def _constants(self) -> dict[str, Any]:
        return {
            "request_id": "r",
            "model": MODEL,
            "version": self.record.version,
            "record_hash": self.record.record_hash,
            "variant": "champion",
            "route_revision": 1,
            "degraded": False,
        }

    def _write_file(self, number: int, columns: dict[str, Any]) -> None:
        worker = f"w{number:06d}"
        columns["worker"] = [worker] * len(columns["prediction_id"])
        folder = (
            self.settings.predictions.path / MODEL / f"v{self.record.version}" / f"date={format_instant(LIVE_US)[:10]}"
        )
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), folder / f"{worker}-{0:012d}.parquet", compression="zstd")

    def _record(self) -> ModelRecord:
        service = self.catalog.service("inputs")
        return ModelRecord(
            model=MODEL,
            owner="team@example.org",
            service=service.name,
            service_digest=service.digest,
            catalog_digest=self.catalog.digest,
            input_spec=service.input_spec.describe(),
            outputs=("score",),
            missing=service.missing,
            label="none",
            label_digest="1" * 64,
            training_set_digest="7" * 64,
            training_rows=10,
            holdout_rows=5,
            metrics={"auc": 0.9},
        )


INSTANT = pa.timestamp("us", tz="UTC")


def _split(predictions: int) -> Iterator[int]:
    while predictions > 0:
        yield min(FILE_ROWS, predictions)
        predictions -= FILE_ROWS


def _stamps(
    keys: NDArray[np.int64],
    instants: NDArray[np.int64],
    touched: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
) -> NDArray[np.int64]:
    """Return the last commit that touched each key by its instant; the import for a key that none did."""
    card, known, commit = touched
    span = np.int64(NOW_US - BEGIN_US)
    place = np.searchsorted(card * span + (known - BEGIN_US), keys * span + (instants - BEGIN_US), side="right") - 1
    mine = (place >= 0) & (card[np.maximum(place, 0)] == keys)
    return np.where(mine, commit[np.maximum(place, 0)], 1)


def _served(
    offline: DuckDBStore, service: FeatureService, source: Source, keys: Column, instants: NDArray[np.int64]
) -> tuple[dict[str, Column], dict[str, NDArray[np.uint8]]]:
    features: dict[str, Column] = {}
    statuses: dict[str, NDArray[np.uint8]] = {}
    for view in service.views:
        frame = offline.features_at(view, keys, instants, offline.latest_sequence(source))
        for ref in service.refs_of(view):
            finalised = frame.columns[ref.feature.name], frame.statuses[ref.feature.name]
            latest = frame.latest_event_us, frame.has_latest
            features[ref.name], statuses[ref.name] = apply_ttl(finalised, instants, *latest, view.ttl_us)
    return features, statuses
