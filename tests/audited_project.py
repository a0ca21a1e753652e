"""A shop whose served values a test can spoil: real history, a real online store, a real prediction log and registry.

Values are read from the online store as the gateway reads them, and handed to the log's own writer; what a test
plants between the two is what the audit has to find.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout
from copy import copy
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.catalog.catalog import Catalog
from featurestore.catalog.load import load_definitions
from featurestore.foundation.clock import DAY, HOUR, SECOND, parse_instant
from featurestore.materialisation.ledger import Ledger
from featurestore.materialisation.materialise import materialise
from featurestore.offline.duckdb_store import open_offline_store
from featurestore.offline.event_import import import_file
from featurestore.online.base import OnlineStore, Put
from featurestore.online.envelope import STAMP, unpack_stamp
from featurestore.online.open_store import open_store
from featurestore.online.row_codec import FinalisedRows, times
from featurestore.online.view_format import ViewFormat
from featurestore.retrieval.online_features import OnlineFeatures, ServiceRead
from featurestore.semantics.value import Column, Float64, column
from gateway.predictionlog.record import PredictionBatch
from gateway.predictionlog.writer import PredictionLog
from gateway.registry.record import ModelRecord
from gateway.registry.registry import open_registry
from gateway.settings import Settings, load_settings
from unskew.cli.main import run

NOW_US = parse_instant("2017-12-31T00:00:00Z")
CUSTOMERS, ORDERS = 20, 400
SERVICE, MODEL = "inputs", "spend"

DEFINITIONS = """
from featurestore.definitions import *

customer = Entity("customer", join_key="customer_id")
orders = EventSource(
    "orders",
    schema={"order_id": String, "customer_id": Int64, "ts": Timestamp, "known_at": Timestamp,
            "net": Decimal(2), "store": String, "gone": Bool},
    event_timestamp="ts", event_id="order_id", available_at="known_at", tombstone="gone", path="orders.parquet",
)
spending = FeatureView(
    "spending", customer, orders, ttl="20d",
    features=[Sum("net", over="30d"), Mean("net", over="7d"), Count(over="7d"), Last("store"),
              DistinctCount("store", over="30d")],
)
visits = FeatureView("visits", customer, orders, features=[Count(over="1d"), Max("net", over="30d")], where="net > 0")


@request_feature(inputs=[Request("basket_value", Float64), spending["net_mean_7d"]], dtype=Float64)
def basket_ratio(basket_value, net_mean_7d):
    return basket_value / net_mean_7d


inputs = FeatureService("inputs", [spending, visits, basket_ratio])
"""


@dataclass
class Told:
    """What a command printed, and how it ended."""

    status: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self.out)


def command(*arguments: object) -> Told:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = run([str(argument) for argument in arguments])
    return Told(status, out.getvalue(), err.getvalue())


class Shop:
    """A project with two commits of orders, a model's record, and an online store filled as of three days ago."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.define(DEFINITIONS)
        (folder / "unskew.toml").write_text(
            '[project]\nname = "shop"\n[online]\nurl = "lmdb:online"\n[clock]\nnow = "fixed:2017-12-31T00:00:00Z"\n'
        )
        self.settings: Settings = load_settings(folder)
        assert command("apply", "--project", folder).status == 0
        self.rows = orders()
        for commit in (self.rows[: ORDERS // 2], self.rows[ORDERS // 2 :]):
            self.take_in(commit)
        self.as_of_us = NOW_US - 3 * DAY
        self.fill(self.settings.online.url, self.settings.offline.path)
        with self.registry() as registry:
            registry.register(self.record(), b"a model")

    def copied(self, folder: Path) -> Self:
        """Return a copy in another folder."""
        shutil.copytree(self.folder, folder)
        other = copy(self)
        other.folder = folder
        other.settings = load_settings(folder)
        other.__dict__.pop("catalog", None)
        return other

    def define(self, definitions: str) -> None:
        (self.folder / "features.py").write_text(definitions)
        self.__dict__.pop("catalog", None)

    @cached_property
    def catalog(self) -> Catalog:
        return load_definitions(self.folder / "features.py")

    def registry(self) -> Any:
        settings = self.settings
        return open_registry(settings.registry.url, settings.registry.artifacts, settings.open_clock())

    def record(self, **changes: Any) -> ModelRecord:
        service = self.catalog.service(SERVICE)
        fields: dict[str, Any] = {
            "model": MODEL,
            "owner": "team@example.org",
            "service": SERVICE,
            "service_digest": service.digest,
            "catalog_digest": self.catalog.digest,
            "input_spec": service.input_spec.describe(),
            "outputs": ("score",),
            "missing": service.missing,
            "label": "none",
            "label_digest": "1" * 64,
            "training_set_digest": "7" * 64,
            "training_rows": 10,
            "holdout_rows": 5,
            "metrics": {"auc": 0.9},
        }
        return ModelRecord(**(fields | changes))

    def take_in(self, rows: Sequence[Mapping[str, Any]], root: Path | None = None) -> None:
        path = self.folder / "orders.parquet"
        pq.write_table(pa.table({name: [row[name] for row in rows] for name in rows[0]}, schema=SCHEMA), path)
        source = self.catalog.sources["orders"]
        import_file(source, path, root or self.settings.offline.path, self.settings.open_clock())

    def fill(self, url: str, root: Path) -> None:
        """Materialise every view into an online store from some history."""
        offline, online = open_offline_store(root, threads=1), open_store(url)
        for view in self.catalog.views.values():
            materialise(view, offline, online, self.as_of_us, Ledger(self.folder / "ledgers" / str(abs(hash(url)))))
        online.close()
        offline.close()

    def without(self, order_id: str) -> str:
        """Return the URL of an online store that was filled from a history without one order."""
        other, url = self.folder / "other", f"lmdb:{self.folder / 'online-without'}"
        rows = [row for row in self.rows if row["order_id"] != order_id]
        for commit in (rows[: ORDERS // 2], rows[ORDERS // 2 :]):
            self.take_in(commit, other)
        self.fill(url, other)
        return url

    def corrupt(self, view: str, key: int, added: float) -> None:
        """Add to the first feature of a key's stored row; stamp, interval and checksum stay as they should be."""
        form = ViewFormat(self.catalog.view(view))
        encoded = form.encode_key(key)
        with closing(open_store(self.settings.online.url)) as store:
            row, log = store.get_many([form.keys.row(encoded), form.keys.log(encoded)])
            assert row is not None
            decoded = form.rows.decode([row])
            columns = decoded.columns(decoded.statuses)
            columns[0] = Column(columns[0].dtype, columns[0].values + added, columns[0].nulls)
            statuses = [decoded.statuses[:, slot] for slot in range(len(columns))]
            valid_from, next_change = (np.array([each]) for each in times(row))
            latest = decoded.latest_event_us, decoded.has_latest
            rows = FinalisedRows(columns, statuses, *latest, valid_from, next_change)
            spoilt = form.rows.encode(rows, unpack_stamp(row[STAMP]))[0]
            store.put_many([Put(form.keys.row(encoded), spoilt, form.keys.log(encoded), log)])

    def read(self, store: OnlineStore, keys: Sequence[int], t_us: int) -> ServiceRead:
        """Read as the gateway does."""
        return OnlineFeatures(self.catalog.service(SERVICE)).read_blocking(store, {"customer": keys}, t_us)

    def serve(
        self,
        keys: Sequence[int],
        instants_us: Sequence[int],
        *,
        online: str | None = None,
        late_us: int = 0,
        spoil: Callable[[dict[str, Column]], None] | None = None,
        s: int | None = None,
        basket_value: float | None = None,
        capacity_rows: int = 200_000,
        **changes: Any,
    ) -> list[str]:
        """Read at instants, and log what was read as if it was answered; return the prediction ids.

        Parameters
        ----------
        online
            URL of another online store than the project's.
        late_us
            How much earlier than is logged the values are read.
        spoil
            Changes what was read before it is logged.
        s, basket_value
            The sequence, and the request value, that are logged instead.
        capacity_rows
            Room of the log's writer.
        changes
            Other fields of the batch.
        """
        ids: list[str] = []
        store = open_store(online or self.settings.online.url)
        with closing(store), PredictionLog(self.settings.predictions.path, capacity_rows=capacity_rows) as log:
            for t_us in instants_us:
                read = self.read(store, keys, t_us - late_us)
                features = dict(read.columns)
                requests = {"basket_value": column(Float64, [12.5 + key for key in keys])}
                if spoil is not None:
                    spoil(features)
                values = self.catalog.service(SERVICE).evaluate({**features, **requests})
                if basket_value is not None:
                    requests = {"basket_value": column(Float64, [basket_value] * len(keys))}
                batch = self.batch(keys, t_us, read, features | {"basket_ratio": values["basket_ratio"]}, requests)
                if s is not None:
                    batch.sequences = {name: np.full(len(keys), s) for name in batch.sequences}
                for name, value in changes.items():
                    setattr(batch, name, value)
                ids += batch.prediction_ids
                log.append(batch)
        return ids

    def batch(
        self,
        keys: Sequence[int],
        t_us: int,
        read: ServiceRead,
        features: dict[str, Column],
        requests: dict[str, Column],
    ) -> PredictionBatch:
        with self.registry() as registry:
            record = registry.get(MODEL, "latest")
        return PredictionBatch(
            model=MODEL,
            version=record.version,
            record_hash=record.record_hash,
            variant="champion",
            route_revision=1,
            instant_us=t_us,
            prediction_ids=[f"{t_us}-{key}" for key in keys],
            keys={"customer": column(self.catalog.entities["customer"].dtype, list(keys))},
            requests=requests,
            features=features,
            statuses=read.statuses,
            sequences=read.sequences,
            outputs={"score": np.zeros((len(keys), 1), dtype=np.float32)},
            request_id="r-1",
        )

    def audit(self, *arguments: object) -> Told:
        told = command("audit", "--project", self.folder, "--json", *arguments)
        assert told.out, told.err
        return told


SCHEMA = pa.schema(
    {
        "order_id": pa.string(),
        "customer_id": pa.int64(),
        "ts": pa.timestamp("us", tz="UTC"),
        "known_at": pa.timestamp("us", tz="UTC"),
        "net": pa.decimal128(18, 2),
        "store": pa.string(),
        "gone": pa.bool_(),
    }
)


def orders() -> list[dict[str, Any]]:
    """Return orders of 60 days, known a few seconds after they happen, in two commits; every tenth is corrected."""
    chance = np.random.default_rng(7)
    rows: list[dict[str, Any]] = []
    for number in range(ORDERS):
        corrects = number % 10 == 9
        ts = rows[number - 5]["ts"] if corrects else int(NOW_US - chance.integers(4 * HOUR, 60 * DAY))
        rows.append(
            {
                "order_id": rows[number - 5]["order_id"] if corrects else f"o{number}",
                "customer_id": rows[number - 5]["customer_id"] if corrects else int(chance.integers(CUSTOMERS)),
                "ts": ts,
                "known_at": ts + (2 * HOUR if corrects else int(chance.integers(5)) * SECOND),
                "net": Decimal(int(chance.integers(-500, 20_000))).scaleb(-2),
                "store": f"s{chance.integers(6)}",
                "gone": number % 50 == 49,
            }
        )
    return rows
