"""A stream of baskets in memory and a temporary folder, and who commits it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurestore.definitions import FeatureService
from featurestore.foundation.clock import FixedClock, format_instant
from featurestore.ingestion.accept import EventForm
from featurestore.ingestion.committer import Committer
from featurestore.ingestion.dead_letter import DeadLetters
from featurestore.ingestion.settings import IngestSettings
from featurestore.ingestion.stream.open_stream import open_stream
from featurestore.offline.duckdb_store import DuckDBStore
from featurestore.online.base import OnlineStore
from featurestore.online.memory_store import MemoryStore
from featurestore.retrieval.online_features import OnlineFeatures
from tests.unit.featurestore.retrieval.household import NOON, baskets, spending, trade

T0 = NOON + 1_000_000
"""When the stream is opened."""


@dataclass
class Baskets:
    """The stores around one stream."""

    folder: Path
    offline: DuckDBStore
    store: OnlineStore
    clock: FixedClock
    views: tuple[Any, ...] = (spending, trade)
    source: Any = baskets

    def __post_init__(self) -> None:
        self.stream = open_stream(
            "memory://", self.folder / "stream", self.source.name, backlog_limit_rows=1_000, clock=self.clock
        )
        self.dead_letters = DeadLetters(self.folder / "dead", self.clock)
        self.root = self.folder / "offline"

    def committer(self, **settings: Any) -> Committer:
        return Committer(
            self.source,
            self.views,
            stream=self.stream,
            store=self.store,
            offline=self.offline,
            offline_root=self.root,
            clock=self.clock,
            dead_letters=self.dead_letters,
            settings=IngestSettings(**{"history_interval_s": 1e9, **settings}),
        )

    def opened(self, **settings: Any) -> Committer:
        committer = self.committer(**settings)
        assert committer.open() is not None
        return committer

    def send(self, *rows: tuple[Any, ...]) -> None:
        """Append rows of basket, household, shop, instant, cents; one entry."""
        names = ("basket_id", "household_id", "shop_id", "ts", "value")
        plain = [
            dict(zip(names, (*row[:3], format_instant(row[3]), f"{row[4] / 100:.2f}"), strict=True)) for row in rows
        ]
        reading = EventForm(self.source).read(plain)
        assert not reading.refused
        self.stream.append([(reading.payload, reading.rows)])

    def read(self, household: int, t_us: int | None = None, view: Any = spending) -> dict[str, Any]:
        """Return the values of one household by feature, and ``s``."""
        t_us = self.clock.now_us() + 10 if t_us is None else t_us
        found = OnlineFeatures(FeatureService("inputs", [view])).read_blocking(
            self.store, {view.entity.name: [household]}, t_us
        )
        values = {name.partition(".")[2]: values.to_pylist()[0] for name, values in found.columns.items()}
        return {**values, "s": int(found.sequences[view.name][0])}


def in_memory(folder: Path, offline: DuckDBStore, **changed: Any) -> Baskets:
    return Baskets(folder, offline, MemoryStore(), FixedClock(T0), **changed)
