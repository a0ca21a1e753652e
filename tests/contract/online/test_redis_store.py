import asyncio
import signal
import socket

import pytest
import redis

from featurestore.online.base import Put
from featurestore.online.errors import OnlineStoreUnavailable
from featurestore.online.keys import HISTORY, NOBODY, ViewKeys
from featurestore.online.redis_store import RedisStore
from tests.contract.online.commit_suite import CommitSuite
from tests.contract.online.suite import OnlineStoreSuite, keys_of, put_of, refusal, row
from tests.servers import free_port


@pytest.mark.redis
class TestRedisStore(CommitSuite):
    expires_by_itself = True

    @pytest.fixture(autouse=True)
    def a_server(self, redis_server):
        self.url = redis_server
        self.raw = redis.Redis.from_url(redis_server)
        yield
        self.raw.close()

    def open(self):
        return RedisStore(self.url)

    def raw_get(self, key):
        return self.raw.get(key)

    def raw_set(self, key, value):
        self.raw.set(key, value)

    def raw_all(self):
        keys = self.raw.keys()
        return dict(zip(keys, self.raw.mget(keys), strict=True)) if keys else {}

    def raw_clear(self):
        self.raw.flushall()

    def test_a_script_that_the_server_forgot_is_loaded_again(self, store):
        store.put_many([put_of(b"i:1", 1, 0)])
        self.raw.script_flush()
        assert store.put_many([put_of(b"i:%d" % i, 2, 0) for i in range(50)]).written == 50
        assert self.raw_get(keys_of(b"i:49")[0]) == row(2, 0)

    def test_a_fetch_is_one_command_and_a_put_of_many_is_one_round_trip_of_scripts(self, store):
        store.put_many([put_of(b"i:1", 1, 0)])
        self.raw.config_resetstat()
        asyncio.run(self.fetch(store, [keys_of(b"i:%d" % i)[0] for i in range(100)]))
        assert self.raw.info("commandstats")["cmdstat_mget"]["calls"] == 1
        store.put_many([put_of(b"i:%d" % i, 1, 0) for i in range(1000)])
        calls = {name: stat["calls"] for name, stat in self.raw.info("commandstats").items()}
        assert "cmdstat_script" not in calls
        assert calls["cmdstat_evalsha"] <= 1000

    def test_a_removal_takes_nobodys_row_first_and_the_mark_of_the_history_last(self, store):
        """Whatever moment it is killed at, the view is not materialised, and its rows' history is known."""
        keys = ViewKeys("0123456789abcdef" * 4)
        store.put_many([put_of(b"i:%d" % i, 1, i) for i in range(3000)])
        for special in (NOBODY, HISTORY):
            store.put_many([Put(keys.row(special), row(1, 1), keys.log(special), None)])
        with self.raw.monitor() as monitor:
            store.remove_view("0123456789abcdef" * 4)
            self.raw.echo("the end")
            seen = list(iter(lambda: monitor.next_command()["command"], "ECHO the end"))
        removals = [command for command in seen if command.startswith("UNLINK")]
        assert (removals[0], removals[-1]) == (
            f"UNLINK {keys.row(NOBODY).decode()}",
            f"UNLINK {keys.row(HISTORY).decode()}",
        )
        assert sum(keys.row(HISTORY).decode() in command for command in removals) == 1
        assert len(seen) < 30
        assert self.raw_all() == {}

    @pytest.mark.parametrize(
        ("policy", "evicted"),
        [
            ("allkeys-lru", "rows"),
            ("allkeys-random", "rows"),
            ("volatile-lru", "events"),
            ("volatile-ttl", "events"),
            ("noeviction", None),
        ],
    )
    def test_a_policy_that_evicts_our_keys_is_a_risk(self, store, policy, evicted):
        """Policies named volatile evict keys that expire, as entries of an event index do."""
        self.raw.config_set("maxmemory-policy", policy)
        try:
            assert (policy in store.risk()) == (evicted is not None)
            assert (evicted or "") in store.risk()
        finally:
            self.raw.config_set("maxmemory-policy", "noeviction")

    def test_one_script_call_touches_one_slot(self, store, monkeypatch):
        """Redis Cluster refuses anything else; the server's own hash of each key tells."""
        calls = []
        run = store._run
        monkeypatch.setattr(store, "_run", lambda given: calls.extend(given) or run(given))
        store.put_many([put_of(b"i:%d" % i, 1, 0) for i in range(300)])
        for call in calls:
            tags = {key[key.index(b"{") : key.index(b"}")] for key in call[: len(call) // 2]}
            assert len(tags) == 1

    def test_an_unreachable_server_is_named_without_its_password(self):
        url = f"redis://someone:secret@127.0.0.1:{free_port()}/3"
        store = RedisStore(url)
        errors = []
        for action in (store.ping, lambda: store.get_many([b"k"]), lambda: store.put_many([put_of(b"i:1", 1, 1)])):
            with pytest.raises(OnlineStoreUnavailable) as caught:
                action()
            errors.append(caught.value)
        errors.append(asyncio.run(refusal(store.reader(), [b"k"])))
        for error in errors:
            assert f"redis://127.0.0.1:{store._address.port}/3" in str(error)
            assert "secret" not in str(error)
            assert error.mend
        store.close()


@pytest.mark.redis
class TestRedisReader:
    def test_a_password_and_a_database_are_used(self, start_redis):
        server = start_redis()
        with redis.Redis.from_url(server.url) as raw:
            raw.config_set("requirepass", "pass word")
        url = f"redis://:pass%20word@127.0.0.1:{server.port}/2"
        store = RedisStore(url)
        store.put_many([put_of(b"i:1", 1, 1)])

        async def read(of):
            reader = of.reader()
            try:
                return await reader.fetch([keys_of(b"i:1")[0]])
            finally:
                await reader.aclose()

        assert asyncio.run(read(store)) == [row(1, 1)]
        other = RedisStore(url[:-1] + "1")
        assert asyncio.run(read(other)) == [None]
        for wrong in (url.replace("word", "ward"), url.replace(":pass%20word@", ""), url[:-1] + "99"):
            error = asyncio.run(refusal(RedisStore(wrong).reader(), [b"k"]))
            assert "Redis says" in str(error)
        store.close()
        other.close()

    def test_a_restarted_server_is_reached_again_without_an_error(self, start_redis):
        server = start_redis()
        store = RedisStore(server.url)

        async def across_a_restart():
            reader = store.reader()
            assert await reader.fetch([b"k"]) == [None]
            await asyncio.to_thread(server.kill)
            down = await refusal(reader, [b"k"])
            await asyncio.to_thread(server.start)
            up = await reader.fetch([b"k"])
            await reader.aclose()
            return down, up

        down, up = asyncio.run(across_a_restart())
        assert "cannot connect" in str(down)
        assert up == [None]
        store.close()

    def test_a_server_that_stops_answering_fails_all_reads_in_time_and_answers_no_one_wrongly_after(self, start_redis):
        server = start_redis()
        store = RedisStore(server.url + "?socket_timeout=0.3&socket_connect_timeout=0.3")
        store.put_many([put_of(b"i:1", 1, 1), put_of(b"i:2", 1, 2)])

        async def stall():
            reader = store.reader()
            one, two = keys_of(b"i:1")[0], keys_of(b"i:2")[0]
            assert await reader.fetch([one]) == [row(1, 1)]
            server.process.send_signal(signal.SIGSTOP)
            began = asyncio.get_running_loop().time()
            errors = await asyncio.gather(*(refusal(reader, [one]) for _ in range(5)))
            took_s = asyncio.get_running_loop().time() - began
            server.process.send_signal(signal.SIGCONT)
            after = await reader.fetch([two])
            await reader.aclose()
            return errors, took_s, after

        errors, took_s, after = asyncio.run(stall())
        assert {str(error).split(" (")[0] for error in errors} == {
            f"redis://127.0.0.1:{server.port}/0: Redis did not answer within 0.3 s"
        }
        assert 0.25 < took_s < 3
        assert after == [row(1, 2)]
        store.close()

    def test_callers_cancelled_while_the_connection_opens_do_not_end_it_for_others(self, redis_server):
        async def connect():
            reader = RedisStore(redis_server).reader()
            tasks = [asyncio.create_task(reader.fetch([b"none"])) for _ in range(10)]
            await asyncio.sleep(0)
            for task in tasks[:5]:
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            await reader.aclose()
            return answers[5:]

        assert asyncio.run(connect()) == [[None]] * 5

    def test_something_that_is_not_redis_is_said_to_be_that(self):
        async def speak():
            async def greet(reader, writer):
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                await reader.read(100)
                writer.close()

            server = await asyncio.start_server(greet, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            error = await refusal(RedisStore(f"redis://127.0.0.1:{port}").reader(), [b"k"])
            server.close()
            await server.wait_closed()
            return error

        assert "does not speak Redis" in str(asyncio.run(speak()))

    def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"redis://127.0.0.1:{silent.getsockname()[1]}?socket_connect_timeout=0.2"
            assert "cannot connect" in str(asyncio.run(refusal(RedisStore(url).reader(), [b"k"])))

    def test_a_unix_socket_is_reached(self, start_redis, tmp_path):
        path = tmp_path / "redis.sock"
        start_redis(("--save", "", "--unixsocket", str(path)))
        store = RedisStore(f"unix://{path}?db=1")
        store.put_many([put_of(b"i:1", 1, 1)])
        assert asyncio.run(OnlineStoreSuite.fetch(store, [keys_of(b"i:1")[0]])) == [row(1, 1)]
        store.close()

    def test_a_full_server_is_said_to_be_full(self, start_redis):
        server = start_redis()
        store = RedisStore(server.url)
        store.put_many([put_of(b"i:1", 1, 1, b"x" * 1_000_000)])
        with redis.Redis.from_url(server.url) as raw:
            raw.config_set("maxmemory", "1mb")
        with pytest.raises(OnlineStoreUnavailable, match="out of memory"):
            store.put_many([put_of(b"i:3", 1, 1)])
        assert store.get_many(keys_of(b"i:3")) == [None, None]
        store.close()
