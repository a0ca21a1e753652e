import subprocess
import sys

import pytest

from featurestore.ingestion.stream.journal import Journal
from featurestore.ingestion.stream.open_stream import open_stream
from featurestore.ingestion.stream.redis_stream import RedisStream
from featurestore.online.errors import OnlineUrlError


@pytest.mark.parametrize("url", ["lmdb:/somewhere", "memory://", "memory://name"])
def test_an_embedded_store_has_journals_by_source(tmp_path, url):
    stream = open_stream(url, tmp_path, "sales", backlog_limit_rows=10)
    assert isinstance(stream, Journal)
    assert stream.name == f"event stream of 'sales' in {tmp_path}/sales"
    assert list(tmp_path.iterdir()) == []
    stream.append([(b"x", 1)])
    assert [path.name for path in tmp_path.iterdir()] == ["sales"]
    stream.close()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://someone:secret@host:7000/3", "redis://host:7000/3"),
        ("rediss://host", "rediss://host:6379/0"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
    ],
)
def test_redis_urls_have_redis_streams_named_without_a_password(tmp_path, url, name):
    stream = open_stream(url, tmp_path, "sales", backlog_limit_rows=10)
    assert isinstance(stream, RedisStream)
    assert stream.name == f"event stream of 'sales' at {name}"
    stream.close()


def test_a_redis_url_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(OnlineUrlError):
        open_stream("redis://", tmp_path, "sales", backlog_limit_rows=10)


def test_the_gateway_s_part_of_ingestion_loads_neither_an_engine_nor_redis(tmp_path):
    program = (
        "import sys; from pathlib import Path\n"
        "import featurestore.ingestion.accept, featurestore.ingestion.dead_letter\n"
        "from featurestore.ingestion.stream.open_stream import open_stream\n"
        "open_stream('lmdb:/x', Path(sys.argv[1]), 'sales', backlog_limit_rows=1).append([(b'x', 1)])\n"
        "print(*sorted({'duckdb', 'pandas', 'pyarrow', 'redis', 'lmdb'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == "\n"
