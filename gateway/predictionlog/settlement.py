"""Answers that wait until their records are synced: with ``durability = "sync"`` only."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Wait:
    following: int
    rows: int
    future: asyncio.Future[bool]
    limit: asyncio.TimerHandle


class Settlement:
    """Wake those who wait for their records; all but `tell` belongs to one event loop.

    Parameters
    ----------
    limit_s
        Longest wait.

    Attributes
    ----------
    unsynced_rows
        Rows whose answers left before they were synced, as the disk failed or was too slow.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[_Wait] = deque()
        self.unsynced_rows = 0

    def wait_for(self, following: int, rows: int) -> asyncio.Future[bool]:
        """Return a future of whether all rows before sequence number ``following`` were synced in time.

        It is done after the limit at most, and never an error. Whoever may be cancelled shields it: others wait for it.
        """
        self._loop = loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        limit = loop.call_later(self._limit_s, self._release, future, rows, False)
        self._waiting.append(_Wait(following, rows, future, limit))
        return future

    def tell(self, following: int, *, synced: bool) -> None:
        """Say what became of all before ``following``; from any thread."""
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._settle, following, synced)
        except RuntimeError:  # the loop is closed: nobody waits any longer
            self._loop = None

    def _settle(self, following: int, synced: bool) -> None:
        while self._waiting and self._waiting[0].following <= following:
            wait = self._waiting.popleft()
            wait.limit.cancel()
            self._release(wait.future, wait.rows, synced)

    def _release(self, future: asyncio.Future[bool], rows: int, synced: bool) -> None:
        if not future.done():
            future.set_result(synced)
            self.unsynced_rows += 0 if synced else rows
