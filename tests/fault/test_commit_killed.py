"""Writers of commits, and the Redis they write to, are killed -9 and taken over at random moments: nothing is torn."""

import os
import random
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from featurestore.online.errors import OnlineStoreUnavailable, OwnershipLost
from featurestore.online.lmdb_store import LmdbStore
from featurestore.online.open_store import open_store
from featurestore.online.redis_store import RedisStore
from tests.contract.online.commit_suite import SOURCE, entry
from tests.contract.online.suite import keys_of, log, row
from tests.fault.commit_program import commit

REPOSITORY = Path(__file__).parents[2]
KEYS = 60
MANY = 3000
"""Commits of a process that is meant to be ended before: it ends by itself when nobody does."""


def start(url, epoch, commits=MANY):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fault.commit_program", url, str(KEYS), str(epoch), str(commits)],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def wanted(sequence):
    """What is stored when all commits up to one are made once each, written down without the store."""
    values = {SOURCE.record: b"record %d" % sequence, SOURCE.applied: b"applied %d" % sequence}
    for i in range(KEYS):
        row_key, log_key = keys_of(b"i:%d" % i)
        key, value, _ = entry(b"%d" % i, payload=b"%d" % sequence)
        values |= {row_key: row(sequence, 0), log_key: b"".join(log(s, 0, b"row") for s in range(1, sequence + 1))}
        values[key] = value
        if i < 2:
            values[log_key + b"#%d" % sequence] = b"tile"
    return values


def stored_like(store, values):
    return dict(zip(values, store.get_many(list(values)), strict=True))


def check_whole(store, sequence):
    values = wanted(sequence)
    assert stored_like(store, values) == values
    gone = [keys_of(b"i:0")[1] + b"#%d" % s for s in range(sequence)]
    assert set(store.get_many([*gone, b"unskew:none"])) == {None}


@pytest.mark.parametrize("growing", [False, True])
def test_a_writer_killed_at_any_moment_leaves_lmdb_with_whole_commits_only(tmp_path, growing):
    """Nothing is repeated before looking: what the killed process left is a commit and nothing of the next."""
    url, chance, last = f"lmdb:{tmp_path / 'online'}", random.Random(5), 0
    LmdbStore(tmp_path / "online", initial_map_bytes=2**17 if growing else 2**26).close()
    for epoch in range(1, 5):
        with start(url, epoch) as process:
            said = [process.stdout.readline() for _ in range(chance.randrange(1, 20))]
            time.sleep(chance.random() * 0.02)
            process.kill()
            said += process.stdout.read().splitlines()
        with closing(open_store(url)) as store:
            (applied,) = store.get_many([SOURCE.applied])
            assert applied is not None
            sequence = int(applied.split()[1])
            assert sequence >= int(said[-1])
            assert sequence > last
            check_whole(store, sequence)
        last = sequence


@pytest.mark.redis
def test_writer_and_redis_killed_at_random_moments_double_and_lose_nothing(start_redis):
    """A writer that is started again makes the commit of the record again, and ends with each commit once."""
    server = start_redis(("--save", "", "--appendonly", "yes", "--appendfsync", "always"))
    chance, acknowledged = random.Random(6), 0
    for epoch in range(1, 7):
        with start(server.url, epoch) as process:
            said = [process.stdout.readline() for _ in range(chance.randrange(1, 10))]
            time.sleep(chance.random() * 0.02)
            if epoch % 2:
                server.kill()
                time.sleep(0.02)
                server.start()
                said += [process.stdout.readline() for _ in range(2)]
            process.kill()
            said += process.stdout.read().splitlines()
        acknowledged = int(said[-1])
    with start(server.url, 9, commits=1) as process:
        last = int(process.stdout.read())
    assert last >= acknowledged
    with closing(RedisStore(server.url)) as store:
        check_whole(store, last)
    server.stop()


def check_take_over(url, snapshot):
    """A process commits as fast as it can; another owner raises the fences: from then on not a byte changes."""
    for epoch in range(1, 9, 2):
        with start(url, epoch) as process, closing(open_store(url)) as store:
            for _ in range(5):
                process.stdout.readline()
            store.raise_fence("baskets", epoch + 1)
            stored = snapshot()
            said = process.stdout.read().splitlines()
            assert said[-1].startswith("lost")
            assert snapshot() == stored
            record = int(stored[SOURCE.record].split()[1])
            store.apply(commit(record, KEYS, epoch + 1))
            check_whole(store, record)


def test_a_slow_owner_writes_nothing_after_a_take_over_of_lmdb(tmp_path):
    with closing(LmdbStore(tmp_path / "online")) as keeper:

        def snapshot():
            with keeper._open()._environment.begin() as transaction:
                return dict(transaction.cursor())

        check_take_over(f"lmdb:{tmp_path / 'online'}", snapshot)


@pytest.mark.redis
def test_a_slow_owner_writes_nothing_after_a_take_over_of_redis(start_redis):
    server = start_redis()
    with closing(RedisStore(server.url)) as keeper:

        def snapshot():
            keys = sorted(keeper._client.scan_iter(count=10_000))
            return dict(zip(keys, keeper.get_many(keys), strict=True))

        check_take_over(server.url, snapshot)
    server.stop()


@pytest.mark.redis
def test_of_owners_that_race_for_a_source_the_greatest_epoch_stays(start_redis):
    server = start_redis()

    def own(epoch):
        with closing(RedisStore(server.url)) as store, suppress(OwnershipLost):
            store.raise_fence("baskets", epoch)

    threads = [threading.Thread(target=own, args=(epoch,)) for epoch in (3, 4)]
    with closing(RedisStore(server.url)) as store:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(store.get_many(SOURCE.fences())) == {b"4 0"}
    server.stop()


def test_a_disk_that_is_full_leaves_lmdb_as_it_was(tmp_path):
    """RLIMIT_FSIZE ends the growth of the file in a process of its own, as a full disk would."""
    code = """
import resource, signal, sys
from tests.fault.commit_program import commit
from featurestore.online.open_store import open_store
from featurestore.online.errors import OnlineStoreUnavailable
store = open_store(sys.argv[1])
store.apply(commit(1, 60, 1))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
for sequence in range(2, 1000):
    try:
        store.apply(commit(sequence, 60, 1))
    except OnlineStoreUnavailable as error:
        print(sequence, error.mend)
        break
"""
    url = f"lmdb:{tmp_path / 'online'}"
    told = subprocess.run(
        [sys.executable, "-c", code, url], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert "disk" in told
    with closing(open_store(url)) as store:
        check_whole(store, int(told.split()[0]) - 1)


def test_an_unreachable_store_is_said_to_be_that():
    with closing(RedisStore("redis://127.0.0.1:1/0")) as store, pytest.raises(OnlineStoreUnavailable):
        store.apply(commit(1, 1, 1))
