import numpy as np
import pytest

from featurestore.online.envelope import Stamp
from featurestore.online.event_log import LogCodec, LogLimits
from featurestore.online.key_log import KeyLog
from featurestore.online.key_logs import apply_all
from featurestore.semantics.aggregate import Aggregate, EventLog, Kind
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import Int64, String, column

COLUMNS = {"plain": [("x", Int64), ("y", Int64)], "with strings": [("x", Int64), ("name", String)]}
KEYS, COMMITS, LATE_US = 12, 40, 200


def codec_of(columns):
    aggregates = [Aggregate(Kind.SUM, "x", Int64, 2_500), Aggregate(Kind.LAST, "x", Int64, None)]
    limits = LogLimits(chunks=6, hot_chunks=5, hot_versions=12, tile_versions=8)
    return LogCodec("spending", "ab" * 32, columns, aggregates, limits)


class Play:
    """Draw commits, and apply each to logs of its own in two ways."""

    def __init__(self, columns, seed):
        self.chance = np.random.default_rng(seed)
        self.columns = columns
        self.codec = codec_of(columns)
        self.stored: list[tuple[dict[bytes, bytes | None], dict[bytes, bytes | None]]] = [({}, {}) for _ in range(KEYS)]
        self.ones, self.others = ([self.empty(key, way) for key in range(KEYS)] for way in range(2))
        self.next_id = 0

    def empty(self, key, way):
        return KeyLog.empty(self.codec, 0, lambda parts: [self.stored[key][way].get(part) for part in parts])

    def drawn(self, a_us):
        """Return versions of some keys, in total order by key, and where each key's are."""
        counts = self.chance.choice([0, 1, 1, 1, 2, 3], KEYS)
        n = int(counts.sum())
        late_us = [np.sort(self.chance.choice([0, 0, 0, LATE_US], m)) for m in counts]
        event_us = np.concatenate([a_us - of[::-1] + np.arange(len(of)) for of in late_us])
        values = {
            name: [None if self.chance.random() < 0.1 else int(x) for x in self.chance.integers(-99, 99, n)]
            for name, _ in self.columns
        }
        columns = {
            name: column(dtype, values[name] if dtype is Int64 else [x if x is None else f"ä{x}" for x in values[name]])
            for name, dtype in self.columns
        }
        ids = np.arange(self.next_id, self.next_id + n, dtype=np.uint64)
        self.next_id += n
        log = EventLog(event_us, np.full(n, a_us), np.full(n, NEVER_US), columns, ids)
        ends = np.cumsum(counts).tolist()
        return self.codec.layout.pack(log), list(zip([0, *ends[:-1]], ends, strict=True))

    def commit(self, sequence):
        a_us, stamp = 100 * sequence, Stamp(sequence, 100 * sequence)
        new, bounds = self.drawn(a_us)
        closed = {
            key: self.chance.integers(0, max(self.next_id, 1), 60).tolist()
            for key in range(KEYS)
            if self.chance.random() < 0.2
        }
        touched = [key for key in range(KEYS) if bounds[key][0] < bounds[key][1] or key in closed]
        places = {place: closed[key] for place, key in enumerate(touched) if key in closed}
        instants = {"floor_us": a_us - 60, "forgotten_us": a_us - 900}
        together = apply_all(
            self.codec,
            [self.ones[key] for key in touched],
            new,
            [bounds[key] for key in touched],
            places,
            stamp=stamp,
            **instants,
        )
        for key, write in zip(touched, together, strict=True):
            ended = np.array(closed.get(key, []), dtype=np.uint64)
            alone = self.others[key].apply(new.take(slice(*bounds[key])), ended, stamp, *instants.values())
            assert write == alone
            for way in self.stored[key]:
                way.update(write.parts)
        return together


@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize("seed", range(3))
def test_a_commit_to_many_logs_writes_what_it_writes_to_each_by_itself(columns, seed):
    play = Play(columns, seed)
    writes = [write for sequence in range(1, COMMITS) for write in play.commit(sequence)]
    assert {write.append for write in writes} == {True, False}
    assert any(write.parts for write in writes), "some keys are hot"
    for one, other in zip(play.ones, play.others, strict=True):
        of_one, of_other = one.versions(), other.versions()
        assert (of_one.words == of_other.words).all()
        assert all((a == b).all() for a, b in zip(of_one.texts, of_other.texts, strict=True))


def test_what_is_appended_in_order_is_seen_in_order_and_what_is_late_is_put_there():
    codec = codec_of([("x", Int64)])
    log = KeyLog.empty(codec, 0)

    def commit(sequence, *event_us):
        m, a_us = len(event_us), 100 * sequence
        ids = np.array([1_000 * sequence + i for i in range(m)], dtype=np.uint64)
        events = EventLog(
            np.array(event_us), np.full(m, a_us), np.full(m, NEVER_US), {"x": column(Int64, [1] * m)}, ids
        )
        stamp = Stamp(sequence, a_us)
        new = codec.layout.pack(events)
        return apply_all(codec, [log], new, [(0, m)], {}, stamp=stamp, floor_us=0, forgotten_us=0)[0]

    commit(1, 10, 20, 30, 40)
    for sequence, event_us, seen in [
        (2, 50, [10, 20, 30, 40, 50]),
        (3, 25, [10, 20, 25, 30, 40, 50]),
        (4, 50, [10, 20, 25, 30, 40, 50, 50]),
    ]:
        assert commit(sequence, event_us).append
        assert log.event_log().event_us.tolist() == seen
        assert log.words()[:, 2].tolist() == seen
    assert log.event_log().available_us.tolist()[-2:] == [200, 400]
