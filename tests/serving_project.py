"""A project small enough to compute by hand, with a registry, online rows and a model, to serve in tests.

Rows are written with the store's own codecs from events that a test states; nothing of the offline store is needed. The
model adds its numeric inputs, NaN counting -1, and gives them back beside the sum, so that a test sees what it was fed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from featurestore.catalog.applied import apply
from featurestore.catalog.catalog import Catalog
from featurestore.catalog.load import load_definitions
from featurestore.definitions import FeatureView
from featurestore.foundation.clock import DAY, parse_instant
from featurestore.online.base import OnlineStore, Put
from featurestore.online.envelope import Stamp
from featurestore.online.keys import NOBODY
from featurestore.online.open_store import open_store
from featurestore.online.view_format import ViewFormat
from featurestore.semantics.aggregate import EventLog
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import column
from gateway.app import GatewayApp, serve
from gateway.predictionlog.reader import PredictionReader
from gateway.registry.record import ModelRecord, Threshold
from gateway.registry.registry import Registry, open_registry
from gateway.settings import Settings, load_settings

NOW = "2017-12-31T00:00:00Z"
NOW_US = parse_instant(NOW)
SEQUENCE = 3

DEFINITIONS = """
from featurestore.definitions import *

household = Entity("household", join_key="household_id")
baskets = EventSource(
    "baskets",
    schema={"basket_id": Int64, "household_id": Int64, "ts": Timestamp, "net": Decimal(2), "store": String},
    event_timestamp="ts", event_id="basket_id", available_at=Delay("0s"), path="baskets/",
)
people = TableSource(
    "people", schema={"household_id": Int64, "since": Timestamp, "age": Int64, "income": String},
    key="household_id", effective_at="since", path="people.parquet",
)
spending = FeatureView(
    "spending", household, baskets, ttl="90d",
    features=[Sum("net", over="30d"), Count(over="7d"), Last("store")],
)
profile = FeatureView("profile", household, people, features=[Attribute("age"), Attribute("income")])


@request_feature(inputs=[Request("basket_value", Float64), spending["net_sum_30d"]], dtype=Float64)
def basket_share(basket_value, net_sum_30d):
    return basket_value / net_sum_30d


inputs = FeatureService("inputs", [spending, profile, basket_share])
share_inputs = FeatureService("share_inputs", [basket_share])
strict_inputs = FeatureService("strict_inputs", [spending["net_sum_30d"], Request("points", Int64)], missing="refuse")
filled_inputs = FeatureService(
    "filled_inputs", [spending["net_sum_30d"], spending["store_last"], Request("points", Int64)],
    missing="default", defaults={"spending.net_sum_30d": -5, "spending.store_last": "none"},
)
typed_inputs = FeatureService("typed_inputs", [
    Request("whole", Int64), Request("real", Float64), Request("short", Float32), Request("flag", Bool),
    Request("word", String), Request("instant", Timestamp), Request("price", Decimal(2)),
])
"""


@dataclass
class Basket:
    """One basket of a household, for `ServingProject.put_household`."""

    days_ago: float
    net_cents: int | None
    store: str | None = "s1"


def model_bytes(record: ModelRecord, *, shift: float = 0.0) -> bytes:
    """Return an ONNX model of a record's inputs: ``score`` = sum of the numbers, NaN as -1, plus ``shift``.

    Its other outputs are its inputs: ``numbers`` and ``texts``, where there are any.
    """
    widths = {"numeric": 0, "text": 0}
    for feature in record.input_spec:
        widths["text" if feature["dtype"] == "string" else "numeric"] += 1
    types = {"numeric": TensorProto.FLOAT, "text": TensorProto.STRING}
    given = [helper.make_tensor_value_info(n, types[n], [None, w]) for n, w in widths.items() if w]
    nodes = [
        helper.make_node("IsNaN", ["numeric"], ["absent"]),
        helper.make_node("Where", ["absent", "minus_one", "numeric"], ["filled"]),
        helper.make_node("MatMul", ["filled", "ones"], ["total"]),
        helper.make_node("Add", ["total", "shift"], ["score"]),
        helper.make_node("Identity", ["numeric"], ["numbers"]),
    ]
    outputs = [
        helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1]),
        helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, widths["numeric"]]),
    ]
    if widths["text"]:
        nodes.append(helper.make_node("Identity", ["text"], ["texts"]))
        outputs.append(helper.make_tensor_value_info("texts", TensorProto.STRING, [None, widths["text"]]))
    constants = {
        "minus_one": np.array([-1], dtype=np.float32),
        "ones": np.ones((widths["numeric"], 1), dtype=np.float32),
        "shift": np.array([shift], dtype=np.float32),
    }
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return as_bytes(helper.make_graph(nodes, "test", given, outputs, weights))


def as_bytes(graph: Any) -> bytes:
    """Return a graph as the bytes of a model that ONNX Runtime 1.20 and later load."""
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


class ServingProject:
    """A project in a folder, ready to serve; ``clock`` is the instant at which it stands still, or ``system``."""

    def __init__(
        self,
        folder: Path,
        online_url: str = "lmdb:online",
        gateway: str = "",
        clock: str = NOW,
        definitions: str = DEFINITIONS,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "features.py").write_text(definitions)
        now = clock if clock == "system" else f"fixed:{clock}"
        (folder / "unskew.toml").write_text(
            f'[project]\nname = "test"\n[online]\nurl = "{online_url}"\n[predictions]\nflush_interval_ms = 50\n'
            f'[clock]\nnow = "{now}"\n[gateway]\nport = 0\nroute_poll_interval_ms = 20\n{gateway}\n'
        )
        self.settings: Settings = load_settings(folder)
        self.catalog: Catalog = load_definitions(self.settings.project.definitions)
        apply(self.catalog, self.settings.project.state, self.settings.open_clock(), allow_breaking=True)
        self.registry: Registry = open_registry(
            self.settings.registry.url, self.settings.registry.artifacts, self.settings.open_clock()
        )
        self.store: OnlineStore = open_store(self.settings.online.url)

    def close(self) -> None:
        self.registry.close()
        self.store.close()

    def record(self, model: str = "spend", service: str = "inputs", **changes: Any) -> ModelRecord:
        """Return an unregistered record of a model of a service."""
        of = self.catalog.services[service]
        texts = bool(of.input_spec.text_names)
        fields: dict[str, Any] = {
            "model": model,
            "owner": "team@example.org",
            "service": service,
            "service_digest": of.digest,
            "catalog_digest": self.catalog.digest,
            "input_spec": of.input_spec.describe(),
            "outputs": ("score", "numbers", "texts") if texts else ("score", "numbers"),
            "missing": of.missing,
            "label": "none",
            "label_digest": "1" * 64,
            "training_set_digest": "7" * 64,
            "training_rows": 10,
            "holdout_rows": 5,
            "metrics": {"auc": 0.9},
            "thresholds": (Threshold("auc", at_least=0.5),),
        }
        return ModelRecord(**(fields | changes))

    def register(
        self,
        model: str = "spend",
        service: str = "inputs",
        *,
        shift: float = 0.0,
        onnx: bytes | None = None,
        **changes: Any,
    ) -> ModelRecord:
        draft = self.record(model, service, **changes)
        return self.registry.register(draft, model_bytes(draft, shift=shift) if onnx is None else onnx)

    def deploy(self, model: str = "spend", service: str = "inputs", **changes: Any) -> ModelRecord:
        """Register a version and make it champion."""
        record = self.register(model, service, **changes)
        self.registry.promote(model, record.version, actor="test")
        return record

    def put_household(self, household: int, baskets: Sequence[Basket]) -> None:
        """Write the spending row of a household, its log with it."""
        ordered = sorted(baskets, key=lambda basket: -basket.days_ago)
        event_us = np.array([NOW_US - int(basket.days_ago * DAY) for basket in ordered], dtype=np.int64)
        view = self.catalog.views["spending"]
        columns = {
            "net": column(view.column_dtype("net"), [basket.net_cents for basket in ordered]),
            "store": column(view.column_dtype("store"), [basket.store for basket in ordered]),
        }
        self._put(view, household, EventLog(event_us, event_us, np.full(len(event_us), NEVER_US), columns))

    def put_profile(self, household: int, age: int | None, income: str | None) -> None:
        view = self.catalog.views["profile"]
        columns = {
            "age": column(view.column_dtype("age"), [age]),
            "income": column(view.column_dtype("income"), [income]),
        }
        since = np.array([NOW_US - 400 * DAY], dtype=np.int64)
        self._put(view, household, EventLog(since, since, np.array([NEVER_US]), columns))

    def complete(self) -> None:
        """Write the rows for nobody: every view counts as materialised."""
        for view in self.catalog.views.values():
            form = ViewFormat(view)
            row = form.nobody_row(Stamp(SEQUENCE, NOW_US))
            self.store.put_many([Put(form.nobody, row, form.keys.log(NOBODY), None)])

    def _put(self, view: FeatureView, key: int, log: EventLog) -> None:
        form, stamp = ViewFormat(view), Stamp(SEQUENCE, NOW_US)
        encoded = form.encode_key(key)
        row = form.row_at(log, stamp, NOW_US)
        self.store.put_many([Put(form.keys.row(encoded), row, form.keys.log(encoded), form.logs.encode(log, stamp))])


def stocked_project(
    folder: Path, online_url: str = "lmdb:online", gateway: str = "", clock: str = NOW
) -> ServingProject:
    """Return a project with the model ``spend`` deployed and a few households.

    17 has everything; 18 a basket without value and no profile; 19 nothing within 90 days; all others nothing at all.
    """
    project = ServingProject(folder, online_url, gateway, clock)
    project.deploy()
    project.put_household(17, [Basket(1, 1250), Basket(8, 1000, "s2"), Basket(40, 99_999)])
    project.put_profile(17, 41, "high")
    project.put_household(18, [Basket(2, None, None)])
    project.put_household(19, [Basket(100, 500)])
    project.complete()
    return project


def with_row(household: int, **inputs: Any) -> dict[str, Any]:
    """Return a request, or a row of a batch, for the model ``spend``."""
    return {"keys": {"household_id": household}, "inputs": {"basket_value": 11.25, **inputs}}


@contextmanager
def served(project: ServingProject, **environment: str) -> Iterator[httpx.Client]:
    """Serve a project by a process of its own, and give a client of it; stops it by SIGTERM and checks its exit."""
    process, url = start(project, **environment)
    try:
        with httpx.Client(base_url=url, timeout=10) as client:
            yield client
    finally:
        status = stop(process)
    assert status == 0, f"the gateway ended with {status}"


def start(
    project: ServingProject, program: Sequence[str] | None = None, **environment: str
) -> tuple[subprocess.Popen[str], str]:
    """Start a gateway process; return it and its base URL once it answers.

    ``program`` are the interpreter's arguments for another build of it, before the project's folder.
    """
    with (project.folder / "gateway.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, *(program or ("-m", "tests.serving_project")), str(project.folder)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **environment},
        )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url, (project.folder / "gateway.log").read_text()
    for _ in range(500):
        try:
            httpx.get(f"{url}/livez", timeout=10)
        except httpx.TransportError:
            assert process.poll() is None, (project.folder / "gateway.log").read_text()
        else:
            return process, url
    raise AssertionError("the gateway did not answer")


def stop(process: subprocess.Popen[str], with_signal: int = signal.SIGTERM) -> int:
    if process.poll() is None:
        process.send_signal(with_signal)
    status = process.wait(timeout=20)
    if process.stdout is not None:
        process.stdout.close()
    return status


class LocalGateway:
    """The gateway of a project in this process, on an event loop of its own, without a socket."""

    def __init__(self, project: ServingProject, **changes: Any) -> None:
        self.app = GatewayApp(changed(project.settings, **changes), project.catalog)
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://gateway")
        self._running = self.app.running()

    def __enter__(self) -> Self:
        self.run(self._running.__aenter__())
        return self

    def __exit__(self, *error: object) -> None:
        with self._runner:
            self.run(self._running.__aexit__(None, None, None))
            self.run(self._client.aclose())

    def run(self, work: Coroutine[Any, Any, Any] | Awaitable[Any]) -> Any:
        """Run something on the gateway's loop, and return what it returns."""

        async def awaited() -> Any:
            return await work

        return self._runner.run(awaited())

    def get(self, path: str) -> httpx.Response:
        response: httpx.Response = self.run(self._client.get(path))
        return response

    def post(self, path: str, **content: Any) -> httpx.Response:
        response: httpx.Response = self.run(self._client.post(path, **content))
        return response

    def predict(self, body: Any, model: str = "spend") -> httpx.Response:
        return self.post(f"/v1/models/{model}/predict", json=body)

    def predict_together(self, bodies: Sequence[Any], model: str = "spend") -> list[httpx.Response]:
        """Send several requests at one moment."""
        return self.post_together(f"/v1/models/{model}/predict", bodies)

    def post_together(self, path: str, bodies: Sequence[Any]) -> list[httpx.Response]:
        """Send several requests to one path at one moment."""

        async def all_of_them() -> list[httpx.Response]:
            return await asyncio.gather(*(self._client.post(path, json=body) for body in bodies))

        responses: list[httpx.Response] = self.run(all_of_them())
        return responses

    def settle(self) -> None:
        """Let the gateway catch up with the registry."""
        self.run(asyncio.sleep(0.15))

    def settle_until(self, done: Callable[[], bool]) -> None:
        """Let the gateway run until something holds, at most five seconds."""
        for _ in range(100):
            if done():
                return
            self.run(asyncio.sleep(0.05))
        raise AssertionError("it did not come to hold")


def changed(settings: Settings, **gateway: Any) -> Settings:
    """Return settings with other keys in [gateway]."""
    return settings.model_copy(update={"gateway": settings.gateway.model_copy(update=gateway)})


def logged(project: ServingProject, model: str = "spend") -> list[dict[str, Any]]:
    """Return what the prediction log holds of a model, a dict per row, in order of its sequence."""
    reader = PredictionReader(project.settings.predictions.path)
    return reader.to_arrow(model).sort_by("sequence").to_pylist() if model in reader.models() else []


def log_lines(project: ServingProject) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (project.folder / "gateway.log").read_text().splitlines()]


if __name__ == "__main__":
    serve(load_settings(Path(sys.argv[1])), announce=lambda url: print(url, flush=True))
