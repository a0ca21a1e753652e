"""A small shop, stocked by the commands a user types: what every malformed input is tried on.

It is made once a session, served by one process without an ingest program, which would write by itself, and hashed
before and after each mistake.
"""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq

from tests.e2e.serve_process import served_by_process
from unskew.cli.main import run

NOW = "2024-07-01T00:00:00Z"
NOW_AT = datetime(2024, 7, 1, tzinfo=UTC)

HEAD = """\
from featurestore.definitions import *

customer = Entity("customer", join_key="customer_id")
orders = EventSource(
    "orders",
    schema={"order_id": Int64, "customer_id": Int64, "at": Timestamp, "amount": Decimal(2), "weight_kg": Float64,
            "channel": String, "paid": Bool, "gone": Bool},
    event_timestamp="at", event_id="order_id", available_at=Delay("1h"), tombstone="gone", path="data/orders.parquet",
)
people = TableSource(
    "people", schema={"customer_id": Int64, "since": Timestamp, "age": Int64, "city": String},
    key="customer_id", effective_at="since", path="data/people.parquet",
)
"""

BODY = """
ordering = FeatureView("ordering", customer, orders, ttl="90d", features=[
    Sum("amount", over="28d"), Count(over="7d"), Mean("amount", over="28d"), Last("channel"),
])
profile = FeatureView("profile", customer, people, features=[Attribute("age"), Attribute("city")])


@request_feature(inputs=[Request("cart", Float64), ordering["amount_mean_28d"]], dtype=Float64)
def cart_share(cart, amount_mean_28d):
    return cart / amount_mean_28d


spend_inputs = FeatureService("spend_inputs", [
    ordering, profile, cart_share, Request("items", Int64), Request("short", Float32), Request("gift", Bool),
    Request("word", String), Request("seen", Timestamp), Request("fee", Decimal(2)),
])
strict_inputs = FeatureService("strict_inputs", [ordering["amount_sum_28d"], Request("items", Int64)], missing="refuse")
next_week = Label("next_week", Sum("amount"), of=ordering, over="7d", empty=0.0)
"""

MODELS = """\
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from lifecycle.training import Model, Threshold


def train(data):
    numbers = make_pipeline(SimpleImputer(strategy="constant", fill_value=0.0))
    parts = [("numbers", numbers, data.numeric_columns)]
    if data.text_names:
        parts.append(("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), data.text_columns))
    return make_pipeline(ColumnTransformer(parts), LinearRegression()).fit(data.inputs, data.target)


"""

MODELS_END = """\
spend = Model("spend", service="spend_inputs", label="next_week", train=train, owner="shop@example.org",
              thresholds=[Threshold("rmse", at_most=1e9)])
strict = Model("strict", service="strict_inputs", label="next_week", train=train, owner="shop@example.org",
               thresholds=[Threshold("rmse", at_most=1e-9)])
"""

TOML = f"""\
[project]
name = "shop"

[gateway]
port = 0
body_limit_bytes = 20000
batch_limit_rows = 5

[clock]
now = "fixed:{NOW}"
"""


@dataclass
class Told:
    """What a command said and how it ended."""

    status: int
    out: str
    err: str


def command(*arguments: str) -> Told:
    """Run the command line in this process, as `python -m unskew` does in one of its own."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = run(list(arguments))
    return Told(status, out.getvalue(), err.getvalue())


def process(*arguments: str, **environment: str) -> Told:
    """Run the command line as a user does: a process of its own, nobody watching its screen."""
    done = subprocess.run(
        [sys.executable, "-m", "unskew", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )
    return Told(done.returncode, done.stdout, done.stderr)


@dataclass
class Shop:
    """The project and, while it is served, a client of its gateway."""

    folder: Path
    client: httpx.Client | None = field(default=None, repr=False)

    def run(self, *arguments: str) -> Told:
        """Run a command on the project, errors as JSON."""
        return command(*arguments, "--json", "--project", str(self.folder))

    def must(self, *arguments: str) -> dict[str, Any]:
        """Run a command that has to go well; return what it printed."""
        told = self.run(*arguments)
        assert told.status == 0, told
        answer: dict[str, Any] = json.loads(told.out)
        return answer

    def state(self) -> dict[str, str]:
        """Return a hash of every file that the project keeps.

        Left out is LMDB's table of readers alone: a slot in it is no data, and every process that reads writes one.
        """
        kept = (path for path in sorted((self.folder / ".unskew").rglob("*")) if path.name != "lock.mdb")
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            for path in kept
        }

    @contextmanager
    def mistyped(self, name: str, text: str) -> Iterator[Path]:
        """Put other text into one of the project's files for a while."""
        path = self.folder / name
        before = path.read_bytes()
        path.write_text(text)
        try:
            yield path
        finally:
            path.write_bytes(before)


def make_shop(folder: Path) -> Shop:
    """Write a project and bring it, by its commands, to where it can be served."""
    (folder / "data").mkdir(parents=True)
    (folder / "unskew.toml").write_text(TOML)
    (folder / "features.py").write_text(HEAD + BODY)
    (folder / "models.py").write_text(MODELS + MODELS_END)
    pq.write_table(orders(), folder / "data" / "orders.parquet")
    pq.write_table(people(), folder / "data" / "people.parquet")
    pq.write_table(spine(), folder / "data" / "spine.parquet")
    shop = Shop(folder)
    shop.must("apply")
    shop.must("import")
    for model in ("spend", "strict"):
        shop.must("training-set", "build", "--model", model, "--spine", str(folder / "data" / "spine.parquet"))
        shop.must("train", model)
    shop.must("promote", "spend")
    shop.must("promote", "strict", "--override", "--reason", "a test")
    shop.must("materialise")
    return shop


@contextmanager
def serving(shop: Shop) -> Iterator[Shop]:
    """Serve the project by a process of its own, which after all mistakes still has to answer what is right."""
    with served_by_process(shop.folder, UNSKEW_INGESTION__PROGRAM="alone") as client:
        shop.client = client
        yield shop
        assert client.post("/v1/models/spend/predict", json=right_request()).status_code == 200
    shop.client = None


def right_request() -> dict[str, Any]:
    """Return a request that the model ``spend`` answers."""
    inputs = {"cart": 12.5, "items": 2, "short": 0.5, "gift": True, "word": "a", "seen": NOW, "fee": "1.25"}
    return {"keys": {"customer_id": 1}, "inputs": inputs}


def orders() -> pa.Table:
    """Return a year's half of orders of twelve customers: one each every five days, from a day of their own."""
    rows = [
        (customer * 1000 + number, customer, NOW_AT - timedelta(days=5 * number + customer % 5, hours=3))
        for customer in range(1, 13)
        for number in range(30)
    ]
    return orders_table(
        [identity for identity, _, _ in rows], [customer for _, customer, _ in rows], [at for _, _, at in rows]
    )


def orders_table(identities: Sequence[int], customers: Sequence[int], instants: Sequence[datetime]) -> pa.Table:
    """Return a table that fits the source orders."""
    n = len(identities)
    amounts = pa.array([str(10 + identity % 7) for identity in identities]).cast(pa.decimal128(9, 2))
    return pa.table(
        {
            "order_id": pa.array(identities, pa.int64()),
            "customer_id": pa.array(customers, pa.int64()),
            "at": pa.array(instants, pa.timestamp("us", "UTC")),
            "amount": amounts,
            "weight_kg": pa.array([0.5] * n),
            "channel": pa.array(["app"] * n),
            "paid": pa.array([True] * n),
            "gone": pa.array([False] * n),
        }
    )


def people() -> pa.Table:
    """Return ages and cities of ten of the customers."""
    return pa.table(
        {
            "customer_id": pa.array(range(1, 11), pa.int64()),
            "since": pa.array([NOW_AT - timedelta(days=400)] * 10, pa.timestamp("us", "UTC")),
            "age": pa.array(range(30, 40), pa.int64()),
            "city": pa.array(["Ulm", "Bonn"] * 5),
        }
    )


def spine(rows: int = 60) -> pa.Table:
    """Return a spine that fits: rows of all customers, an hour apart, with every request value."""
    instants = [NOW_AT - timedelta(days=60) + timedelta(hours=12 * row) for row in range(rows)]
    return pa.table(
        {
            "customer_id": pa.array([1 + row % 12 for row in range(rows)], pa.int64()),
            "timestamp": pa.array(instants, pa.timestamp("us", "UTC")),
            "cart": pa.array([float(row) for row in range(rows)]),
            "items": pa.array([row % 4 for row in range(rows)], pa.int64()),
            "short": pa.array([0.5] * rows, pa.float32()),
            "gift": pa.array([row % 2 == 0 for row in range(rows)]),
            "word": pa.array(["a", "b"] * (rows // 2)),
            "seen": pa.array(instants, pa.timestamp("us", "UTC")),
            "fee": pa.array(["1.25"] * rows).cast(pa.decimal128(9, 2)),
        }
    )


def write_csv(path: Path, table: pa.Table, **cells: str) -> Path:
    """Write a table as CSV, with other cells in its first row."""
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(table.column_names)
        for number, row in enumerate(table.to_pylist()):
            texts = {name: _text(value) for name, value in row.items()}
            writer.writerow((texts | cells if number == 0 else texts).values())
    return path


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, datetime) else str(value)
