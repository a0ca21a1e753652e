"""Skew planted between a real ingest program, a real gateway and history is found, with its feature and its cause.

Events go through the event stream and the committer, predictions through the gateway's own application, and the audit
runs as its command; the clock is one that the test sets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.catalog.load import load_definitions
from featurestore.foundation.clock import DAY, HOUR, MINUTE, SECOND, SharedClock, format_instant, parse_instant
from featurestore.ingestion.committer import Committer
from featurestore.online.base import CommitWrite, KeyChange, OnlineStore
from featurestore.online.open_store import open_store
from featurestore.online.view_format import ViewFormat
from featurestore.retrieval.online_features import OnlineFeatures
from gateway.registry.registry import open_registry
from gateway.settings import load_settings
from tests.audited_project import SCHEMA, SERVICE, Shop, command
from tests.serving_project import LocalGateway, ServingProject, model_bytes
from unskew.project.ingestion import committer
from unskew.project.project import Project

NOW_US = parse_instant("2017-12-31T00:00:00Z")
MODEL = "spend"
CUSTOMERS = (1, 2, 3)


class Live(Shop):
    """A project whose events are streamed, with a gateway in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.define(DEFINITIONS)
        (folder / "unskew.toml").write_text(
            '[project]\nname = "live"\n[online]\nurl = "lmdb:online"\n[clock]\nnow = "shared:clock"\n'
            "[predictions]\nflush_interval_ms = 50\n[gateway]\nport = 0\nroute_poll_interval_ms = 20\n"
        )
        self.clock = SharedClock(folder / "clock")
        self.clock.set(NOW_US)
        self.settings = load_settings(folder)
        assert command("apply", "--project", folder).status == 0
        self._deploy()

    def _deploy(self) -> None:
        service = load_definitions(self.folder / "features.py").service(SERVICE)
        settings = self.settings
        draft = self.record(input_spec=service.input_spec.describe(), outputs=("score", "numbers", "texts"))
        with open_registry(settings.registry.url, settings.registry.artifacts, settings.open_clock()) as registry:
            record = registry.register(draft, model_bytes(draft))
            registry.promote(MODEL, record.version, actor="test", override=True, reason="a test")

    def commit(self, events: list[dict[str, Any]], store: Callable[[OnlineStore], OnlineStore] = lambda it: it) -> None:
        """Send events and commit them, to current values and to history."""
        path = self.folder / "events.parquet"
        pq.write_table(pa.Table.from_pylist(events, schema=SCHEMA), path)
        told = command("ingest", "orders", path, "--project", self.folder, "--json")
        assert told.status == 0, told.err
        with Project.load(self.folder) as project:
            project.__dict__["online"] = store(project.online)
            working: Committer = committer(project, project.applied_catalog.sources["orders"])
            assert working.open() is not None
            while working.step(0.0):
                pass
            working.flush()
            working.close()

    def gateway(self) -> LocalGateway:
        return LocalGateway(cast(ServingProject, self))

    def key(self, customer: int) -> bytes:
        """Return where the row of a customer's spending is."""
        form = ViewFormat(self.catalog.view("spending"))
        return form.keys.row(form.encode_key(customer))

    def predict(self, gateway: LocalGateway, at_us: int, customers: Sequence[int] = CUSTOMERS) -> None:
        self.clock.set(at_us)
        rows = [{"keys": {"customer_id": key}, "inputs": {"basket_value": 12.5}} for key in customers]
        answer = gateway.post(f"/v1/models/{MODEL}/predict", json={"rows": rows})
        assert answer.status_code == 200, answer.text


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
    "spending", customer, orders,
    features=[Sum("net", over="30d"), Mean("net", over="7d"), Count(over="1h"), Last("store")],
)


@request_feature(inputs=[Request("basket_value", Float64), spending["net_mean_7d"]], dtype=Float64)
def basket_ratio(basket_value, net_mean_7d):
    return basket_value / net_mean_7d


inputs = FeatureService("inputs", [spending, basket_ratio])
"""


def order(number: int, customer: int, happened_us: int, net: int = 1000) -> dict[str, Any]:
    return {
        "order_id": f"o{number}",
        "customer_id": customer,
        "ts": happened_us,
        "known_at": happened_us,
        "net": Decimal(net + number),
        "store": f"s{number}",
        "gone": False,
    }


@pytest.fixture
def live(tmp_path: Path) -> Live:
    """A project in which three customers have orders, each served twice, rightly."""
    project = Live(tmp_path / "live")
    for number in range(9):
        project.clock.set(NOW_US + number * MINUTE)
        project.commit([order(number, CUSTOMERS[number % 3], NOW_US + number * MINUTE - SECOND)])
    return project


def audited(project: Live) -> tuple[int, dict[str, dict[str, int]], list[dict[str, Any]]]:
    told = project.audit()
    by_feature = {name: each["causes"] for name, each in told.report["by_feature"].items() if each["mismatches"]}
    assert told.report["pending"] == 0
    return told.report["compared"], by_feature, told.report["examples"]


def test_what_is_served_rightly_is_equal(live: Live) -> None:
    with live.gateway() as gateway:
        for at_us in (NOW_US + 10 * MINUTE, NOW_US + HOUR + 90 * SECOND, NOW_US + 3 * HOUR):
            live.predict(gateway, at_us)
    assert audited(live)[:2] == (3 * 3 * 5, {})


def test_a_definition_whose_code_changed_under_the_same_name(live: Live) -> None:
    """A gateway goes on with what it loaded, while another meaning of the same name is put in force."""
    with live.gateway() as gateway:
        live.define(DEFINITIONS.replace("basket_value / net_mean_7d", "net_mean_7d / basket_value"))
        assert command("apply", "--project", live.folder, "--allow-breaking").status == 0
        live.predict(gateway, NOW_US + 10 * MINUTE)
    compared, causes, examples = audited(live)
    assert (compared, causes) == (15, {"basket_ratio": {"definition-changed": 3}})
    assert {each["why"] for each in examples} == {"RequestFeature basket_ratio: function: its code → other code"}


def test_a_row_that_was_corrupted_with_a_valid_checksum(live: Live) -> None:
    live.corrupt("spending", 2, 1.0)
    with live.gateway() as gateway:
        live.predict(gateway, NOW_US + 10 * MINUTE)
    _, causes, (example,) = audited(live)
    assert causes == {"spending.net_sum_30d": {"stored-row": 1}}
    assert example["keys"] == {"customer": 2}


def test_a_clock_that_is_off_by_a_second(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values are read as of a second before the instant that is logged, by a defect that is planted in the read."""
    read = OnlineFeatures.read

    async def late(self: OnlineFeatures, reader: Any, keys: Any, t_us: int) -> Any:
        return await read(self, reader, keys, t_us - SECOND)

    monkeypatch.setattr(OnlineFeatures, "read", late)
    with live.gateway() as gateway:
        live.predict(gateway, NOW_US + 8 * MINUTE + SECOND // 2)
        live.predict(gateway, NOW_US + 20 * MINUTE)
        live.predict(gateway, NOW_US + HOUR + 8 * MINUTE - SECOND // 2)
    _, causes, examples = audited(live)
    assert causes.keys() == {f"spending.{name}" for name in NAMES} | {"basket_ratio"}
    assert {cause for each in causes.values() for cause in each} == {"late-schedule"}
    assert {each["why"] for each in examples} == {"history gives these values at 1s earlier"}
    assert {each["keys"]["customer"] for each in examples} == {3}


def test_one_event_that_was_dropped_on_its_way_to_the_online_store(live: Live) -> None:
    """History has the event and the online store's next commit of that key builds upon a log without it."""
    dropped = order(100, 2, NOW_US + 10 * MINUTE)
    live.clock.set(NOW_US + 11 * MINUTE)
    live.commit([dropped], lambda store: Dropping(store, live.key(2)))
    live.clock.set(NOW_US + 12 * MINUTE)
    live.commit([order(200 + customer, customer, NOW_US + 12 * MINUTE) for customer in CUSTOMERS])
    with live.gateway() as gateway:
        for minute in (13, 20, 65, 90):
            live.predict(gateway, NOW_US + minute * MINUTE)
    _, causes, examples = audited(live)
    assert {cause for each in causes.values() for cause in each} == {"missing-event"}
    assert causes["spending.net_sum_30d"] == {"missing-event": 4}
    assert causes["spending.count_1h"] == {"missing-event": 3}
    since = format_instant(NOW_US + 11 * MINUTE)
    told = f"event o100 of {format_instant(dropped['ts'])}, available since {since}, was not counted"
    assert {each["why"] for each in examples} == {told}
    assert {each["keys"]["customer"] for each in examples} == {2}


def test_an_event_older_than_the_online_store_remembers_that_moves_to_another_key(live: Live) -> None:
    """Its correction finds nothing in the event index, so that the online store goes on counting it where it was."""
    old = order(100, 4, NOW_US - 400 * DAY)
    live.clock.set(NOW_US + 11 * MINUTE)
    live.commit([old])
    live.clock.set(NOW_US + 8 * DAY)
    with closing(open_store(live.settings.online.url)) as store:
        assert store.sweep(NOW_US + 8 * DAY, 1_000) > 0
    live.commit([{**old, "customer_id": 5}])
    live.clock.set(NOW_US + 8 * DAY + MINUTE)
    live.commit([order(101, 4, NOW_US - 500 * DAY)])
    with live.gateway() as gateway:
        for minute in (2, 10, 90):
            live.predict(gateway, NOW_US + 8 * DAY + minute * MINUTE, (3, 4, 5))
    _, causes, examples = audited(live)
    assert causes == {"spending.store_last": {"beyond-retention": 3}}
    assert {each["keys"]["customer"] for each in examples} == {4}
    assert all("the online store knows events for 37d" in each["why"] for each in examples)


def test_a_lost_write_that_nothing_was_built_upon_leaves_reads_behind(live: Live) -> None:
    """They are exact as of their commit, so no value differs, and it is told that the store lacks a later commit."""
    live.clock.set(NOW_US + 11 * MINUTE)
    live.commit([order(100, 2, NOW_US + 10 * MINUTE)], lambda store: Dropping(store, live.key(2)))
    with live.gateway() as gateway:
        live.predict(gateway, NOW_US + 11 * MINUTE + SECOND)
        live.predict(gateway, NOW_US + 20 * MINUTE)
    told = live.audit().report
    assert told["mismatches"] == 0
    assert told["behind"]["spending"]["predictions"] == 1


NAMES = ("net_sum_30d", "net_mean_7d", "count_1h", "store_last")


class Dropping:
    """An online store that loses what a commit does to one key; all else goes to the store behind it."""

    def __init__(self, store: OnlineStore, key: bytes) -> None:
        self._store, self._key = store, key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def apply(self, write: CommitWrite) -> int:
        kept: list[KeyChange] = [change for change in write.changes if change.row_key != self._key]
        assert len(kept) < len(write.changes)
        return self._store.apply(replace(write, changes=kept))
