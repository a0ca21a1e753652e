import pytest

from featurestore.online.memory_store import MemoryStore
from featurestore.online.open_store import open_store
from tests.contract.online.commit_suite import CommitSuite


class TestMemoryStore(CommitSuite):
    @pytest.fixture(autouse=True)
    def a_name(self, request):
        self.url = f"memory://{request.node.nodeid}"

    def open(self):
        return open_store(self.url)

    @property
    def raw(self):
        store = open_store(self.url)
        assert isinstance(store, MemoryStore)
        return store._values

    def raw_get(self, key):
        return self.raw.get(key)

    def raw_set(self, key, value):
        self.raw[key] = value

    def raw_all(self):
        return dict(self.raw)

    def raw_clear(self):
        self.raw.clear()

    def test_stores_of_different_names_share_nothing(self, store):
        self.raw_set(b"k", b"v")
        assert open_store(self.url + "-other").get_many([b"k"]) == [None]
