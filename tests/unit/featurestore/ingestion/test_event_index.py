"""What the event index remembers, and for how long."""

from dataclasses import replace

import numpy as np

from featurestore.definitions import FeatureView, Sum
from featurestore.foundation.clock import DAY
from featurestore.ingestion.event_index import EventIndex
from featurestore.online.index_value import index_payload
from featurestore.semantics.value import Decimal, Int64, String, Timestamp, column
from tests.unit.featurestore.ingestion.baskets_stream import T0
from tests.unit.featurestore.retrieval.household import baskets, household, spending, trade

COLUMNS = {
    "basket_id": column(Int64, [1, 2]),
    "household_id": column(Int64, [7, None]),
    "shop_id": column(String, ["é", ""]),
    "ts": column(Timestamp, [T0, T0 - 30 * DAY]),
    "value": column(Decimal(2), [100, None]),
}


def entries(index, a_us=T0):
    keys = index.encoded_keys(COLUMNS, np.arange(2))
    at = index.stored_keys(index.identities(COLUMNS))
    contents = index.contents(COLUMNS)
    return index.entries(at, contents, [False, True], keys, event_us=COLUMNS["ts"].values, a_us=a_us)


def test_an_entry_says_what_the_newest_version_is_and_under_which_keys():
    index = EventIndex(baskets, [spending, trade], DAY)
    first, second = (index.read(value) for _, value, _ in entries(index))
    assert first is not None
    assert second is not None
    assert first.keys == {"household_id": b"i:7", "shop_id": "s:é".encode()}
    assert second.keys == {"household_id": None, "shop_id": b"s:"}
    assert (first.deleted, second.deleted, first.event_us) == (False, True, T0)
    assert first.content == index.contents(COLUMNS)[0] != second.content
    assert index.read(None) is None


def test_entries_of_other_key_columns_are_not_understood():
    value = entries(EventIndex(baskets, [spending, trade], DAY))[0][1]
    assert EventIndex(baskets, [spending], DAY).read(value) is None
    assert EventIndex(baskets, [trade, spending], DAY).read(value) is not None


def test_an_event_is_kept_until_it_is_out_of_every_window_and_lateness_beyond():
    index = EventIndex(baskets, [spending, trade], DAY)
    longest = 7 * DAY
    assert index.retention_us == longest + DAY
    (_, fresh, fresh_ms), (_, old, old_ms) = entries(index)
    assert int.from_bytes(fresh[:8], "little") == T0 + longest + DAY
    assert int.from_bytes(old[:8], "little") == T0 + DAY, "from its commit on, so that a retry is told"
    assert (fresh_ms, old_ms) == (8 * DAY // 1000 + 1, DAY // 1000 + 1)


def test_an_expiry_before_1970_is_none_that_a_store_could_keep():
    index = EventIndex(baskets, [spending], DAY)
    assert int.from_bytes(entries(index, a_us=-(10**15))[1][1][:8], "little") >= 1


def test_a_source_without_views_has_no_keys():
    index = EventIndex(baskets, [], DAY)
    known = index.read(entries(index)[0][1])
    assert known is not None
    assert known.keys == {}
    assert len(index_payload(entries(index)[0][1])) == 21


def test_the_column_that_the_commit_fills_is_no_content():
    filled = replace(baskets, schema={**baskets.schema, "known": Timestamp}, available_at="known")
    index = EventIndex(filled, [FeatureView("v", household, filled, [Sum("value", "1d")])], DAY)
    one, other = ({**COLUMNS, "known": column(Timestamp, [known, known])} for known in (1, 2))
    assert index.contents(one) == index.contents(other)
