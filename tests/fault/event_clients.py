"""Clients that send events over HTTP, whatever is killed, and know what was acknowledged to them."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from threading import Event
from typing import Any

import httpx

from featurestore.foundation.clock import SECOND, SystemClock, format_instant
from tests.fault.live_shop import CUSTOMERS, MODEL, STORES

Row = dict[str, Any]
TIMEOUT_S = 20.0
RECENT = 200
"""Of so many of its events a client mostly corrects one; sometimes of all."""
NOT_TAKEN = (429,)
PERHAPS_TAKEN = (503,)


@dataclass
class EventClient:
    """Sends events of its own, each body until it is acknowledged, or given up, to one gateway after the other.

    An event's versions are sent one after the other; none is sent again once a later one is. So each version, told by
    its ``serial``, is in history at most once, and once if it was acknowledged.

    Attributes
    ----------
    sent
        Every version that was ever sent, by serial.
    acknowledged
        The serials of those that were acknowledged.
    kept
        The dead letters that answers told of.
    """

    urls: Sequence[str]
    number: int
    clients: int
    sent: dict[int, Row] = field(default_factory=dict)
    acknowledged: set[int] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    count: Counter[str] = field(default_factory=Counter)
    is_waiting: bool = False

    def __post_init__(self) -> None:
        self._chance = random.Random(self.number)
        self._newest: dict[int, Row] = {}
        self._gateway = self.number
        self._serials = itertools.count(self.number, self.clients)
        self._clock = SystemClock()

    def run(self, stop: Event) -> None:
        """Send until told to stop."""
        with httpx.Client(timeout=TIMEOUT_S) as client:
            while not stop.wait(0.005):
                body = list(self._body())
                self.sent |= {row["serial"]: row for row in body}
                self._send_until_acknowledged(client, body, stop)

    def _send_until_acknowledged(self, client: httpx.Client, body: Sequence[Row], stop: Event) -> None:
        bad = [{**body[0], "ts": "yesterday"}] if self._chance.random() < 0.05 else []
        while True:
            if self._send(client, [*body, *bad], len(body)):
                self.acknowledged |= {row["serial"] for row in body}
                self.count["bodies"] += 1
                return
            if stop.is_set() or self._chance.random() < 0.3:
                self.count["given up"] += 1
                return
            self.count["retries"] += 1
            self._gateway += 1
            time.sleep(0.03)

    def _send(self, client: httpx.Client, body: Sequence[Row], good: int) -> bool:
        self.is_waiting = True
        url = self.urls[self._gateway % len(self.urls)]
        try:
            answer = client.post(f"{url}/v1/events/orders", json={"events": body})
        except httpx.TransportError:
            return False
        finally:
            self.is_waiting = False
        if answer.status_code in (*NOT_TAKEN, *PERHAPS_TAKEN):
            return False
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["accepted"] == good
        assert len(told["rejected"]) == len(body) - good
        self.kept |= {each["dead_letter_id"] for each in told["rejected"]}
        return True

    def _body(self) -> Iterator[Row]:
        """Give some rows of different events: new ones, corrections, tombstones, and some that are there already."""
        recent = -RECENT if self._chance.random() < 0.9 else 0
        events = list(self._newest)[recent:]
        for event in self._chance.sample(events, min(len(events), self._chance.randrange(3))):
            if self._chance.random() < 0.3:
                yield self._newest[event]
            else:
                yield self._version(event, gone=self._chance.random() < 0.3)
        for _ in range(self._chance.randrange(1, 6)):
            yield self._version(len(self._newest) * self.clients + self.number, gone=False)

    def _version(self, event: int, *, gone: bool) -> Row:
        at_us = self._clock.now_us() + self._chance.randrange(-20 * SECOND, SECOND)
        row = {
            "order_id": event,
            "customer_id": self._chance.choice(CUSTOMERS),
            "store_name": self._chance.choice(STORES),
            "ts": format_instant(at_us),
            "net": f"{self._chance.randrange(-500, 10_000) / 100:.2f}",
            "gone": gone,
            "serial": next(self._serials),
        }
        self._newest[event] = row
        return row


@dataclass
class Asker:
    """Asks for predictions, some keys at a time, and takes a refusal while something is down."""

    urls: Sequence[str]
    answered: int = 0
    refused: int = 0

    def run(self, stop: Event) -> None:
        chance = random.Random(0)
        with httpx.Client(timeout=TIMEOUT_S) as client:
            while not stop.wait(0.01):
                url = chance.choice(self.urls)
                rows = [keys(chance.choice(CUSTOMERS), chance.choice(STORES)) for _ in range(10)]
                try:
                    answer = client.post(f"{url}/v1/models/{MODEL}/predict", json={"rows": rows})
                except httpx.TransportError:
                    time.sleep(0.03)
                    continue
                assert answer.status_code in (200, 503, 504), answer.text
                self.answered += len(rows) if answer.status_code == 200 else 0
                self.refused += answer.status_code != 200


def keys(customer: int, store: str) -> dict[str, Any]:
    return {"keys": {"customer_id": customer, "store_name": store}}


def totals(rows: Iterable[Row], by: str) -> dict[Any, tuple[int, float, int]]:
    """Return count, sum of net and sum of serials of the events that are left of versions, by a column."""
    newest: dict[int, Row] = {}
    for row in sorted(rows, key=lambda row: row["serial"]):
        newest[row["order_id"]] = row
    found: dict[Any, tuple[int, Decimal, int]] = {}
    for row in newest.values():
        if not row["gone"]:
            count, net, serials = found.get(row[by], (0, Decimal(0), 0))
            found[row[by]] = count + 1, net + Decimal(row["net"]), serials + row["serial"]
    return {key: (count, float(net), serials) for key, (count, net, serials) in found.items()}
