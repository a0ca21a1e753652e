from contextlib import closing

import pytest

from featurestore.offline.duckdb_store import open_offline_store
from tests.unit.featurestore.ingestion.baskets_stream import in_memory


@pytest.fixture
def stream(tmp_path):
    """A stream of baskets that nobody has opened."""
    with closing(open_offline_store(tmp_path / "offline", threads=1)) as offline:
        one = in_memory(tmp_path, offline)
        yield one
        one.stream.close()
