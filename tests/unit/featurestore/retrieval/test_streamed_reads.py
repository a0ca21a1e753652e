"""Reads of keys that commits came for: a little before a row, past it, and of hot keys."""

import asyncio
import random

import numpy as np
import pytest

from featurestore.definitions import FeatureService
from featurestore.foundation.clock import HOUR
from featurestore.online.envelope import Stamp
from featurestore.online.errors import ReadBeforeRow, RowFormatError
from featurestore.online.event_log import LogLimits
from featurestore.online.key_log import KeyLog
from featurestore.online.memory_store import MemoryStore
from featurestore.online.view_format import ViewFormat
from featurestore.online.view_reader import QUIET_STEPS
from featurestore.retrieval.online_features import OnlineFeatures
from featurestore.semantics.aggregate import EventLog
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import column
from tests.unit.featurestore.retrieval.household import NOON, spending

SERVICE = FeatureService("streamed", [spending])
FORM = ViewFormat(spending, LogLimits(chunks=4, hot_chunks=3, hot_versions=40, tile_versions=8))
SLACK_US = 2 * HOUR
RETAINED_US = 21 * 24 * HOUR


class Shop:
    """A store that commits are written to, and all versions that it was ever given."""

    def __init__(self, seed=0):
        self.store, self.rng = MemoryStore(), random.Random(seed)
        self.flat, self.logs, self.stamps = {}, {}, {}
        self.sequence, self.a = 1, NOON
        self.store.put_values([(FORM.nobody, FORM.nobody_row(Stamp(1, NOON)))])

    def commit(self, key, count=3):
        """Bring some events to a key, some of them late, and end one that it has."""
        self.sequence, self.a = self.sequence + 1, self.a + self.rng.randrange(1, HOUR // 2)
        rows = self.flat.setdefault(key, [])
        closed = [row[3] for row in self.rng.sample(rows, 1 if len(rows) > 5 else 0)]
        for row in rows:
            row[2] = min(row[2], self.a) if row[3] in closed else row[2]
        ages = sorted(self.rng.choice((0, HOUR, 200 * HOUR)) + self.rng.randrange(HOUR) for _ in range(count))[::-1]
        new = [
            [self.a - age, self.a, NEVER_US, self.sequence * 1_000 + i, self.rng.choice((None, 5, 250))]
            for i, age in enumerate(ages)
        ]
        rows += new
        log = self.logs.setdefault(key, KeyLog.empty(FORM.logs, NOON, lambda parts: self.fetch(key, parts)))
        stamp = Stamp(self.sequence, self.a)
        numbers = np.array(closed, dtype=np.uint64)
        write = log.apply(log_of(new), numbers, stamp, self.a - SLACK_US, self.a - RETAINED_US)
        self.stamps[key] = stamp
        self.put(key, write)

    def fetch(self, key, parts):
        return self.store.get_many([FORM.keys.log(FORM.encode_key(key)) + part for part in parts])

    def put(self, key, write):
        encoded = FORM.encode_key(key)
        log_key = FORM.keys.log(encoded)
        before = self.store.get_many([log_key])[0] or b""
        (row,) = FORM.rows_at([self.logs[key]], [self.stamps[key]], self.a)
        self.store.put_values(
            [
                *((log_key + part, value) for part, value in write.parts.items()),
                (log_key, before + write.log if write.append else write.log),
                (FORM.keys.row(encoded), row),
            ]
        )

    def expected(self, key, t_us):
        """Return the row that the flat list of a key's versions gives."""
        rows = sorted(self.flat[key], key=lambda row: row[:2])
        return FORM.rows.decode([FORM.row_at(log_of(rows), self.stamps[key], t_us)])


def log_of(rows):
    event_us, available_us, leave_us, numbers, values = zip(*rows, strict=True) if rows else ((),) * 5
    event, available, leave = (np.array(part, dtype=np.int64) for part in (event_us, available_us, leave_us))
    shops = [None if value is None else f"shop {value}" for value in values]
    columns = {
        "shop_id": column(spending.column_dtype("shop_id"), shops),
        "value": column(spending.column_dtype("value"), list(values)),
    }
    return EventLog(event, available, leave, columns, np.array(numbers, dtype=np.uint64))


def check(shop, keys, t_us, features=None):
    """Compare a read with what the flat lists say, value, status and sequence."""
    got = (features or OnlineFeatures(SERVICE)).read_blocking(shop.store, {"household": keys}, t_us)
    for i, key in enumerate(keys):
        expected = shop.expected(key, t_us)
        values = expected.columns(expected.statuses)
        for slot, feature in enumerate(spending.features):
            name = f"spending.{feature.name}"
            assert got.columns[name].to_pylist()[i] == values[slot].to_pylist()[0], (key, name)
            assert got.statuses[name][i] == expected.statuses[0][slot], (key, name)
        assert got.sequences["spending"][i] == expected.sequence[0]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_reads_before_past_and_inside_rows_say_what_all_versions_say(seed):
    shop = Shop(seed)
    features = OnlineFeatures(SERVICE)
    for _ in range(60):
        shop.commit(shop.rng.choice((1, 1, 1, 2, 3, 4)), shop.rng.choice((1, 2, 9)))
        keys = sorted(shop.flat)
        for t_us in (shop.a, max(shop.a - shop.rng.randrange(SLACK_US), NOON), shop.a + shop.rng.randrange(500 * HOUR)):
            check(shop, keys, t_us, shop.rng.choice((features, None)))
    assert shop.logs[1].hot
    assert not all(log.hot for log in shop.logs.values())


def test_a_read_before_the_floor_is_refused_with_the_instant_from_which_one_is_not():
    shop = Shop()
    for _ in range(30):
        shop.commit(1)
    floor_us = shop.logs[1].floor_us
    check(shop, [1], floor_us)
    with pytest.raises(ReadBeforeRow) as caught:
        check(shop, [1], floor_us - 1)
    assert caught.value.valid_from_us == floor_us > NOON


class Racing:
    """A reader under which a commit comes at certain fetches."""

    def __init__(self, shop, at_fetches):
        self.shop, self.at_fetches, self.fetches = shop, at_fetches, 0

    async def fetch(self, keys):
        self.fetches += 1
        if self.fetches in self.at_fetches:
            for _ in range(8):
                self.shop.commit(1, 12)
        return self.shop.store.get_many(keys)

    async def aclose(self):
        pass


def hot_shop():
    shop = Shop()
    while len(shop.flat.get(1, ())) < 200:
        shop.commit(1, 9)
    return shop


def test_a_hot_read_whose_tiles_are_replaced_under_it_starts_over():
    shop = hot_shop()
    reader, t_us = Racing(shop, {3}), shop.a + 90 * HOUR
    got = asyncio.run(OnlineFeatures(SERVICE).read(reader, {"household": [1]}, t_us))
    assert reader.fetches == 5
    expected = shop.expected(1, t_us)
    assert got.sequences["spending"].tolist() == expected.sequence.tolist() == [shop.sequence]
    assert got.columns["spending.count_1d"].to_pylist() == expected.columns(expected.statuses)[2].to_pylist()


def test_a_hot_read_whose_tiles_are_always_replaced_is_given_up():
    shop = hot_shop()
    reader = Racing(shop, set(range(3, 99, 2)))
    with pytest.raises(RowFormatError, match=r"'spending'"):
        asyncio.run(OnlineFeatures(SERVICE).read(reader, {"household": [1]}, shop.a + 90 * HOUR))
    assert reader.fetches < 20


def test_a_key_that_stays_as_it_is_is_exact_just_before_and_at_each_of_many_changes():
    shop, features = Shop(1), OnlineFeatures(SERVICE)
    shop.commit(1, 30)
    for at_us in _changes(shop.logs[1].event_log(), shop.a, 1 + 3 * QUIET_STEPS):
        check(shop, [1], at_us - 1, features)
        check(shop, [1], at_us, features)


def test_the_next_steps_of_keys_are_computed_once_they_are_read_again():
    shop, features = Shop(2), OnlineFeatures(SERVICE)
    for key in (1, 2, 3):
        shop.commit(key, 12)
    fetched, t_us = [], shop.a
    changes = sorted({at for key in (1, 2, 3) for at in _changes(shop.logs[key].event_log(), t_us, QUIET_STEPS - 2)})
    assert len(changes) > QUIET_STEPS
    for at_us in changes:
        reader = Racing(shop, set())
        asyncio.run(features.read(reader, {"household": [1, 2, 3]}, at_us))
        fetched.append(reader.fetches)
        check(shop, [1, 2, 3], at_us, features)
    assert fetched.count(2) <= 6  # of each key the first time, and the first time after that


def _changes(log, t_us, count):
    changes: list[int] = []
    while len(changes) < count:
        t_us = FORM.next_change_us(log, t_us)
        changes.append(t_us)
    return changes
