import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.online.envelope import Stamp
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


def log_of(event_us, available_us, leave_us, items):
    columns = {name: column(dtype, [item[i] for item in items]) for i, (name, dtype) in enumerate(COLUMNS.items())}
    event, available, leave = (np.array(part, dtype=np.int64) for part in (event_us, available_us, leave_us))
    return EventLog(event, available, leave, columns)


@st.composite
def logs(draw: st.DrawFn) -> EventLog:
    m = draw(st.integers(0, 9))
    event_us = draw(st.lists(INT64, min_size=m, max_size=m))
    available_us = draw(st.just(event_us) | st.lists(INT64, min_size=m, max_size=m))
    leave_us = draw(st.just([NEVER_US] * m) | st.lists(INT64, min_size=m, max_size=m))
    return log_of(event_us, available_us, leave_us, draw(st.lists(ITEMS, min_size=m, max_size=m)))


def same(left, right):
    instants = all(
        getattr(left, name).tolist() == getattr(right, name).tolist()
        for name in ("event_us", "available_us", "leave_us")
    )
    return instants and all(identical(left.columns[name], right.columns[name]).all() for name in COLUMNS)


@given(logs(), st.integers(0, 2**64 - 1), INT64)
def test_a_log_comes_back_as_it_was(log, sequence, as_of_us):
    decoded, stamp = CODEC.decode(CODEC.encode(log, Stamp(sequence, as_of_us)))
    assert same(decoded, log)
    assert stamp == Stamp(sequence, as_of_us)


@given(logs(), logs())
def test_an_appended_chunk_continues_the_log_and_gives_its_stamp(first, second):
    decoded, stamp = CODEC.decode(CODEC.encode(first, Stamp(1, 5)) + CODEC.encode(second, Stamp(2, 6)))
    assert same(decoded, joined(first, second))
    assert stamp == Stamp(2, 6)


def joined(first, second):
    items = [list(zip(*[log.columns[name].to_pylist() for name in COLUMNS], strict=True)) for log in (first, second)]
    return log_of(
        first.event_us.tolist() + second.event_us.tolist(),
        first.available_us.tolist() + second.available_us.tolist(),
        first.leave_us.tolist() + second.leave_us.tolist(),
        items[0] + items[1],
    )


def test_no_changed_or_missing_byte_of_any_chunk_goes_unnoticed():
    chunk = CODEC.encode(log_of([1, 2], [1, 5], [9, NEVER_US], [(1, 2, True, "x", 0.5, 0.25, 7)] * 2), Stamp(1, 1))
    good = chunk * 2
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


def test_a_plain_event_of_one_decimal_takes_16_bytes_and_its_null_bit():
    codec = LogCodec("spending", DIGEST, [("amount", Decimal(2))])
    logs = [
        EventLog(at := np.arange(m, dtype=np.int64), at, np.full(m, NEVER_US), {"amount": column(Decimal(2), [5] * m)})
        for m in (8, 16)
    ]
    small, large = (len(codec.encode(log, Stamp(1, 1))) for log in logs)
    assert large - small == 8 * 16 + 1
