"""However a key's log is written, it says at every instant what the flat list of its versions says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from featurestore.online.envelope import Stamp
from featurestore.online.event_log import LogCodec, LogLimits
from featurestore.online.key_log import KeyLog, LogWrite
from featurestore.semantics.aggregate import latest_event_us, next_change_us, state_at
from featurestore.semantics.finalise import finalise
from tests.property.key_commits import COLUMNS, WINDOWS_US, Commit, Model, aggregates, commit_to, log_of

AGGREGATES = aggregates()
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""Shrinking such a history takes minutes."""
LIMITS = st.builds(
    LogLimits, st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 2, 4, 8, 99]), st.integers(1, 4)
)


class Stored:
    """What a store holds of one key's log."""

    def __init__(self) -> None:
        self.log = b""
        self.parts: dict[bytes, bytes] = {}

    def write(self, write: LogWrite) -> None:
        self.log = self.log + write.log if write.append else write.log
        for suffix, value in write.parts.items():
            if value is None:
                del self.parts[suffix]
            else:
                self.parts[suffix] = value

    def fetch(self, suffixes: Sequence[bytes]) -> list[bytes | None]:
        return [self.parts.get(suffix) for suffix in suffixes]


def said_at(log, t_us):
    """Return what a log says at an instant: values and statuses as text that is equal when they are bit for bit."""
    values = {}
    for aggregate in AGGREGATES:
        value, status = finalise(aggregate, state_at(log, aggregate, t_us))
        values[aggregate] = (repr(value.to_pylist()[0]), int(status[0]))
    return values, latest_event_us(log, t_us)


def seen_at(log: KeyLog, t_us: int):
    """Return the same of a log that may be hot, computed from as few tiles as that needs."""
    seen, values = log.seen_at(t_us), {}
    for aggregate, state in zip(AGGREGATES, seen.states, strict=True):
        value, status = finalise(aggregate, state)
        values[aggregate] = (repr(value.to_pylist()[0]), int(status[0]))
    return (values, int(seen.latest_us[0]) if seen.has_latest[0] else None), int(seen.next_change_us[0])


def check(log: KeyLog, model, t_us):
    """Check what a log says at an instant, and that nothing changes until its next change."""
    expected = said_at(model, t_us)
    events = log.event_log()
    assert said_at(events, t_us) == expected
    change_us = next_change_us(events, WINDOWS_US, t_us)
    assert said_at(model, change_us - 1) == expected
    if log.hot:
        seen, soonest_us = seen_at(log, t_us)
        assert seen == expected
        assert t_us < soonest_us <= change_us


def instants(commit: Commit, floor_us: int, draw) -> list[int]:
    return [floor_us, commit.a - 1, commit.a, *draw(st.lists(st.integers(floor_us, commit.a + 90), max_size=3))]


@settings(max_examples=150, phases=NO_SHRINKING)
@given(st.data(), LIMITS)
def test_the_log_says_what_the_flat_list_of_versions_says(data, limits):
    codec = LogCodec("spending", "ab" * 32, list(COLUMNS.items()), AGGREGATES, limits)
    stored, model, a = Stored(), Model(), 0
    held = KeyLog.empty(codec, 0, stored.fetch)
    for sequence in range(1, data.draw(st.integers(2, 9))):
        commit = data.draw(commit_to(model, a))
        a = commit.a
        model.take(commit)
        closed = np.array(commit.closed, dtype=np.uint64)
        stored.write(held.apply(log_of(commit.new), closed, Stamp(sequence, a), commit.floor_us, commit.forgotten_us))
        read = KeyLog.read(codec, stored.log, stored.fetch)
        assert codec.whole(stored.log, Stamp(sequence, a).pack())
        for t_us in instants(commit, read.floor_us, data.draw):
            check(data.draw(st.sampled_from([read, held])), model.log(), t_us)
        held = read if data.draw(st.booleans()) else held
