"""A shop whose events do all that events can do: sent, read on the way, and judged by the oracle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from featurestore.definitions import (
    Bool,
    Count,
    Decimal,
    Delay,
    Derived,
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
    String,
    Sum,
    Timestamp,
)
from featurestore.definitions.aggregation import Aggregation
from featurestore.foundation.clock import DAY, HOUR, SECOND, FixedClock, format_instant, parse_instant
from featurestore.ingestion.accept import EventForm
from featurestore.ingestion.committer import Committer
from featurestore.ingestion.dead_letter import DeadLetters
from featurestore.ingestion.settings import IngestSettings
from featurestore.ingestion.stream.base import EventStream
from featurestore.offline import snapshot
from featurestore.offline.duckdb_store import DuckDBStore
from featurestore.online.base import OnlineStore
from featurestore.retrieval.online_features import OnlineFeatures
from featurestore.semantics.status import Status
from featurestore.semantics.value import Column, column
from tests.oracle import point_in_time as oracle
from tests.oracle.point_in_time import Ask, Version, View

NOON = parse_instant("2017-06-01T12:00:00Z")
SCALE = 2
customer = Entity("customer", join_key="customer_id")
shop = Entity("shop", join_key="shop_name", dtype=String)
sales = EventSource(
    "sales",
    schema={
        "id": Int64,
        "customer_id": Int64,
        "shop_name": String,
        "ts": Timestamp,
        "cents": Int64,
        "price": Decimal(SCALE),
        "note": String,
        "gone": Bool,
        "serial": Int64,
    },
    event_timestamp="ts",
    event_id="id",
    available_at=Delay("0s"),
    tombstone="gone",
    path="sales",
)
AGGREGATIONS: list[Aggregation] = [
    one
    for over in ("10s", "1h")
    for one in (
        Count(over=over), Sum("cents", over), Mean("price", over), StdDev("cents", over), Min("cents", over),
        Max("price", over), Last("note", over), DistinctCount("shop_name", over),
    )
]  # fmt: skip
spending = FeatureView(
    "spending",
    customer,
    sales,
    [*AGGREGATIONS, Sum("noted", "1h"), Last("noted")],
    derive={"noted": Derived("CAST(note AS BIGINT)", Int64)},
    where="cents > 0",
)
trade = FeatureView("trade", shop, sales, [*AGGREGATIONS, Last("cents")], key="shop_name", ttl="1d")


def _ask(one: Aggregation) -> Ask:
    return Ask(one.feature_name, str(one.kind), one.column, one.over_us)


ORACLES = {
    "spending": View(
        "customer_id",
        [*map(_ask, AGGREGATIONS), Ask("noted_sum_1h", "sum", "noted", HOUR), Ask("noted_last", "last", "noted", None)],
        where=lambda row: None if row["cents"] is None else row["cents"] > 0,
        derive={"noted": lambda row: None if row["note"] is None else int(row["note"])},
    ),
    "trade": View("shop_name", [*map(_ask, AGGREGATIONS), Ask("cents_last", "last", "cents", None)], ttl=DAY),
}
KEYS: dict[str, list[Any]] = {"spending": [1, 2, 3, 9], "trade": ["north", "é", "south"]}


def row(serial: int, event: int, who: int | None, where: str | None, at: int, **other: Any) -> dict[str, Any]:
    """Return an event; ``at`` counts from noon."""
    plain = {"cents": 100 + serial, "price": serial * 11, "note": str(serial), "gone": False}
    return {"id": event, "customer_id": who, "shop_name": where, "ts": NOON + at, **plain, **other, "serial": serial}


BATCHES: list[list[dict[str, Any]]] = [
    [row(1, 1, 1, "north", -SECOND), row(2, 2, 1, "é", -2 * SECOND), row(3, 3, 2, "north", -HOUR - 5)],
    [row(4, 4, 1, "north", 0), row(5, 4, 2, "é", 0), row(6, 4, 3, "é", SECOND)],
    [row(7, 1, 2, "north", -SECOND), row(8, 2, 1, "é", -2 * SECOND, cents=0), row(9, 5, None, None, 0)],
    [row(7, 1, 2, "north", -SECOND), row(10, 3, 2, "north", -HOUR, gone=True), row(11, 6, 1, "south", 3600 * SECOND)],
    [row(12, 7, 1, "south", 0, note="no number"), row(13, 8, 1, "south", -3 * DAY), row(14, 9, 2, "é", SECOND)],
    [row(15, 6, 9, "north", 20 * SECOND), row(16, 7, 1, "south", 0), row(17, 9, 2, "é", SECOND, gone=True)],
    [row(18, 9, 2, "é", 2 * SECOND), row(19, 5, 3, "north", -5), row(20, 2, 1, "é", -2 * SECOND)],
]
FAILS = {12}


@dataclass
class Read:
    """What one key's read gave, by feature: the value's bits, and its status."""

    view: str
    key: Any
    t: int
    s: int
    told: dict[str, tuple[Any, str]]


@dataclass
class Shop:
    """The stores of one run, what was sent, and what was read."""

    folder: Path
    store: OnlineStore
    offline: DuckDBStore
    clock: FixedClock
    commit_rows: int = 100
    sent: list[dict[str, Any]] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.form = EventForm(sales)
        self.dead_letters = DeadLetters(self.folder / "dead", self.clock)

    def committer(self, stream: EventStream, store: OnlineStore | None = None) -> Committer:
        return Committer(
            sales,
            [spending, trade],
            stream=stream,
            store=store or self.store,
            offline=self.offline,
            offline_root=self.folder / "offline",
            clock=self.clock,
            dead_letters=self.dead_letters,
            settings=IngestSettings(commit_rows=self.commit_rows, history_interval_s=1e9),
        )

    def payload(self, rows: list[dict[str, Any]]) -> tuple[bytes, int]:
        reading = self.form.read([_json(each) for each in rows])
        assert not reading.refused
        return reading.payload, reading.rows

    def read(self) -> None:
        """Read all keys of both views, now and at times before and after."""
        now = self.clock.now_us()
        for view in (spending, trade):
            features = OnlineFeatures(FeatureService("inputs", [view]))
            for t in (now, now - 1, now + 1, now + 10 * SECOND, now + HOUR - 1, now + HOUR, now + 2 * DAY):
                found = features.read_blocking(self.store, {view.entity.name: KEYS[view.name]}, t)
                told = {name: _told(values, found.statuses[name]) for name, values in found.columns.items()}
                for place, key in enumerate(KEYS[view.name]):
                    answers = {name.partition(".")[2]: pairs[place] for name, pairs in told.items()}
                    self.reads.append(Read(view.name, key, t, int(found.sequences[view.name][place]), answers))

    def check(self) -> int:
        """Hold history against what was sent, and every read against the oracle and history; return how many values."""
        versions = list(self._versions())
        for read in self.reads:
            right = oracle.answers(versions, ORACLES[read.view], read.key, read.t, read.s)
            wanted = {name: (oracle.bits(each.value), each.status) for name, each in right.items()}
            assert read.told == wanted, (read.view, read.key, read.t - NOON, read.s)
        for view in (spending, trade):
            self._check_offline(view)
        letters = [_serial(letter.row) for letter in self.dead_letters.list("sales") if letter.kind == "failed"]
        assert sorted(letters) == sorted(FAILS & {each["serial"] for each in self.sent}), "one letter per failing row"
        return sum(len(read.told) for read in self.reads)

    def _check_offline(self, view: FeatureView) -> None:
        reads = [read for read in self.reads if read.view == view.name]
        keys = column(view.entity.dtype, [read.key for read in reads])
        instants, sequences = np.array([read.t for read in reads]), np.array([read.s for read in reads])
        frame = self.offline.features_at_each(view, keys, instants, sequences)
        alive = np.ones(len(reads), dtype=bool)
        if view.ttl_us is not None:
            alive = ~(frame.has_latest & (instants - frame.latest_event_us > view.ttl_us))
        for name, values in frame.columns.items():
            told = _told(values, frame.statuses[name])
            same = [read.told[name] == pair for read, pair in zip(reads, told, strict=True)]
            assert all(np.array(same)[alive]), name

    def _versions(self) -> Iterator[Version]:
        """Give what history holds, once it is what was sent, in order and exactly once."""
        paths = snapshot.latest(self.folder / "offline", sales).paths
        rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
        rows.sort(key=lambda row: (row["__commit"], row["__row"]))
        wanted = list(self._once())
        assert [row["serial"] for row in rows] == [each["serial"] for each in wanted]
        stamps = {row["__commit"]: row["__available_us"] for row in rows}
        assert list(stamps.values()) == sorted(set(stamps.values()))
        for stored, each in zip(rows, wanted, strict=True):
            values = {**each, "price": None if each["price"] is None else stored["price"]}
            yield Version((each["id"],), each["ts"], stored["__available_us"], stored["__commit"], values, each["gone"])

    def _once(self) -> Iterator[dict[str, Any]]:
        newest: dict[int, int] = {}
        for each in self.sent:
            if each["serial"] not in FAILS and newest.get(each["id"]) != each["serial"]:
                newest[each["id"]] = each["serial"]
                yield each


def _told(values: Column, statuses: Any) -> list[tuple[Any, str]]:
    scale = values.dtype.scale
    cells = [None if c is None else c if scale is None else Fraction(c, 10**scale) for c in values.to_pylist()]
    return list(zip(map(oracle.bits, cells), (Status(mark).name.lower() for mark in statuses), strict=True))


def _json(each: dict[str, Any]) -> dict[str, Any]:
    return {**each, "ts": format_instant(each["ts"]), "price": f"{each['price'] / 100:.2f}"}


def _serial(letter: Any) -> int:
    return int(letter["serial"])
