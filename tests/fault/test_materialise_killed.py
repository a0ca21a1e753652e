"""A materialising process is killed -9 at random moments and started again: the store ends with the same bytes."""

import os
import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from zlib import crc32

import pytest

from featurestore.foundation.clock import HOUR, FixedClock
from featurestore.materialisation.ledger import Ledger
from featurestore.materialisation.materialise import materialise
from featurestore.offline.duckdb_store import open_offline_store
from featurestore.offline.event_import import import_file
from featurestore.online.envelope import WHOLE
from featurestore.online.memory_store import MemoryStore
from featurestore.online.open_store import open_store
from featurestore.online.view_format import ViewFormat
from tests.unit.featurestore.retrieval.household import NOON, baskets, baskets_table, spending

REPOSITORY = Path(__file__).parents[2]
HOUSEHOLDS, BATCH_ROWS = 300, 10
KILLS = 5
FORM = ViewFormat(spending)


def basket_rows():
    chance = random.Random(1)
    for basket in range(3 * HOUSEHOLDS):
        at = NOON - chance.randrange(0, 10 * 24) * HOUR
        yield basket, chance.randrange(HOUSEHOLDS), chance.choice(["north", "south"]), at, chance.randrange(10_000)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """The imported history, and what an uninterrupted run writes of it."""
    root = tmp_path_factory.mktemp("history")
    import_file(baskets, baskets_table(list(basket_rows())), root / "offline", FixedClock(NOON))
    store = MemoryStore()
    with closing(open_offline_store(root / "offline", threads=1)) as offline:
        materialise(spending, offline, store, NOON, Ledger(root / "reference"))
    assert len(store._values) > HOUSEHOLDS
    return root, dict(store._values)


def start(root, url):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fault.materialise_program", str(root), url, str(BATCH_ROWS)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )


def run_and_kill(root, url, chance):
    """Let some batches pass, wait a moment more, and kill; return how far the run said it was."""
    with start(root, url) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(chance.randrange(1, 12))]
        time.sleep(chance.random() * 0.03)
        process.kill()
        process.wait(10)
    return lines[-1]


def check(root, url, expected, keys):
    chance = random.Random(7)
    ended = [run_and_kill(root, url, chance) for _ in range(KILLS)]
    with closing(open_store(url)) as store:
        torn = [found for found in store.get_many(keys) if found is not None and crc32(found) != WHOLE]
        assert torn == []
    with start(root, url) as process:
        assert process.stdout is not None
        last = process.stdout.read().splitlines()[-1].split()
        assert process.wait(60) == 0
    assert last[0] == "complete", ended
    assert int(last[2]) > 0, "nothing was taken up again"
    with closing(open_store(url)) as store:
        assert dict(zip(keys, store.get_many(keys), strict=True)) == {key: expected.get(key) for key in keys}


def all_keys():
    encoded = [FORM.encode_key(key) for key in range(HOUSEHOLDS)]
    return [FORM.nobody, *map(FORM.keys.row, encoded), *map(FORM.keys.log, encoded)]


@pytest.mark.slow
def test_on_lmdb(history, tmp_path):
    root, expected = history
    (tmp_path / "offline").symlink_to(root / "offline")
    check(tmp_path, f"lmdb:{tmp_path}/online", expected, all_keys())


@pytest.mark.slow
@pytest.mark.redis
def test_on_redis(history, start_redis, tmp_path):
    root, expected = history
    (tmp_path / "offline").symlink_to(root / "offline")
    check(tmp_path, start_redis().url, expected, all_keys())
