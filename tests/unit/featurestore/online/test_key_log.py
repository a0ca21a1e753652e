from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from featurestore.online.envelope import Stamp
from featurestore.online.errors import RowFormatError
from featurestore.online.event_log import LogCodec, LogLimits
from featurestore.online.key_log import KeyLog
from featurestore.semantics.aggregate import Aggregate, EventLog, Kind, latest_event_us, next_change_us, state_at
from featurestore.semantics.finalise import finalise
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import Int64, column

WINDOW_US = 100
AGGREGATES = [Aggregate(Kind.SUM, "x", Int64, WINDOW_US), Aggregate(Kind.LAST, "x", Int64, None)]
NONE = np.empty(0, dtype=np.uint64)


def codec_of(**limits):
    return LogCodec("spending", "ab" * 32, [("x", Int64)], AGGREGATES, LogLimits(**limits))


def events(*event_us, available_us, first=None):
    """Return versions numbered as they are late, or from ``first`` on; of value 1."""
    m = len(event_us)
    numbers = range(first, first + m) if first is not None else event_us
    event, available, leave = np.array(event_us), np.full(m, available_us), np.full(m, NEVER_US)
    return EventLog(event, available, leave, {"x": column(Int64, [1] * m)}, np.array(numbers, dtype=np.uint64))


class Key:
    """A key in a store, and as the committer holds it."""

    def __init__(self, codec, floor_us=0):
        self.codec, self.log, self.parts, self.fetched = codec, b"", {}, []
        self.sequence = 0
        self.held = KeyLog.empty(codec, floor_us, self.fetch)

    def fetch(self, suffixes):
        self.fetched += suffixes
        return [self.parts.get(suffix) for suffix in suffixes]

    def commit(self, new, closed=(), a=None, *, slack_us=0, retained_us=10_000):
        a = int(new.available_us[0]) if a is None else a
        self.sequence += 1
        ended = np.array(closed, dtype=np.uint64)
        write = self.held.apply(new, ended, Stamp(self.sequence, a), a - slack_us, a - retained_us)
        self.log = self.log + write.log if write.append else write.log
        for suffix, part in write.parts.items():
            assert (suffix in self.parts) == (part is None), "a part is written once and removed once"
            self.parts.update({suffix: part})
        self.parts = {suffix: part for suffix, part in self.parts.items() if part is not None}
        return write

    def read(self):
        return KeyLog.read(self.codec, self.log, self.fetch)


def test_a_commit_is_appended_until_additions_outnumber_the_base_or_the_chunks_are_many():
    key = Key(codec_of(chunks=4))
    appended = [key.commit(events(at, available_us=at)).append for at in range(1, 12)]
    assert appended == [False, True, True, False, True, True, True, False, True, True, True]
    assert key.read().event_log().event_us.tolist() == list(range(1, 12))


def test_an_appended_commit_writes_its_own_versions_only():
    key = Key(codec_of())
    key.commit(events(*range(1, 50), available_us=50))
    write = key.commit(events(51, available_us=51), closed=[7])
    assert write.append
    assert len(write.log) < 120
    assert key.read().event_log().leave_us[6] == 51


def test_what_no_window_reaches_any_more_goes_when_a_later_event_is_there_for_good():
    key = Key(codec_of(chunks=1))
    for at in range(10, 300, 10):
        key.commit(events(at, available_us=at), retained_us=WINDOW_US, slack_us=5)
    assert key.read().floor_us == 285
    assert key.read().event_log().event_us.tolist() == list(range(180, 300, 10))


def test_what_a_tombstone_may_make_the_latest_again_is_kept_until_events_are_forgotten():
    key = Key(codec_of(chunks=1))
    for at in (10, 400, 800):
        key.commit(events(at, available_us=at), retained_us=600)
    key.commit(events(available_us=0), closed=[800], a=900, retained_us=600)
    assert latest_event_us(key.read().event_log(), 900) == 400
    key.commit(events(available_us=0), closed=[400], a=950, retained_us=600)
    assert latest_event_us(key.read().event_log(), 950) == 10


def test_an_earlier_closing_is_not_made_later_and_one_of_nothing_changes_nothing():
    key = Key(codec_of())
    key.commit(events(5, available_us=5))
    for a in (20, 30):
        key.commit(events(available_us=0), closed=[5, 77], a=a)
    assert key.read().event_log().leave_us.tolist() == [20]


def test_versions_without_numbers_are_refused():
    codec = codec_of()
    plain = EventLog(np.array([1]), np.array([1]), np.array([1]), {"x": column(Int64, [1])})
    with pytest.raises(RowFormatError, match=r"'spending'.*unskew backfill"):
        KeyLog.read(codec, codec.encode(plain, Stamp(1, 1)), list)
    with pytest.raises(RowFormatError, match=r"'spending'.*unskew backfill"):
        KeyLog.empty(codec, 0).apply(plain, NONE, Stamp(1, 1), 0, 0)


def test_a_log_from_history_may_have_no_versions():
    codec = codec_of()
    none = np.empty(0, dtype=np.int64)
    empty = EventLog(none, none, none, {"x": column(Int64, [])})
    assert len(KeyLog.read(codec, codec.encode(empty, Stamp(1, 1)), list).event_log()) == 0


def hot_key(count=1_000, slack_us=0, **limits):
    key = Key(codec_of(**{"hot_versions": 64, "tile_versions": 32, "hot_chunks": 8, **limits}))
    for at in range(1, count, 20):
        key.commit(events(*range(at, at + 20), available_us=at + 20), slack_us=slack_us)
    return key


def test_a_hot_key_is_seen_through_a_tile_per_window_edge():
    key = hot_key()
    read = key.read()
    assert read.hot
    assert len(key.parts) > 20
    key.fetched.clear()
    seen = read.seen_at(1_020)
    assert int(seen.states[0].total[0]) == int(seen.states[0].n_events[0]) == 80
    assert (seen.latest_us.tolist(), seen.has_latest.tolist()) == ([1_000], [True])
    assert len(key.fetched) <= 1
    assert seen.next_change_us[0] == 921 + WINDOW_US


def test_a_hot_key_is_seen_at_every_instant_as_all_its_versions_say():
    """Tiles begin and end at window edges, are closed in part and as a whole, and hold what has not happened yet."""
    key = hot_key(500, 400, hot_versions=16, tile_versions=8)
    key.commit(events(*range(560, 640, 4), available_us=520, first=9_000), slack_us=120)
    key.commit(events(470, available_us=530, first=9_500), closed=[*range(430, 445), 480, 9_001], a=530, slack_us=120)
    key.commit(events(available_us=0), closed=[*range(9_002, 9_030), 500], a=600, slack_us=190)
    log, read = key.read().event_log(), key.read()
    assert read.floor_us <= 410
    for t_us in range(410, 760):
        seen = read.seen_at(t_us)
        for aggregate, state in zip(AGGREGATES, seen.states, strict=True):
            expected = finalise(aggregate, state_at(log, aggregate, t_us))[0].to_pylist()
            assert finalise(aggregate, state)[0].to_pylist() == expected, (t_us, aggregate)
        assert (int(seen.latest_us[0]) if seen.has_latest[0] else None) == latest_event_us(log, t_us)
        assert t_us < seen.next_change_us[0] <= next_change_us(log, (WINDOW_US,), t_us)


def test_a_commit_to_a_hot_key_fetches_no_tile_unless_it_closes_what_is_in_one():
    key = hot_key()
    key.held = key.read()
    key.fetched.clear()
    assert key.commit(events(1_010, available_us=1_020)).append
    assert key.fetched == []
    write = key.commit(events(available_us=0), closed=[500], a=1_030, slack_us=50)
    assert len(key.fetched) == 1
    assert sorted(part is None for part in write.parts.values()) == [False, True]
    closed = key.read().event_log()
    assert closed.leave_us[closed.event_us == 500].tolist() == [1_030]


def test_a_late_event_goes_to_the_tile_where_it_belongs():
    key = hot_key()
    for n, at in enumerate((100, 300, 500), 5_000):
        key.commit(events(at, available_us=1_020 + n, first=n))
    for at in range(7_001, 7_200, 20):
        key.commit(events(*range(at, at + 20), available_us=at + 20))
    read = key.read()
    assert read.event_log().event_us.tolist() == sorted([*range(1, 1_001), 100, 300, 500, *range(7_001, 7_201)])
    spans = read._index.words[3:5].T.tolist()
    assert all(before[1] < after[0] for before, after in pairwise(spans))


def test_tiles_that_no_window_reaches_are_removed():
    key = hot_key()
    key.commit(events(*range(5_000, 5_200), available_us=5_200), retained_us=200)
    key.commit(events(*range(5_400, 5_600), available_us=5_600), retained_us=200)
    assert key.read().event_log().event_us.min() >= 5_200 - 48  # a tile at the edge stays whole
    assert len(key.parts) < 15


def _always(part: bytes | None, suffixes: Sequence[bytes]) -> list[bytes | None]:
    return [part] * len(suffixes)


def test_a_tile_that_is_gone_or_another_is_an_error():
    key = hot_key()
    for part in (None, next(iter(hot_key(600).parts.values()))):
        read = KeyLog.read(key.codec, key.log, partial(_always, part))
        with pytest.raises(RowFormatError, match=r"'spending'.*tile"):
            read.event_log()


def test_no_changed_or_missing_byte_of_a_hot_log_goes_unnoticed():
    key = hot_key(200)
    with pytest.raises(RowFormatError, match="without its tiles"):
        key.codec.decode(key.log)
    for at in range(0, len(key.log), 7):
        for bad in (key.log[:at] + bytes([key.log[at] ^ 0x41]) + key.log[at + 1 :], key.log[:at]):
            if bad and bad == b"".join(key.codec.chunks(key.log)[: bad.count(b"uL\x02") + 1]):
                continue  # whole chunks are a log
            with pytest.raises(RowFormatError, match=r"'spending'"):
                KeyLog.read(key.codec, bad, key.fetch)


def test_what_is_held_is_told():
    key = hot_key()
    read = key.read()
    before = read.nbytes
    read.seen_at(700)
    assert read.nbytes > before > 512 + read._index.words.nbytes
