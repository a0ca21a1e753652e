from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.online.envelope import Stamp, seal
from featurestore.online.errors import RowFormatError
from featurestore.online.event_log import LogCodec
from featurestore.semantics.aggregate import EventLog
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import Bool, Decimal, Float32, Float64, Int64, String, Timestamp, column, identical

DIGEST = "ab" * 32
COLUMNS = {
    "amount": Decimal(2),
    "big": Int64,
    "flag": Bool,
    "kind": String,
    "ratio": Float64,
    "small": Float32,
    "when": Timestamp,
}
INT64 = st.integers(-(2**63), 2**63 - 1)
ITEMS = st.tuples(
    st.none() | INT64,
    st.none() | INT64,
    st.none() | st.booleans(),
    st.none() | st.text(max_size=8),
    st.none() | st.floats(),
    st.none() | st.floats(width=32),
    st.none() | INT64,
)
CODEC = LogCodec("spending", DIGEST, list(COLUMNS.items()))


def log_of(event_us, available_us, leave_us, items, ids=None):
    columns = {name: column(dtype, [item[i] for item in items]) for i, (name, dtype) in enumerate(COLUMNS.items())}
    event, available, leave = (np.array(part, dtype=np.int64) for part in (event_us, available_us, leave_us))
    return EventLog(event, available, leave, columns, None if ids is None else np.array(ids, dtype=np.uint64))


@st.composite
def logs(draw: st.DrawFn, available_us: int | None = None) -> EventLog:
    """Draw a log in total order, of one available_at if told so."""
    m = draw(st.integers(0, 9))
    event_us = sorted(draw(st.lists(INT64, min_size=m, max_size=m)))
    available = draw(st.just(event_us) | st.lists(INT64, min_size=m, max_size=m).map(sorted))
    leave_us = draw(st.just([NEVER_US] * m) | st.lists(INT64, min_size=m, max_size=m))
    ids = draw(st.none() | st.lists(st.integers(0, 2**64 - 1), min_size=m, max_size=m)) if m else []
    items = draw(st.lists(ITEMS, min_size=m, max_size=m))
    return log_of(event_us, available if available_us is None else [available_us] * m, leave_us, items, ids)


def same(left, right):
    parts = ("event_us", "available_us", "leave_us", "enter_us")
    instants = all(getattr(left, name).tolist() == getattr(right, name).tolist() for name in parts)
    numbers = [None if log.ids is None else log.ids.tolist() for log in (left, right)]
    columns = all(identical(left.columns[name], right.columns[name]).all() for name in COLUMNS)
    return instants and columns and numbers[0] == numbers[1]


def added(log, closed, stamp):
    return CODEC.addition(CODEC.layout.pack(log), np.array(closed, dtype=np.int64), stamp)


@given(logs(), st.integers(0, 2**64 - 1), INT64, INT64)
def test_a_log_comes_back_as_it_was(log, sequence, as_of_us, floor_us):
    stored = CODEC.encode(log, Stamp(sequence, as_of_us), floor_us)
    decoded, stamp = CODEC.decode(stored)
    assert same(decoded, log)
    assert stamp == Stamp(sequence, as_of_us)
    assert CODEC.read([stored]).logs[0].floor_us == floor_us
    assert len(stored) % 8 == 0


@given(logs(available_us=5), logs(available_us=6), st.data())
def test_an_addition_continues_the_log_closes_versions_and_gives_its_stamp(first, second, data):
    closed = data.draw(st.lists(st.integers(0, len(first) - 1), unique=True) if len(first) else st.just([]))
    decoded, stamp = CODEC.decode(CODEC.encode(first, Stamp(1, 5)) + added(second, closed, Stamp(2, 6)))
    assert same(decoded, joined(first, second, closed, 6))
    assert stamp == Stamp(2, 6)


def joined(first, second, closed, leave_us):
    """Say the same by Python's own sort; of versions equal in both instants the earlier stored one comes first."""
    rows: list[Any] = []
    for log in (first, second):
        values = zip(*[log.columns[name].to_pylist() for name in COLUMNS], strict=True)
        ids = [None] * len(log) if log.ids is None else log.ids.tolist()
        rows += zip(log.event_us.tolist(), log.available_us.tolist(), log.leave_us.tolist(), values, ids, strict=True)
    rows = [
        (event, available, min(leave, leave_us) if place in closed else leave, values, number)
        for place, (event, available, leave, values, number) in enumerate(rows)
    ]
    ordered = sorted(rows, key=lambda row: row[:2])
    events, availables, leaves, items, ids = zip(*ordered, strict=True) if rows else ((),) * 5
    return log_of(events, availables, leaves, items, None if None in ids else ids)


def test_an_addition_alone_two_bases_and_a_closing_of_nothing_are_refused():
    log, stamp = log_of([1], [1], [9], [(1, 2, True, "x", 0.5, 0.25, 7)]), Stamp(1, 1)
    base = CODEC.encode(log, stamp)
    for bad in (added(log, [], stamp), base + base, base + added(log, [1], stamp), base + added(log, [-1], stamp)):
        with pytest.raises(RowFormatError, match=r"'spending'.*unskew materialise"):
            CODEC.decode(bad)


def test_strings_that_are_not_utf_8_or_longer_than_the_log_are_refused():
    codec = LogCodec("spending", DIGEST, [("kind", String)])
    stored = codec.encode(
        EventLog(np.array([1]), np.array([1]), np.array([1]), {"kind": column(String, ["abcd"])}), Stamp(1, 1)
    )
    for good, bad in (
        (b"abcd", b"ab\xffd"),
        (b"\x04" + bytes(7), b"\x09" + bytes(7)),
        (b"\x04" + bytes(7), b"\xff" * 8),
    ):
        assert good in stored
        with pytest.raises(RowFormatError, match=r"UTF-8|lengths"):
            codec.decode(seal(stored.replace(good, bad)[:-4]))


def test_no_changed_or_missing_byte_of_any_chunk_goes_unnoticed():
    log = log_of([1, 2], [1, 5], [9, NEVER_US], [(1, None, True, "x", 0.5, 0.25, 7)] * 2)
    chunk = CODEC.encode(log, Stamp(1, 1))
    good = chunk + added(log, [1], Stamp(1, 1))
    for at in range(len(good)):
        changed = good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1 :]
        for bad in (changed, good[:at]):
            if at == len(chunk) and bad == chunk:
                continue  # one whole chunk is a log
            with pytest.raises(RowFormatError, match="'spending'"):
                CODEC.decode(bad)
            assert not CODEC.whole(bad, Stamp(1, 1).pack())


def test_a_log_is_whole_at_its_own_stamp_only():
    stored = CODEC.encode(log_of([], [], [], []), Stamp(3, 7))
    told = [CODEC.whole(stored, stamp.pack()) for stamp in (Stamp(3, 7), Stamp(3, 6), Stamp(2, 7), Stamp(3, 8))]
    assert told == [True, False, False, False]
    assert not CODEC.whole(None, Stamp(3, 7).pack())


def test_a_log_with_other_columns_than_the_views_is_refused():
    stored = LogCodec("spending", DIGEST, [("big", Int64)]).encode(
        log_of([1], [1], [9], [(1, 2, True, "x", 0.5, 0.25, 7)]), Stamp(1, 1)
    )
    with pytest.raises(RowFormatError, match="lengths"):
        CODEC.decode(stored)
    with pytest.raises(RowFormatError, match="lengths"):
        LogCodec("spending", DIGEST, []).decode(stored)


def test_a_plain_event_of_one_decimal_takes_16_bytes():
    codec = LogCodec("spending", DIGEST, [("amount", Decimal(2))])
    logs = [
        EventLog(at := np.arange(m, dtype=np.int64), at, np.full(m, NEVER_US), {"amount": column(Decimal(2), [5] * m)})
        for m in (8, 16)
    ]
    small, large = (len(codec.encode(log, Stamp(1, 1))) for log in logs)
    assert large - small == 8 * 16
