from featurestore.ingestion.commit_record import AppliedRecord, short_digests
from featurestore.online.followed_views import read_followed
from featurestore.online.keys import SourceKeys
from featurestore.online.memory_store import MemoryStore
from tests.unit.featurestore.retrieval.household import baskets, profile, spending


def test_what_the_ingest_program_notes_is_read():
    store = MemoryStore()
    applied = AppliedRecord(7, 70, views=short_digests([spending.row_digest]))
    store.put_values([(SourceKeys(baskets.name).applied, applied.pack())])
    said = read_followed(store, [baskets.name, "members"])
    assert list(said) == [baskets.name]
    assert said[baskets.name].s == 7
    assert said[baskets.name].has(spending)
    assert not said[baskets.name].has(profile)
