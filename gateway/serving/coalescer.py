"""Let requests that wait at the same moment share one piece of work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from featurestore.foundation.errors import UnskewError

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]


class Coalescer(Generic[Item, Result]):
    """Share rounds of work: the first item starts one; those that come while it runs go together into the next.

    Nobody waits for a timer, and at most one round runs at a time. A caller that is cancelled leaves alone: its round
    goes on for the others. An `UnskewError` of a round is raised in each of its callers, as is an unforeseen error,
    after which the next item starts afresh.

    Parameters
    ----------
    work
        Takes the items of a round, at least one, and returns their results in order.
    """

    def __init__(self, work: Work[Item, Result]) -> None:
        self._work = work
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._round: list[tuple[Item, asyncio.Future[Result]]] = []
        self._driver: asyncio.Task[None] | None = None

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Put an item into the next round; the future is the caller's own, to await or cancel."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if self._driver is None:
            self._start(loop)
        return future

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._driver = loop.create_task(self._drive())
        self._driver.add_done_callback(self._ended)

    async def _drive(self) -> None:
        while self._waiting:
            self._round = [entry for entry in self._waiting if not entry[1].done()]
            self._waiting = []
            if self._round:
                await self._run_round()

    async def _run_round(self) -> None:
        try:
            results = await self._work([item for item, _ in self._round])
        except UnskewError as error:
            self._fail_round(error)
            return
        for (_, future), result in zip(self._round, results, strict=True):
            if not future.done():
                future.set_result(result)

    def _fail_round(self, error: BaseException) -> None:
        for _, future in self._round:
            if not future.done():
                future.set_exception(error)

    def _ended(self, driver: asyncio.Task[None]) -> None:
        self._driver = None
        if driver.cancelled():
            self._round += self._waiting
            self._waiting = []
            for _, future in self._round:
                future.cancel()
            return
        error = driver.exception()
        if error is not None:
            self._fail_round(error)
        if self._waiting:
            self._start(driver.get_loop())
