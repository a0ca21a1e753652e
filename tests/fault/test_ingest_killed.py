"""The ingest program is killed -9 at random moments under load: each event is there exactly once, on both sides."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from featurestore.foundation.clock import HOUR, SECOND, FixedClock, SystemClock
from featurestore.ingestion.backfill import backfill
from featurestore.ingestion.stream.open_stream import open_stream
from featurestore.offline.duckdb_store import open_offline_store
from featurestore.online.open_store import open_store
from tests.fault.shop_stream import KEYS, NOON, Shop, row
from tests.servers import NO_PERSISTENCE

REPOSITORY = Path(__file__).parents[2]
KILLS = 6
DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
START_US = SystemClock().now_us()


@contextmanager
def program(folder, url):
    command = [sys.executable, "-m", "tests.fault.ingest_program", str(folder), url]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with (
        (folder / "program.log").open("ab") as log,
        subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log
        ) as process,
    ):
        yield process
        if process.poll() is None:
            process.communicate(timeout=60)
            assert process.returncode == 0, (folder / "program.log").read_text()


class Sender:
    """Appends events as fast as they are taken, and remembers those that were acknowledged, in order."""

    def __init__(self, shop, stream, chance):
        self.shop, self.stream, self.chance = shop, stream, chance
        self.stop = Event()
        self.serial = 100
        self.thread = Thread(target=self.run)

    def run(self):
        while not self.stop.wait(0.002):
            batch = [self.event() for _ in range(self.chance.randrange(1, 9))]
            self.stream.append([self.shop.payload(batch)])
            self.shop.sent += batch

    def event(self):
        if self.chance.random() < 0.1:
            return self.chance.choice(self.shop.sent or [row(99, 0, 1, "north", START_US - NOON)])
        self.serial += 1
        at = START_US - NOON + self.chance.randrange(-SECOND, SECOND)
        gone = self.chance.random() < 0.05
        event = self.chance.randrange(self.serial)
        who, where = self.chance.choice(KEYS["spending"]), self.chance.choice(KEYS["trade"])
        return row(self.serial, event, who, where, at, gone=gone)


def check(folder, url, kills, between=lambda: None):
    chance = random.Random(3)
    with closing(open_store(url)) as store, closing(open_offline_store(folder / "offline", threads=1)) as offline:
        shop = Shop(folder, store, offline, FixedClock(START_US))
        stream = open_stream(url, folder / "stream", "sales", backlog_limit_rows=10**6)
        sender = Sender(shop, stream, chance)
        sender.thread.start()
        for _ in range(kills):
            with program(folder, url) as process:
                time.sleep(1.2 + chance.random())
                process.kill()
                process.wait(10)
            between()
        sender.stop.set()
        sender.thread.join()
        with program(folder, url):
            wait_until(lambda: stream.backlog().rows == 0)
        assert len(shop.sent) > 1_000
        shop.clock.set(SystemClock().now_us())
        shop.read()
        shop.clock.set(shop.clock.now_us() + HOUR)
        shop.read()
        assert shop.check() > 100
        report = backfill(shop.committer(stream))
        assert (report.redone, report.flushed, report.committed_rows, report.views) == (False, 0, 0, ())
        stream.close()


def wait_until(is_so, seconds=60):
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.05)


@pytest.mark.slow
def test_on_lmdb(tmp_path):
    check(tmp_path, f"lmdb:{tmp_path}/online", KILLS)


@pytest.mark.slow
@pytest.mark.redis
def test_on_redis(start_redis, tmp_path):
    check(tmp_path, start_redis(NO_PERSISTENCE).url, KILLS)
