"""A shop that takes events and answers predictions, by processes that can be killed: gateway, ingest program, Redis."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.request import urlopen

from tests.audited_project import command
from tests.servers import free_port
from tests.serving_project import ServingProject

MODEL = "spend"
CUSTOMERS = range(1, 61)
STORES = ("north", "é", "south", "west")
PATIENCE_S = 120.0
INGESTION = '[ingestion]\nprogram = "alone"\nhistory_interval_s = 0.3\nlease_ttl_s = 0.5\ncommit_rows = 1000'
DEFINITIONS = """
from featurestore.definitions import *

customer = Entity("customer", join_key="customer_id")
store = Entity("store", join_key="store_name", dtype=String)
orders = EventSource(
    "orders",
    schema={"order_id": Int64, "customer_id": Int64, "store_name": String, "ts": Timestamp, "net": Decimal(2),
            "gone": Bool, "serial": Int64},
    event_timestamp="ts", event_id="order_id", available_at=Delay("0s"), tombstone="gone", path="orders",
)
features = [
    one
    for over in ("30d", "3s")
    for one in (Count(over=over), Sum("net", over=over), Sum("serial", over=over), Mean("net", over=over))
]
spending = FeatureView(
    "spending", customer, orders, features=[*features, Last("store_name"), DistinctCount("store_name", over="3s")],
)
trade = FeatureView("trade", store, orders, features=[*features, Max("net", over="3s")])
inputs = FeatureService("inputs", [spending, trade])
"""


class Victim(Protocol):
    """A process that is killed and started again."""

    def start(self) -> object:
        """Start, and wait until it does something."""

    def kill(self) -> None:
        """Kill -9."""


@dataclass
class Command:
    """A long-running `unskew` command, and its log."""

    log: Path
    arguments: Sequence[str]
    process: subprocess.Popen[str] | None = None
    earlier_bytes: int = 0

    def start(self) -> None:
        """Start, and wait for the first line that it prints."""
        with self.log.open("a") as log:
            self.earlier_bytes = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "unskew", *self.arguments, "--json", "--project", str(self.log.parent)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), self.log.read_text()[-3000:]

    def has_logged(self, text: str) -> bool:
        """Tell whether it has written so into its log since it was started last."""
        with self.log.open("rb") as log:
            log.seek(self.earlier_bytes)
            return text.encode() in log.read()

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        assert self._end(signal.SIGTERM) == 0, self.log.read_text()[-3000:]
        assert "Traceback" not in self.log.read_text(), self.log.read_text()[-3000:]

    def _end(self, number: int) -> int:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        self.process.send_signal(number)
        status = self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def abandon(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=60)


class Gateway(Command):
    """One of the gateways, at a port of its own."""

    def __init__(self, log: Path, port: int) -> None:
        super().__init__(log, ["serve", "--port", str(port)])
        self.url = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/readyz", timeout=20) as answer:
                return answer.status == 200
        except OSError:
            return False


@dataclass
class OneOf:
    """Some gateways, of which one at a time is killed, so that the others go on with its clients and its journal."""

    gateways: Sequence[Gateway]

    def kill(self) -> None:
        self.killed = random.choice(self.gateways)
        self.killed.kill()

    def start(self) -> None:
        self.killed.start()

    def is_ready(self) -> bool:
        return all(gateway.is_ready() for gateway in self.gateways)


class Program(Command):
    """The ingest program."""

    def is_ready(self) -> bool:
        """Tell whether it has mended what the one before left, and commits events."""
        return self.has_logged("orders: opened")


def wait_until(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until, f"in {PATIENCE_S} s it did not come to hold that {what}"
        time.sleep(0.02)


class LiveShop:
    """The project, its two gateways and its ingest program."""

    def __init__(self, folder: Path, online_url: str) -> None:
        project = ServingProject(folder, online_url, INGESTION, "system", DEFINITIONS)
        project.deploy(MODEL)
        project.close()
        self.folder = folder
        self.settings, self.source = project.settings, project.catalog.sources["orders"]
        self.gateways = [Gateway(folder / f"gateway-{port}.log", port) for port in (free_port(), free_port())]
        self.urls = [gateway.url for gateway in self.gateways]
        self.any_gateway = OneOf(self.gateways)
        self.program = Program(folder / "program.log", ["stream", "run"])
        self.processes: list[Command] = [self.program, *self.gateways]

    def status(self) -> dict[str, Any]:
        """Return how the source stands."""
        told = command("stream", "status", "--project", self.folder, "--json")
        assert told.status == 0, told.err
        return told.report["sources"][0]

    def audit(self) -> dict[str, Any]:
        told = command("audit", "--project", self.folder, "--json")
        assert told.status == 0, told.out or told.err
        return told.report

    def mended(self) -> int:
        """Return how often the ingest program found a commit half made, and made it whole."""
        return self.program.log.read_text().count("a half-made commit was made whole")

    def dead_letters(self) -> set[str]:
        told = command("dead-letters", "list", "--rows", 10**6, "--project", self.folder, "--json")
        return {each["id"] for each in told.report["dead_letters"]}


@dataclass
class Torment:
    """Kill processes at random moments, each by a thread of its own: they may be down together.

    Most die some time after they were ready for work; every fourth perhaps while it mends what the one before left.

    Attributes
    ----------
    waiting, answered
        Tell how many requests wait for an answer, and how many were answered well. A process is ready for work only
        once another request was answered.
    """

    kills: int
    pause_s: float
    waiting: Callable[[], int]
    answered: Callable[[], int]
    killed: Counter[str] = field(default_factory=Counter)
    under_way: int = 0

    def __call__(self, name: str, victim: Victim, is_ready: Callable[[], bool] = lambda: True) -> None:
        chance = random.Random()
        for number in range(self.kills):
            if number % 4 < 3:
                answered = self.answered()
                wait_until(lambda: self.answered() > answered and is_ready(), f"{name} is ready")  # noqa: B023
            time.sleep(chance.uniform(0, self.pause_s))
            self.under_way += self.waiting() > 0
            victim.kill()
            self.killed[name] += 1
            victim.start()
