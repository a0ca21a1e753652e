"""Commits on Redis where connections are cut, answers are late, memory is full, and scripts are forgotten."""

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from time import sleep

import pytest
import redis

from featurestore.online import redis_connection
from featurestore.online.errors import CommitConflict, OnlineStoreUnavailable, OwnershipLost
from featurestore.online.redis_store import RedisStore
from tests.contract.online.commit_suite import SOURCE, change_of, commit_of, entry, stamp
from tests.contract.online.cutting_proxy import CuttingProxy
from tests.contract.online.suite import keys_of, put_of, row

pytestmark = pytest.mark.redis
GREETING = 2
"""Commands by which a connection begins: SELECT and PING."""


@pytest.fixture
def raw(redis_server):
    with redis.Redis.from_url(redis_server) as raw:
        raw.flushall()
        yield raw


@pytest.fixture
def proxy(redis_server):
    with closing(CuttingProxy(int(redis_server.rpartition(":")[2].split("/")[0]))) as proxy:
        yield proxy


def everything(raw):
    keys = [key for key in raw.scan_iter(count=10_000) if key[13:15] != b"f:"]
    return dict(zip(keys, raw.mget(keys), strict=True)) if keys else {}


def second_commit():
    """Six keys of four buckets that have a log already, two of them with tiles; and some that have none."""
    changes = [change_of(b"i:%d" % i, 2, stamp(1), append=True, bucket=i % 4) for i in range(4)]
    changes += [
        change_of(b"i:%d" % i, 2, stamp(1), parts={b"0": None, b"1": b"tile"}, bucket=i % 4) for i in range(4, 6)
    ]
    changes += [change_of(b"i:%d" % i, 2, append=True, bucket=i) for i in range(6, 9)]
    return commit_of(2, changes, [entry(b"%d" % i, expires_us=i) for i in range(7)])


def first_commit():
    changes = [change_of(b"i:%d" % i, 1, parts={b"0": b"old"} if i > 3 else None, bucket=i % 4) for i in range(6)]
    return commit_of(1, changes, [entry(b"%d" % i, payload=b"old") for i in range(3)])


def states(raw, before, write, after):
    """Tell of each phase how many of its items are stored; each is whole, or as it was before."""
    now = everything(raw)

    def stored(keys):
        found, old, new = ([values.get(key) for key in keys] for values in (now, before, after))
        assert found in (old, new)
        return found == new

    changes = [[change.row_key, change.log_key, *change.parts] for change in write.changes]
    items = [[SOURCE.record]], changes, [[key] for key, _, _ in write.index], [[SOURCE.applied]]
    return [[stored(keys) for keys in phase] for phase in items]


@pytest.mark.parametrize("together_bytes", [1, 2**16])
def test_cut_at_any_command_a_beginning_is_stored_and_the_same_call_completes_it(
    raw, proxy, redis_server, together_bytes, monkeypatch
):
    monkeypatch.setattr(redis_connection, "TOGETHER_BYTES", together_bytes)
    write, ways = second_commit(), set()
    with closing(RedisStore(redis_server)) as store:
        store.apply(first_commit())
        before = everything(raw)
        store.apply(write)
        after = everything(raw)
    for cut_after in range(1000):
        raw.flushall()
        with closing(RedisStore(proxy.url)) as store:
            proxy.cut_after = None
            store.apply(first_commit())
            store.close()
            proxy.cut_after = GREETING + cut_after
            try:
                store.apply(write)
            except OnlineStoreUnavailable:
                pass
            else:
                break
            phases = states(raw, before, write, after)
            assert all(all(phases[i]) for i in range(3) if any(phases[i + 1]))
            ways.add(tuple(map(sum, phases)))
            proxy.cut_after = None
            assert store.apply(write) == len(write.changes) - sum(phases[1])
            assert everything(raw) == after
    assert everything(raw) == after
    assert len(ways) == {1: 1 + 1 + 7 + 7, 2**16: 1 + 1 + 1 + 1}[together_bytes]


def test_what_a_lost_connection_still_sends_changes_nothing_of_what_came_after(raw, proxy):
    """A whole commit waits on the way while its writer, whose patience ended, repeats it and makes the next."""
    with closing(RedisStore(proxy.url + "?socket_timeout=0.3")) as store:
        store.apply(first_commit())
        store.close()
        proxy.hold_after = GREETING
        with pytest.raises(OnlineStoreUnavailable, match=r"did not answer within 0.3 s"):
            store.apply(second_commit())
        proxy.hold_after = None
        assert store.apply(second_commit()) == 9
        third = commit_of(3, [change_of(b"i:0", 3, stamp(2), append=True, bucket=0)], [entry(b"0", payload=b"third")])
        assert store.apply(third) == 1
        stored = everything(raw)
        proxy.release.set()
        assert proxy.released.wait(10)
        assert everything(raw) == stored
        assert stored[SOURCE.record] == b"record 3"
        assert store.apply(third) == 0


def test_a_source_does_not_wait_for_another_whose_answers_are_late(raw, proxy):
    with closing(RedisStore(proxy.url + "?socket_timeout=2")) as store, ThreadPoolExecutor(1) as pool:
        proxy.hold_after = GREETING
        late = pool.submit(store.apply, first_commit())
        while not proxy.holding:
            sleep(0.01)
        proxy.hold_after = None
        assert store.apply(commit_of(1, [change_of(b"i:99", 1)], source="returns")) == 1
        assert not late.done()
        proxy.release.set()
        assert late.result() == 6


def test_an_epoch_is_for_one_store_object_once_a_connection_was_lost(raw, proxy, redis_server):
    with closing(RedisStore(proxy.url)) as store, closing(RedisStore(redis_server)) as other:
        proxy.cut_after = GREETING + 1
        with pytest.raises(OnlineStoreUnavailable, match="connection to Redis was lost"):
            store.apply(first_commit())
        proxy.cut_after = None
        store.apply(first_commit())
        with pytest.raises(OwnershipLost):
            other.apply(second_commit())
        other.raise_fence("baskets", 2)
        with pytest.raises(OwnershipLost):
            store.apply(second_commit())
        assert other.apply(replace(second_commit(), epoch=2)) == 9


def test_a_server_that_stalls_is_given_up_in_time_and_written_to_again(start_redis):
    server = start_redis()
    with closing(RedisStore(server.url + "?socket_timeout=0.3")) as store:
        store.apply(first_commit())
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(OnlineStoreUnavailable, match=r"did not answer within 0.3 s"):
            store.apply(second_commit())
        server.process.send_signal(signal.SIGCONT)
        assert store.apply(second_commit()) in range(10)
        assert store.get_many([SOURCE.applied]) == [b"applied 2"]
    server.stop()


def test_a_server_that_is_down_is_named_and_reached_again(start_redis):
    server = start_redis()
    with closing(RedisStore(server.url)) as store:
        store.apply(first_commit())
        server.kill()
        for _ in range(2):
            with pytest.raises(OnlineStoreUnavailable, match=f"127.0.0.1:{server.port}"):
                store.apply(second_commit())
            with pytest.raises(OnlineStoreUnavailable):
                store.raise_fence("baskets", 1)
        server.start()
        store.raise_fence("baskets", 1)
        assert store.apply(first_commit()) == 6
        assert store.apply(second_commit()) == 9
    server.stop()


def test_a_full_server_acknowledges_nothing_and_takes_the_same_commit_when_it_has_room(start_redis):
    server = start_redis()
    big = commit_of(
        3, [change_of(b"i:%d" % i, 3, body=b"x" * 20_000, bucket=i) for i in range(100, 300)], [entry(b"9")]
    )
    with closing(RedisStore(server.url)) as store, redis.Redis.from_url(server.url) as raw:
        store.raise_fence("baskets", 1)
        store.apply(first_commit())
        for room in (0, 2_000_000):
            raw.config_set("maxmemory", raw.info("memory")["used_memory"] + room)
            with pytest.raises(OnlineStoreUnavailable, match="out of memory"):
                store.apply(big)
            stored = everything(raw)
            assert all((change.row_key in stored) == (change.log_key in stored) for change in big.changes)
            assert SOURCE.index(b"9") not in stored
            assert stored[SOURCE.applied] == b"applied 1"
        assert stored[SOURCE.record] == b"record 3"
        made = sum(change.row_key in stored for change in big.changes)
        assert 0 < made < 200
        raw.config_set("maxmemory", 0)
        assert store.apply(big) == 200 - made
        assert raw.get(SOURCE.applied) == b"applied 3"
    server.stop()


def test_scripts_that_the_server_forgot_are_loaded_again(raw, redis_server):
    with closing(RedisStore(redis_server)) as store:
        store.apply(first_commit())
        raw.script_flush()
        assert store.apply(second_commit()) == 9
        raw.script_flush()
        store.raise_fence("baskets", 7)
        assert raw.get(SOURCE.fence(SOURCE.record)) == b"7 0"


def test_entries_are_kept_for_as_long_as_was_asked_for_and_no_longer(raw, redis_server):
    with closing(RedisStore(redis_server)) as store:
        store.apply(commit_of(1, [], [(SOURCE.index(b"a"), b"1", 60_000), (SOURCE.index(b"b"), b"2", 0)]))
        assert 50_000 < raw.pttl(SOURCE.index(b"a")) <= 60_000
        assert raw.pttl(SOURCE.index(b"b")) == -1
        store.apply(commit_of(2, [], [(SOURCE.index(b"a"), b"3", 0), (SOURCE.index(b"b"), b"4", 120_000)]))
        assert raw.pttl(SOURCE.index(b"a")) == -1
        assert 110_000 < raw.pttl(SOURCE.index(b"b")) <= 120_000
        store.apply(commit_of(3, [], [(SOURCE.index(b"a"), b"5", 1)]))
        assert raw.get(SOURCE.index(b"a")) in (b"5", None)


def test_a_commit_is_four_phases_each_one_transaction_in_the_servers_log(start_redis):
    """A server that syncs its log does so once for each, not once for each call."""
    server = start_redis(("--save", "", "--appendonly", "yes", "--appendfsync", "always"))
    with closing(RedisStore(server.url)) as store, redis.Redis.from_url(server.url) as raw:
        store.apply(commit_of(1, [change_of(b"i:0", 1)]))
        began = raw.info("stats")["total_reads_processed"]
        changes = [change_of(b"i:%d" % i, 2) for i in range(1, 101)]
        store.apply(commit_of(2, changes, [entry(b"%d" % i) for i in range(100)]))
        assert raw.info("stats")["total_reads_processed"] - began < 12
        appended = server.directory.rglob("*.aof")
        assert b"".join(path.read_bytes() for path in appended).count(b"MULTI") <= 3 + 4
    server.stop()


def test_a_conflict_leaves_the_connection_as_good_as_it_was(raw, redis_server):
    with closing(RedisStore(redis_server)) as store:
        store.put_many([put_of(b"i:1", 9, 0)])
        with pytest.raises(CommitConflict):
            store.apply(commit_of(2, [change_of(b"i:1", 2)]))
        assert raw.get(keys_of(b"i:1")[0]) == row(9, 0)
        assert store.apply(commit_of(2, [change_of(b"i:2", 2)])) == 1
        assert raw.keys("unskew:*:f:*") == []
