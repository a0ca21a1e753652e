import asyncio
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from featurestore.definitions import FeatureService, Int64, Request
from featurestore.foundation.clock import DAY, EARLIEST_US, HOUR
from featurestore.materialisation.ledger import Ledger
from featurestore.materialisation.materialise import materialise
from featurestore.offline.duckdb_store import open_offline_store
from featurestore.online.envelope import Stamp
from featurestore.online.errors import EntityKeyError, NotMaterialised, ReadBeforeRow, RowFormatError
from featurestore.online.memory_store import MemoryStore
from featurestore.online.view_format import ViewFormat
from featurestore.retrieval.online_features import OnlineFeatures
from featurestore.semantics.status import Status
from tests.unit.featurestore.retrieval.household import NOON, import_all, profile, service, spending, trade

FEATURES = OnlineFeatures(service)
P, N, M, E = Status.PRESENT, Status.NULL, Status.MISSING, Status.EXPIRED


class Counting:
    """A reader that notes how many keys each fetch asks for."""

    def __init__(self, store):
        self.reader = store.reader()
        self.fetches = []

    async def fetch(self, keys):
        self.fetches.append(len(keys))
        return await self.reader.fetch(keys)

    async def aclose(self):
        await self.reader.aclose()


@pytest.fixture(scope="module")
def materialised(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    import_all(folder)
    store = MemoryStore()
    with closing(open_offline_store(folder, threads=1)) as offline:
        for view in (spending, profile, trade):
            materialise(view, offline, store, NOON, Ledger(folder / "ledger"))
    return store


@pytest.fixture
def store(materialised):
    """Contents of one's own."""
    copy = MemoryStore()
    copy._values = dict(materialised._values)
    return copy


def read(store, households, shops, t, features=FEATURES):
    reader = Counting(store)
    got = asyncio.run(features.read(reader, {"household": households, "shop": shops}, t))
    return got, reader.fetches


def row_of(got, row=0):
    return {name: (values.to_pylist()[row], got.statuses[name][row]) for name, values in got.columns.items()}


def test_a_row_inside_its_interval_is_read_in_one_fetch(store):
    got, fetches = read(store, [7], ["south"], NOON)
    assert row_of(got) == {
        "spending.value_sum_1d": (3.0, P),
        "spending.value_mean_1d": (1.5, P),
        "spending.count_1d": (2, P),
        "spending.shop_id_last": ("south", P),
        "spending.shop_id_distinct_7d": (2, P),
        "profile.level": ("gold", P),
        "trade.value_sum_1d": (3.0, P),
    }
    assert fetches == [3]
    assert (got.rows, got.instant_us) == (1, NOON)
    assert got.sequences["spending"].tolist() == [1]
    assert got.as_of_us["profile"].tolist() == [NOON]
    assert got.ages_us["spending.count_1d"].to_pylist() == [0]
    assert got.ages_us["profile.level"].to_pylist() == [300 * DAY]


def test_null_missing_and_present_are_told_apart(store):
    got, _ = read(store, [9, 8, 10], ["north", "north", "nowhere"], NOON)
    assert row_of(got)["spending.value_sum_1d"] == (None, N)
    assert row_of(got)["spending.shop_id_last"] == (None, N)
    assert row_of(got)["spending.count_1d"] == (1, P)
    assert row_of(got)["profile.level"] == (None, M)
    assert row_of(got, 1)["spending.value_sum_1d"] == (None, M)
    assert row_of(got, 1)["spending.count_1d"] == (0, P)
    assert row_of(got, 1)["profile.level"] == (None, N)
    assert row_of(got, 2)["spending.count_1d"] == (0, P)
    assert row_of(got, 2)["spending.shop_id_last"] == (None, M)
    assert got.ages_us["spending.count_1d"].to_pylist() == [HOUR, 29 * DAY, None]
    assert got.ages_us["trade.value_sum_1d"].to_pylist() == [2 * DAY, 2 * DAY, None]


def test_the_ttl_is_applied_at_the_read_to_the_microsecond(store):
    alive, _ = read(store, [8, 10], ["north", "north"], NOON + DAY)
    assert row_of(alive)["spending.shop_id_last"] == ("north", P)
    dead, _ = read(store, [8, 10], ["north", "north"], NOON + DAY + 1)
    assert row_of(dead)["spending.shop_id_last"] == (None, E)
    assert row_of(dead)["spending.count_1d"] == (None, E)
    assert row_of(dead, 1)["spending.count_1d"] == (0, P)
    assert row_of(dead, 1)["spending.shop_id_last"] == (None, M)
    assert row_of(dead)["profile.level"] == (None, N)


def test_past_its_next_change_a_row_is_computed_with_one_more_fetch_and_then_remembered(store):
    features = OnlineFeatures(service)
    late = NOON + 23 * HOUR
    got, fetches = read(store, [7], ["east"], late, features)
    assert row_of(got)["spending.value_sum_1d"] == (0.5, P)
    assert row_of(got)["spending.count_1d"] == (1, P)
    assert fetches == [3, 1 + 3]  # household 7's log, the shop's row and log, and its view's nobody
    got, fetches = read(store, [7], ["south"], late + 5, features)
    assert row_of(got)["spending.value_sum_1d"] == (0.5, P)
    assert fetches == [3, 1]
    got, fetches = read(store, [7], ["south"], late + 6, features)
    assert fetches == [3]
    got, fetches = read(store, [7], ["south"], NOON + DAY, features)
    assert row_of(got)["spending.value_sum_1d"] == (None, M)
    assert len(fetches) == 2


def test_what_is_remembered_is_forgotten_when_the_row_is_replaced(store, tmp_path):
    features, late = OnlineFeatures(service), NOON + 23 * HOUR
    read(store, [7], ["south"], late, features)
    form = ViewFormat(spending)
    encoded = form.encode_key(7)
    log, _ = form.logs.decode(store.get_many([form.keys.log(encoded)])[0])
    newer = form.row_at(log, Stamp(2, NOON), NOON)
    store._values[form.keys.row(encoded)] = newer
    store._values[form.keys.log(encoded)] = form.logs.encode(log, Stamp(2, NOON))
    got, _ = read(store, [7], ["south"], late, features)
    assert got.sequences["spending"].tolist() == [2]


def test_reading_blocks_gives_the_same(store):
    for t in (NOON, NOON + 23 * HOUR, NOON + 8 * DAY):
        keys: dict[str, list[Any]] = {"household": [7, 8, 9, 10], "shop": ["north", "south", "x", "north"]}
        blocking = FEATURES.read_blocking(store, keys, t)
        awaited, _ = read(store, keys["household"], keys["shop"], t)
        assert [row_of(blocking, i) for i in range(4)] == [row_of(awaited, i) for i in range(4)]


def test_no_rows_are_read_as_none(store):
    got, _ = read(store, [], [], NOON)
    assert got.rows == 0
    assert all(len(values) == 0 for values in got.columns.values())


def test_a_service_of_requests_alone_reads_nothing(store):
    got, fetches = read(store, [1], ["x"], NOON, OnlineFeatures(FeatureService("bare", [Request("n", Int64)])))
    assert got.columns == {}
    assert fetches in ([], [0])


def test_only_the_features_of_the_service_are_given(store):
    features = OnlineFeatures(FeatureService("one", [spending["count_1d"]]))
    assert features.entities == ("household",)
    got = features.read_blocking(store, {"household": [7], "unheard_of": [1, 2]}, NOON)
    assert list(got.columns) == ["spending.count_1d"]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"household": [1]}, "no keys are given for entity 'shop'"),
        ({"household": [1, 2], "shop": ["a"]}, "different numbers of keys"),
        ({"household": ["7"], "shop": ["a"]}, "entity 'household': key '7' is str, not an integer"),
        ({"household": [True], "shop": ["a"]}, "key True is bool"),
        ({"household": [2**63], "shop": ["a"]}, "outside the range"),
        ({"household": [7], "shop": [5]}, "entity 'shop': key 5 is int, not a string"),
        ({"household": [7], "shop": ["\ud800"]}, "not valid Unicode"),
    ],
)
def test_keys_that_cannot_be_looked_up_are_refused_by_name(store, keys, says):
    with pytest.raises(EntityKeyError) as caught:
        FEATURES.read_blocking(store, keys, NOON)
    assert says in str(caught.value)


def test_numpy_keys_are_looked_up(store):
    got = FEATURES.read_blocking(store, {"household": list(np.array([7])), "shop": ["south"]}, NOON)
    assert row_of(got)["spending.count_1d"] == (2, P)


@pytest.mark.parametrize("household", [7, 10])
def test_a_read_before_the_materialised_instant_names_both(store, household):
    says = r"11:59:59.999999Z.*2017-06-01T12:00:00Z.*read at a later instant.*docs/operations.md"
    with pytest.raises(ReadBeforeRow, match=says) as caught:
        read(store, [household], ["south"], NOON - 1)
    assert caught.value.valid_from_us == NOON


def test_a_read_before_the_year_1_is_refused_like_any_that_is_too_early(store):
    with pytest.raises(ReadBeforeRow, match=r"read at -62135596800000001 us, but .* 2017-06-01T12:00:00Z"):
        read(store, [7], ["south"], EARLIEST_US - 1)


def test_a_view_that_was_never_materialised_is_an_error_and_not_a_missing_value():
    with pytest.raises(NotMaterialised, match=r"feature view 'spending'.*unskew materialise"):
        read(MemoryStore(), [7], ["south"], NOON)


def test_a_log_that_is_gone_or_of_another_version_is_an_error_and_not_a_stale_value(store):
    form = ViewFormat(spending)
    log_key = form.keys.log(form.encode_key(7))
    log, stamp = form.logs.decode(store._values[log_key])
    store._values[log_key] = form.logs.encode(log, Stamp(stamp.sequence, stamp.as_of_us + 1))
    for _ in range(2):
        with pytest.raises(RowFormatError, match=r"changed at 2017-06-02T11:00:00Z.*noeviction"):
            read(store, [7], ["south"], NOON + 23 * HOUR)
        store._values.pop(log_key, None)


def test_corrupt_bytes_are_an_error_naming_the_view(store):
    form = ViewFormat(profile)
    key = form.keys.row(form.encode_key(7))
    store._values[key] = store._values[key][:-1] + b"?"
    with pytest.raises(RowFormatError, match=r"'profile'.*checksum"):
        read(store, [7], ["south"], NOON)


def test_what_changes_between_the_two_fetches_is_read_whole(store):
    """A materialisation lands between the fetches: the answer is of the new version, row and log alike."""

    class Racing(Counting):
        async def fetch(self, keys):
            if self.fetches:
                form = ViewFormat(spending)
                encoded = form.encode_key(7)
                log, _ = form.logs.decode(store._values[form.keys.log(encoded)])
                stamp = Stamp(2, NOON + HOUR)
                store._values[form.keys.row(encoded)] = form.row_at(log, stamp, NOON + HOUR)
                store._values[form.keys.log(encoded)] = form.logs.encode(log, stamp)
            return await super().fetch(keys)

    late = NOON + 23 * HOUR
    got = asyncio.run(OnlineFeatures(service).read(Racing(store), {"household": [7], "shop": ["south"]}, late))
    assert got.sequences["spending"].tolist() == [2]
    assert row_of(got)["spending.value_sum_1d"] == (0.5, P)
