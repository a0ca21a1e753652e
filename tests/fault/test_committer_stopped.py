"""A committer is stopped between any two operations on its stores, one after the other, and another one goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from featurestore.foundation.clock import HOUR, SECOND, FixedClock
from featurestore.ingestion.stream.open_stream import open_stream
from featurestore.offline.duckdb_store import open_offline_store
from featurestore.online.base import CommitWrite, OnlineStore
from featurestore.online.memory_store import MemoryStore
from tests.fault.shop_stream import BATCHES, NOON, Shop

CLOCK_STEPS = [10, SECOND, HOUR, 0, 10 * SECOND, 1, 1]


class Stopped(BaseException):
    """The process ends here."""


@dataclass
class Countdown:
    """Ends the process at the operation that is counted down to; the operations before it happen."""

    left: int

    def tick(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Stopped


class Watched:
    """A stream or store that counts its operations down: each may end the process before it, or after it."""

    def __init__(self, inner: Any, countdown: Countdown, names: Sequence[str]) -> None:
        self.inner, self.countdown, self._names = inner, countdown, names
        self.leases: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        return self._counted(found) if name in self._names else found

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            self.countdown.tick()
            answer = call(*given, **named)
            self.leases += [answer] if hasattr(answer, "release") else []
            self.countdown.tick()
            return answer

        return counted


class Piecewise(Watched):
    """A store in which a commit can also be cut short, as on Redis: after ``before``, some keys, all, or the index."""

    def apply(self, write: CommitWrite) -> int:
        for part in _beginnings(write):
            self.countdown.tick()
            self.inner.apply(part)
        self.countdown.tick()
        return len(write.changes)


def _beginnings(write: CommitWrite) -> list[CommitWrite]:
    n = len(write.changes)
    cuts = sorted({0, 1, n // 2, n}) if n else []
    keys = [replace(write, changes=write.changes[:cut], index=[], after=[]) for cut in cuts]
    half = replace(write, index=write.index[: len(write.index) // 2], after=[])
    return [*keys, half, replace(write, after=[]), write]


STREAM = ("acquire", "read", "commit", "trim")
STORE = ("get_many", "put_many", "put_values", "raise_fence")


def run(folder: Path, store: OnlineStore, stop_at: int, commit_rows: int, *, interrupted: bool) -> bool:
    """Send, commit, read and flush all batches, once stopped on the way; return whether it came to that."""
    clock = FixedClock(NOON)
    countdown = Countdown(stop_at)
    stopped = False
    with closing(open_offline_store(folder / "offline", threads=1)) as offline:
        shop = Shop(folder, store, offline, clock, commit_rows)
        stream = open_stream("memory://", folder / "stream", "sales", backlog_limit_rows=1_000, clock=clock)
        watched = Watched(stream, countdown, STREAM), Piecewise(store, countdown, STORE)
        committer = shop.committer(*watched) if interrupted else shop.committer(stream)

        def guarded(action: Callable[[Any], object]) -> None:
            """Do it; if the process ends on the way, another one begins, and does it again."""
            nonlocal committer, stopped
            try:
                action(committer)
            except Stopped:
                stopped = True
                committer.close()
                for lease in watched[0].leases:
                    lease.release()
                committer = shop.committer(stream)
                opening(committer)
                clock.set(clock.now_us() + 1)
                shop.read()
                if action is not opening:
                    action(committer)

        def opening(one: Any) -> None:
            assert one.open() is not None, "the lease is held"

        guarded(opening)
        for number, (batch, pause) in enumerate(zip(BATCHES, CLOCK_STEPS, strict=True)):
            clock.set(clock.now_us() + pause)
            stream.append([shop.payload(batch[:2]), shop.payload(batch[2:])])
            shop.sent += batch
            guarded(lambda one: one.step(0.0))
            shop.read()
            if number % 3 == 2:
                guarded(lambda one: one.flush())
        countdown.left = -1
        while committer.step(0.0):
            pass
        committer.flush()
        shop.read()
        assert shop.check() > 1_000
        committer.close()
        stream.close()
    return stopped


def test_without_a_stop(tmp_path):
    assert not run(tmp_path, MemoryStore(), -1, 100, interrupted=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("commit_rows", "every"), [(100, 1), (1, 7)])
def test_stopped_between_any_two_operations(tmp_path, commit_rows, every):
    stop_at = 1
    while run(tmp_path / str(stop_at), MemoryStore(), stop_at, commit_rows, interrupted=True):
        stop_at += every
    assert stop_at > 100, "operations were not counted"
