import subprocess
import sys
from pathlib import Path

import pytest

from featurestore.online.errors import OnlineUrlError
from featurestore.online.lmdb_store import LmdbStore
from featurestore.online.memory_store import MemoryStore
from featurestore.online.open_store import absolute_url, is_ephemeral, open_store


def test_each_scheme_opens_its_store(tmp_path):
    for url in (f"lmdb:{tmp_path}/online", f"lmdb://{tmp_path}/online"):
        store = open_store(url)
        assert isinstance(store, LmdbStore)
        assert store.name == f"lmdb:{tmp_path}/online"
        store.close()
    assert open_store("redis://localhost:1/0").name == "redis://localhost:1/0"
    assert isinstance(open_store("memory://"), MemoryStore)


def test_one_memory_url_is_one_store_in_a_process():
    assert open_store("memory://a") is open_store("memory://a")
    assert open_store("memory://a") is not open_store("memory://b")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("lmdb:online", "relative"),
        ("lmdb:./online", "relative"),
        ("lmdb:", "names no folder"),
        ("lmdb:///", "names no folder"),
        ("lmdb://online", "names no folder"),
        ("reddis://localhost", "scheme 'reddis'"),
        ("redis+cluster://localhost", "scheme"),
        ("/some/folder", "scheme"),
        ("", "scheme ''"),
        ("memory:", "scheme 'memory'"),
    ],
)
def test_a_url_that_names_no_store_is_refused_with_the_forms_that_do(url, says):
    with pytest.raises(OnlineUrlError) as caught:
        open_store(url)
    assert says in str(caught.value)
    assert "lmdb:/absolute/folder" in str(caught.value.mend)


def test_a_relative_path_is_made_absolute_against_the_project():
    base = Path("/project")
    assert absolute_url("lmdb:.unskew/online", base) == "lmdb:/project/.unskew/online"
    assert absolute_url("lmdb:/data/online", base) == "lmdb:/data/online"
    assert absolute_url("lmdb:///data/online", base) == "lmdb:/data/online"
    assert absolute_url("redis://h:1/0", base) == "redis://h:1/0"


def test_only_memory_is_gone_when_the_process_ends():
    assert is_ephemeral("memory://x")
    assert not is_ephemeral("lmdb:/x")
    assert not is_ephemeral("redis://x")


def test_the_redis_driver_is_imported_only_for_a_redis_url():
    code = """
import sys
from featurestore.online.open_store import open_store
open_store("memory://")
assert "redis" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[4])
