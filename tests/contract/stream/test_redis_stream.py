from typing import Any

import pytest
import redis

from featurestore.ingestion.stream.open_stream import open_stream
from tests.contract.stream.suite import UNLIMITED, EventStreamSuite


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
