"""Gateway, ingest program and redis-server are killed -9 at random moments under load: each event is there once.

Clients send events over HTTP, corrections, tombstones and retries among them, while others ask for predictions. Then
history has each acknowledged version once, what is served is what is left of them, and the audit finds no difference.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from featurestore.foundation.clock import parse_instant
from featurestore.offline import snapshot
from tests.fault.event_clients import Asker, EventClient, Row, keys, totals
from tests.fault.live_shop import CUSTOMERS, MODEL, STORES, LiveShop, Torment, Victim, wait_until

pytestmark = pytest.mark.slow

CLIENTS = 4
FUTURE_S = 1.1
"""After so long nothing that was sent lies in the future."""
DURABLE = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")


class Run:
    """A shop under load while its processes are killed, and what is found afterwards."""

    def __init__(self, folder: Path, online_url: str, kills: int, pause_s: float) -> None:
        self.shop = LiveShop(folder, online_url)
        self.clients = [EventClient(self.shop.urls, number, CLIENTS) for number in range(CLIENTS)]
        self.asker = Asker(self.shop.urls)
        self.torment = Torment(
            kills,
            pause_s,
            waiting=lambda: sum(client.is_waiting for client in self.clients),
            answered=lambda: sum(client.count["bodies"] for client in self.clients),
        )

    def play(self, *servers: tuple[str, Victim]) -> str:
        """Kill every kind of process as often as was asked, let what waits be committed, check, and tell in a line."""
        shop = self.shop
        gateway = "gateway", shop.any_gateway, shop.any_gateway.is_ready
        program = "ingest program", shop.program, shop.program.is_ready
        with ExitStack() as stack:
            for process in shop.processes:
                stack.callback(process.abandon)
            at_once(process.start for process in shop.processes)
            seconds = self._disturb([gateway, program, *servers])
            wait_until(shop.any_gateway.is_ready, "the gateways are ready")
            wait_until(lambda: shop.status()["backlog_rows"] == 0, "all events are committed")
            time.sleep(FUTURE_S)
            served = self._served()
            at_once(process.stop for process in shop.processes)
        there = self._check_history()
        self._check_served(served, there)
        self._check_status(len(there))
        return self._told(seconds, there, shop.audit())

    def _disturb(self, victims: Sequence[tuple[Any, ...]]) -> float:
        began, stop = time.monotonic(), Event()
        with ThreadPoolExecutor(CLIENTS + 1 + len(victims)) as pool:
            work = [pool.submit(each.run, stop) for each in self.clients] + [pool.submit(self.asker.run, stop)]
            try:
                wait_until(lambda: self.asker.answered > 0, "predictions are answered")
                attacks = [pool.submit(self.torment, *victim) for victim in victims]
                wait(attacks)
            finally:
                stop.set()
            for each in (*work, *attacks):
                each.result()
        return time.monotonic() - began

    def _served(self) -> list[dict[str, Any]]:
        """Return the features of every customer and store, as a prediction is told them."""
        rows = [keys(customer, STORES[place % len(STORES)]) for place, customer in enumerate(CUSTOMERS)]
        body = {"rows": rows, "options": {"explain": True}}
        answer = httpx.post(f"{self.shop.urls[0]}/v1/models/{MODEL}/predict", json=body, timeout=20)
        assert answer.status_code == 200, answer.text
        return [row["keys"] | each["features"] for row, each in zip(rows, answer.json()["predictions"], strict=True)]

    def _check_history(self) -> list[Row]:
        """Return what history holds: acknowledged versions once, others at most once, those of an event in order."""
        history = snapshot.latest(self.shop.settings.offline.path, self.shop.source)
        history.verify()
        columns = ["__commit", "__row", *self.shop.source.schema]
        stored = [row for path in history.paths for row in pq.read_table(path, columns=columns).to_pylist()]
        stored.sort(key=lambda row: (row.pop("__commit"), row.pop("__row")))
        serials = [row["serial"] for row in stored]
        assert len(serials) == len(set(serials)), "no version is there twice"
        assert self.acknowledged <= set(serials), "every acknowledged version is there"
        sent = self.sent
        for row in stored:
            was = sent[row["serial"]]
            assert row == was | {"ts": row["ts"], "net": Decimal(was["net"])}
            assert parse_instant(row["ts"].isoformat()) == parse_instant(was["ts"])
        by_event: dict[int, int] = {}
        for row in stored:
            assert by_event.get(row["order_id"], -1) < row["serial"], "the versions of an event are in order"
            by_event[row["order_id"]] = row["serial"]
        return [sent[serial] for serial in serials]

    def _check_served(self, served: list[dict[str, Any]], there: list[Row]) -> None:
        """Hold what was served against what was acknowledged, and what else of the sent got there."""
        found = {row["serial"] for row in there} - self.acknowledged
        model = [row for serial, row in self.sent.items() if serial in self.acknowledged | found]
        for view, by in (("spending", "customer_id"), ("trade", "store_name")):
            wanted = totals(model, by)
            for row in served:
                names = [f"{view}.{name}" for name in ("count_30d", "net_sum_30d", "serial_sum_30d")]
                count, net, serials = (row[name]["value"] for name in names)
                assert (count, net or 0, serials or 0) == wanted.get(row[by], (0, 0, 0)), (view, row[by])

    def _check_status(self, rows: int) -> None:
        status = self.shop.status()
        assert (status["rows"], status["backlog_rows"], status["failed"]) == (rows, 0, 0)
        assert status["commit"] == status["history_commit"]
        assert (status["error"], status["risk"]) == ("", "")
        assert set[str]().union(*(client.kept for client in self.clients)) <= self.shop.dead_letters()

    def _told(self, seconds: float, there: list[Row], audit: dict[str, Any]) -> str:
        assert (audit["mismatches"], audit["pending"], audit["behind"], audit["not_auditable"]) == (0, 0, {}, {})
        assert audit["predictions"] > 100
        killed, counts = self.torment.killed, sum((client.count for client in self.clients), Counter[str]())
        deaths = ", ".join(f"{name} {times}" for name, times in killed.items())
        acknowledged, others = len(self.acknowledged), len(self.sent) - len(self.acknowledged)
        return (
            f"kill -9 at {sum(killed.values())} random moments in {seconds:.0f} s ({deaths}), "
            f"{self.torment.under_way} of them while requests waited, "
            f"{self.shop.mended()} half-made commits made whole; "
            f"{acknowledged:,} versions of events acknowledged, each once in history and in what is served; "
            f"{counts['retries']:,} bodies sent again; "
            f"{len(there) - acknowledged:,} of {others:,} that were not acknowledged are there, once; audit: "
            f"{audit['predictions']:,} predictions, compared {audit['compared']:,}, mismatches {audit['mismatches']}"
        )

    @property
    def sent(self) -> dict[int, Row]:
        return {serial: row for client in self.clients for serial, row in client.sent.items()}

    @property
    def acknowledged(self) -> set[int]:
        return set[int]().union(*(client.acknowledged for client in self.clients))


def at_once(actions: Iterable[Callable[[], None]]) -> None:
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(action) for action in actions]:
            done.result()


MOMENTS = [(2, 0.5), pytest.param(20, 2.0, marks=[pytest.mark.long, pytest.mark.timeout(1_200)])]
"""How often to kill each process, and within how many seconds: 100 times in all in the long run."""


@pytest.mark.parametrize(("kills", "pause_s"), MOMENTS)
def test_on_lmdb(tmp_path, capsys, kills, pause_s):
    told = Run(tmp_path / "shop", "lmdb:online", kills, pause_s).play()
    with capsys.disabled():
        print(f"\non LMDB, {told}")


@pytest.mark.redis
@pytest.mark.parametrize(("kills", "pause_s"), MOMENTS)
def test_on_redis(start_redis, tmp_path, capsys, kills, pause_s):
    server = start_redis(DURABLE, tmp_path / "redis")
    run = Run(tmp_path / "shop", server.url, kills, pause_s)
    told = run.play(("redis-server", server))
    with capsys.disabled():
        print(f"\non Redis, {told}")
