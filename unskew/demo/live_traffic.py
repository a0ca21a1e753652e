"""What applications do while a month goes by: one sends receipts in time order, others ask for predictions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx
import numpy as np

from unskew.demo.replay import SEED, Replay, Tick
from unskew.demo.stages import MODEL
from unskew.errors import DemoFailed

ASKERS = 4
"""Applications that ask at once, each for `BATCH_ROWS` households at a time."""
BATCH_ROWS = 16
AHEAD_TICKS = 10
"""How far predictions may run ahead of the replay: they are asked for while events come in, never in turn with them."""
TIMEOUT_S = 60.0
PATH = f"/v1/models/{MODEL}/predict"
EVENTS = "/v1/events/baskets"


class SettableClock(Protocol):
    """The clock that the whole project reads."""

    def set(self, instant_us: int) -> None:
        """Move it, for every process."""
        ...


@dataclass
class Traffic:
    """How much was sent and answered so far."""

    events: int = 0
    rejected: int = 0
    predictions: int = 0
    delayed: int = 0
    ended: bool = False
    errors: list[str] = field(default_factory=list)
    wanted: float = 0.0
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def want(self, predictions: float) -> None:
        """Let the askers go on to so many predictions."""
        self.wanted = predictions
        await self.notify()

    async def reach(self, predictions: float) -> None:
        """Wait until so many predictions were answered, or one was not."""
        async with self.moved:
            await self.moved.wait_for(lambda: self.predictions >= predictions or bool(self.errors))

    async def may_ask(self) -> bool:
        """Wait for the turn to ask; return whether there is one."""
        async with self.moved:
            await self.moved.wait_for(lambda: self.predictions < self.wanted or self.ended or bool(self.errors))
        return not self.ended and not self.errors

    async def notify(self) -> None:
        """Let those who wait look again."""
        async with self.moved:
            self.moved.notify_all()


def run_traffic(
    url: str, replay: Replay, clock: SettableClock, predictions: int, progress: Callable[[int, int], None]
) -> Traffic:
    """Send the whole replay while at least ``predictions`` are asked for, spread over it.

    Parameters
    ----------
    clock
        Set to the end of each tick before what arrived in it is sent.
    progress
        Called with (ticks done, ticks in all).

    Raises
    ------
    DemoFailed
        If an event or a request for predictions is answered otherwise than it must.
    """
    return asyncio.run(_run(url, replay, clock, predictions, progress))


async def _run(
    url: str, replay: Replay, clock: SettableClock, wanted: int, progress: Callable[[int, int], None]
) -> Traffic:
    traffic = Traffic()
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client:
        askers = [asyncio.create_task(_ask(client, replay.households, traffic, n)) for n in range(ASKERS)]
        try:
            for done, tick in enumerate(replay.ticks, start=1):
                clock.set(tick.until_us)
                await traffic.want(wanted * (done + AHEAD_TICKS) / len(replay.ticks))
                await _send(client, tick, traffic)
                await traffic.reach(wanted * done / len(replay.ticks))
                progress(done, len(replay.ticks))
                _raise_errors(traffic)
        finally:
            traffic.ended = True
            await traffic.notify()
            await asyncio.gather(*askers)
    _raise_errors(traffic)
    return traffic


async def _send(client: httpx.AsyncClient, tick: Tick, traffic: Traffic) -> None:
    while True:
        answer = await client.post(EVENTS, json={"events": tick.rows})
        if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
            break
        traffic.delayed += 1
        await asyncio.sleep(float(answer.headers.get("retry-after", "1")))
    told: dict[str, Any] = answer.json()
    if not answer.is_success or told["accepted"] != len(tick.rows):
        raise _unexpected(answer)
    traffic.events += len(tick.rows)


async def _ask(client: httpx.AsyncClient, households: Sequence[int], traffic: Traffic, number: int) -> None:
    chance = np.random.default_rng(SEED + number)
    while await traffic.may_ask():
        asked = zip(chance.choice(households, BATCH_ROWS), chance.integers(1, 20_000, BATCH_ROWS), strict=True)
        rows = [
            {"keys": {"household_id": int(household)}, "inputs": {"basket_value": int(cents) / 100}}
            for household, cents in asked
        ]
        try:
            answer = await client.post(PATH, json={"rows": rows})
        except httpx.HTTPError as error:
            traffic.errors.append(f"{PATH}: {error!r}")
        else:
            if answer.status_code != httpx.codes.OK:
                traffic.errors.append(str(_unexpected(answer)))
            traffic.predictions += BATCH_ROWS
        await traffic.notify()


def _raise_errors(traffic: Traffic) -> None:
    if traffic.errors:
        raise DemoFailed(traffic.errors[0], mend="see docs/operations.md, by symptom")


def _unexpected(answer: httpx.Response) -> DemoFailed:
    return DemoFailed(
        f"the gateway answered {answer.status_code}: {answer.text[:500]}",
        where=answer.request.url.path,
        mend="see docs/operations.md, by symptom",
    )
