"""Law 1 for streams: what was read at (t, s) is what the oracle and history say, whatever was sent, read and killed.

Acceptance 1 of realtime features: events out of order, tied, late, corrected, moved to another key, withdrawn,
future-dated, null and sent again, commits cut off between any two steps and taken up by another committer, reads in
between at instants before, at and after the clock's, of every aggregate over every type, on Redis and on LMDB.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.foundation.clock import DAY, FixedClock
from featurestore.ingestion.committer import Committer
from featurestore.ingestion.dead_letter import DeadLetters
from featurestore.ingestion.settings import IngestSettings
from featurestore.ingestion.stream.open_stream import open_stream
from featurestore.offline.duckdb_store import DuckDBStore, open_offline_store
from featurestore.online.base import CommitWrite, OnlineStore
from featurestore.online.memory_store import MemoryStore
from featurestore.online.open_store import open_store
from tests.property.histories import Chooser, Drawn, Seeded, make_history, make_setting
from tests.property.streams import Play

LONG_SEEDS = 260
HISTORIES = 4
STEPS = 18
ACTIONS = [*["send", "commit", "read"] * 2, "clock", "crash", "crash", "flush", "restart"]
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


class Crash(BaseException):
    """The process ends here."""


@dataclass
class Fragile:
    """A store whose user ends before, in the midst of, or after one of its next writes."""

    inner: OnlineStore
    atomic: bool
    choose: Chooser
    left: int = -1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def apply(self, write: CommitWrite) -> int:
        if not self._falls_now():
            return self.inner.apply(write)
        where = self.choose.integer(0, 2)
        if where == 1 and not self.atomic and write.changes:
            kept = self.choose.integer(0, len(write.changes))
            self.inner.apply(replace(write, changes=write.changes[:kept], index=[], after=[]))
        elif where == 2:
            self.inner.apply(write)
        raise Crash

    def _falls_now(self) -> bool:
        self.left -= 1
        return self.left == 0


@dataclass
class Figures:
    """What a run compared."""

    plays: int = 0
    histories: int = 0
    crashes: int = 0
    values: int = 0


@dataclass
class World:
    """The stores of one play, and the committer that is at work."""

    play: Play
    choose: Chooser
    backend: str
    url: str
    stack: ExitStack
    crashes: int = 0
    opened_us: int | None = None
    committer: Committer | None = field(default=None)

    def __post_init__(self) -> None:
        folder = self.play.folder
        store = MemoryStore() if self.backend == "memory" else self.stack.enter_context(closing(open_store(self.url)))
        self.store = Fragile(store, self.backend != "redis", self.choose)
        self.offline: DuckDBStore = self.stack.enter_context(closing(open_offline_store(folder, threads=1)))
        self.lateness_us = self.choose.one([3_650 * DAY, 3_650 * DAY])
        self.commit_rows = self.choose.one([1, 3, 1_000])

    def restart(self) -> None:
        """Begin with a new committer, as after the death of the one before."""
        self.end()
        source = self.play.setting.source
        stream = open_stream(
            self.url, self.play.folder / "stream", source.name, backlog_limit_rows=10_000, clock=self.play.clock
        )
        self.stream = stream
        self.committer = Committer(
            source,
            [self.play.setting.view],
            stream=stream,
            store=self.store,
            offline=self.offline,
            offline_root=self.play.folder,
            clock=self.play.clock,
            dead_letters=DeadLetters(self.play.folder / "dead"),
            settings=IngestSettings(
                commit_rows=self.commit_rows, lateness_us=self.lateness_us, history_interval_s=1e9, owner="property"
            ),
        )
        self._guarded(self.committer.open)
        if self.opened_us is None:
            self.opened_us = max(self.play.clock.now_us(), self.committer.applied.a_us)

    def commit(self) -> None:
        """Commit what waits, or some of it; a crash on the way brings a new committer."""
        if self.committer is not None:
            self._guarded(partial(self.committer.step, 0.0))

    def drain(self) -> None:
        """Commit all that waits, and write it to history."""
        self.store.left = -1
        if self.committer is None:
            self.restart()
        assert self.committer is not None
        while self.committer.step(0.0):
            pass
        self.committer.flush()

    def end(self) -> None:
        """Let the committer go as its death would: what it had in memory is gone."""
        if self.committer is not None:
            self.committer.close()
            self.stream.close()
        self.committer = None

    def _guarded(self, action: Any) -> None:
        try:
            action()
        except Crash:
            self.crashes += 1
            self.store.left = self.choose.one([-1, 1, 2])
            self.restart()


def perform(choose: Chooser, backend: str, url: str, figures: Figures, histories: int) -> None:
    """Play one stream to its end, and compare everything that was read on the way."""
    setting = make_setting(choose)
    made = [make_history(choose, setting, number, 1) for number in range(histories)]
    with TemporaryDirectory() as name, ExitStack() as stack:
        clock = FixedClock(setting.start_us + choose.one([0, 1, 2_000_000]))
        play = Play(setting, made, Path(name), clock)
        if choose.integer(0, 1):
            play.import_some(choose.integer(0, len(play.waiting)))
        world = World(play, choose, backend, url or f"lmdb:{name}/online", stack)
        world.restart()
        for _ in range(STEPS):
            _step(choose, play, world)
        world.drain()
        assert world.opened_us is not None
        play.read(choose, world.store, world.opened_us)
        figures.values += play.check(world.offline, setting.view)
        figures.crashes += world.crashes
        world.end()
    figures.plays += 1
    figures.histories += histories


def _step(choose: Chooser, play: Play, world: World) -> None:
    action = choose.one(ACTIONS)
    if action == "send":
        payload = play.payload(choose, choose.integer(1, 6))
        world.stream.append([payload])
    elif action == "commit":
        world.commit()
    elif action == "read" and world.opened_us is not None:
        play.read(choose, world.store, world.opened_us)
    elif action == "clock":
        play.clock.set(play.clock.now_us() + choose.one([0, 1, 3, 1_000_000, *play.setting.spans_us]))
    elif action == "crash":
        world.store.left = choose.integer(1, 2)
    elif action == "flush" and world.committer is not None:
        world.committer.flush()
    elif action == "restart":
        world.restart()


@st.composite
def drawn(draw: st.DrawFn) -> Chooser:
    return Drawn(draw)


@given(drawn())
@settings(max_examples=15, suppress_health_check=SLOW)
def test_one_history_at_a_time_in_memory(choose):
    perform(choose, "memory", "memory://", Figures(), 1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("backend", ["memory", "lmdb"])
def test_a_stream_is_read_as_the_oracle_says(backend, seed):
    figures = Figures()
    perform(Seeded(seed), backend, "memory://" if backend == "memory" else "", figures, HISTORIES)


@pytest.mark.redis
@pytest.mark.parametrize("seed", range(6))
def test_a_stream_is_read_as_the_oracle_says_on_redis(start_redis, seed):
    perform(Seeded(seed), "redis", start_redis().url, Figures(), HISTORIES)


@pytest.mark.long
@pytest.mark.redis
@pytest.mark.parametrize("backend", ["lmdb", "redis"])
def test_thousands_of_streams(start_redis, backend, capsys):
    figures = Figures()
    for seed in range(LONG_SEEDS):
        perform(Seeded(seed + 1_000), backend, _fresh(start_redis) if backend == "redis" else "", figures, HISTORIES)
    with capsys.disabled():
        print(f"\nstreams on {backend}: {figures}")
    assert figures.histories >= 1_000


_servers: dict[str, Any] = {}


def _fresh(start_redis: Any) -> str:
    """Return the URL of an empty database of one server."""
    from redis import Redis

    server = _servers.get("one") or _servers.setdefault("one", start_redis())
    Redis.from_url(server.url).flushall()
    return str(server.url)
