import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from featurestore.online.envelope import Stamp
from featurestore.online.errors import RowFormatError
from featurestore.online.row_codec import FinalisedRows, RowCodec, times
from featurestore.semantics.status import Status
from featurestore.semantics.value import (
    Bool,
    Column,
    Decimal,
    DType,
    Float32,
    Float64,
    Int64,
    String,
    Timestamp,
    column,
    identical,
)

DIGEST = "ab" * 32
INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES = {
    Int64: INT64 | st.sampled_from([2**53 + 1, -(2**63)]),
    Float64: st.floats(),
    Float32: st.floats(width=32),
    Bool: st.booleans(),
    String: st.text(max_size=12),
    Timestamp: INT64,
    Decimal(2): st.integers(-(10**18), 10**18),
}


@st.composite
def finalised(draw: DrawFn) -> tuple[list[DType], FinalisedRows]:
    dtypes = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=20))
    n = draw(st.integers(1, 5))
    columns, statuses = [], []
    for dtype in dtypes:
        status = draw(st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=n, max_size=n))
        items = draw(st.lists(VALUES[dtype], min_size=n, max_size=n))
        columns.append(column(dtype, [None if s else item for s, item in zip(status, items, strict=True)]))
        statuses.append(np.array(status, dtype=np.uint8))
    instants = [np.array(draw(st.lists(INT64, min_size=n, max_size=n)), dtype=np.int64) for _ in range(3)]
    has_latest = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    return dtypes, FinalisedRows(columns, statuses, instants[0], has_latest, instants[1], instants[2])


def codec_of(dtypes):
    return RowCodec("spending", DIGEST, [(f"feature_{i}", dtype) for i, dtype in enumerate(dtypes)])


def one_row(dtype=Int64, item=5, status=Status.PRESENT):
    values = column(dtype, [item if status == Status.PRESENT else None])
    at = np.array([10], dtype=np.int64)
    return FinalisedRows([values], [np.array([status], dtype=np.uint8)], at, np.array([True]), at + 10, at + 20)


@settings(max_examples=200)
@given(finalised(), st.integers(0, 2**63 - 1), INT64)
def test_rows_come_back_bit_for_bit_one_by_one_and_together(case, sequence, as_of_us):
    dtypes, rows = case
    codec = codec_of(dtypes)
    packed = codec.encode(rows, Stamp(sequence, as_of_us))
    n = len(packed)
    for first, decoded in [(0, codec.decode(packed)), *((i, codec.decode([row])) for i, row in enumerate(packed))]:
        part = slice(first, first + len(decoded.rows))
        for slot, (values, statuses) in enumerate(zip(rows.columns, rows.statuses, strict=True)):
            wanted = Column(values.dtype, values.values[part], values.nulls[part])
            assert identical(decoded.columns(decoded.statuses)[slot], wanted).all()
            assert decoded.statuses[:, slot].tolist() == statuses[part].tolist()
        assert decoded.sequence.tolist() == [sequence] * len(decoded.rows)
        assert decoded.as_of_us.tolist() == [as_of_us] * len(decoded.rows)
        assert decoded.has_latest.tolist() == rows.has_latest[part].tolist()
        assert (decoded.latest_event_us == rows.latest_event_us[part])[decoded.has_latest].all()
    assert [times(row) for row in packed] == [
        (int(rows.valid_from_us[i]), int(rows.next_change_us[i])) for i in range(n)
    ]


def test_equal_values_give_equal_bytes_whatever_stands_at_a_null_and_whichever_nan():
    codec = codec_of([Float64])
    odd_nan = np.frombuffer(struct.pack("<Q", 0xFFF8000000000123), dtype=np.float64)
    plain, odd = one_row(Float64, float("nan")), one_row(Float64, float("nan"))
    odd.columns[0].values[:] = odd_nan
    assert codec.encode(plain, Stamp(1, 1)) == codec.encode(odd, Stamp(1, 1))
    null, filled = one_row(Float64, status=Status.NULL), one_row(Float64, status=Status.NULL)
    filled.columns[0].values[:] = 99.0
    assert codec.encode(null, Stamp(1, 1)) == codec.encode(filled, Stamp(1, 1))


def test_the_bytes_are_laid_out_as_documented():
    (row,) = codec_of([Int64]).encode(one_row(item=2**53 + 1), Stamp(7, -9))
    assert row[:4] == b"uR\x01\x01"
    assert struct.unpack_from("<I", row, 4) == (len(row),) == (76,)
    assert row[8:16] == bytes.fromhex(DIGEST[:16])
    assert struct.unpack_from(">QQ", row, 16) == (7, 2**63 - 9)
    assert struct.unpack_from("<qqq", row, 32) == (20, 30, 10)
    assert row[56:64] == bytes(8)
    assert struct.unpack_from("<q", row, 64) == (2**53 + 1,)


def test_twenty_numbers_take_228_bytes():
    one = one_row(Float64, 0.5)
    rows = FinalisedRows(
        one.columns * 20, one.statuses * 20, one.latest_event_us, one.has_latest, one.valid_from_us, one.next_change_us
    )
    assert [len(row) for row in codec_of([Float64] * 20).encode(rows, Stamp(1, 1))] == [228]


@pytest.mark.parametrize("batch", [1, 3])
def test_no_changed_or_missing_byte_goes_unnoticed(batch):
    codec = codec_of([Int64, String])
    one = one_row()
    rows = FinalisedRows(
        [*one.columns, column(String, ["grocery"])],
        [*one.statuses, one.statuses[0]],
        one.latest_event_us,
        one.has_latest,
        one.valid_from_us,
        one.next_change_us,
    )
    (good,) = codec.encode(rows, Stamp(1, 1))
    others = [good] * (batch - 1)
    for at in range(len(good)):
        changed = good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1 :]
        for bad in (changed, good[:at]):
            with pytest.raises(RowFormatError, match="'spending'"):
                codec.decode([*others, bad])


def test_a_row_of_another_view_or_with_too_few_features_is_refused():
    (row,) = codec_of([Int64]).encode(one_row(), Stamp(1, 1))
    with pytest.raises(RowFormatError, match="of view digest abababab"):
        RowCodec("other", "cd" * 32, [("f", Int64)]).decode([row])
    with pytest.raises(RowFormatError, match="too short for the features"):
        codec_of([Int64, Int64]).decode([row])


def test_a_whole_row_is_told_from_a_damaged_absent_or_older_one():
    codec = codec_of([Int64])
    (row,) = codec.encode(one_row(), Stamp(2, 5))
    assert codec.whole(row, Stamp(2, 5).pack())
    assert codec.whole(row, Stamp(1, 9).pack())
    assert not codec.whole(row, Stamp(2, 6).pack())
    assert not codec.whole(row[:-1], Stamp(2, 5).pack())
    assert not codec.whole(None, Stamp(2, 5).pack())


def test_columns_that_are_not_the_views_and_statuses_that_contradict_nulls_are_refused():
    codec = codec_of([Int64])
    with pytest.raises(RowFormatError, match=r"float64.*int64"):
        codec.encode(one_row(Float64, 1.0), Stamp(1, 1))
    wrong = one_row()
    wrong.statuses[0][:] = Status.NULL
    with pytest.raises(RowFormatError, match="contradict"):
        codec.encode(wrong, Stamp(1, 1))


def test_no_rows_decode_to_no_rows():
    decoded = codec_of([Int64, String]).decode([])
    assert decoded.exact_at(0)
    assert [len(values) for values in decoded.columns(decoded.statuses)] == [0, 0]
    assert decoded.statuses.shape == (0, 2)


def test_rows_are_exact_inside_their_interval_only():
    codec = codec_of([Int64])
    rows = codec.encode(one_row(), Stamp(1, 1)) * 2
    for part in (rows[:1], rows):
        decoded = codec.decode(part)
        assert [decoded.exact_at(t) for t in (19, 20, 29, 30)] == [False, True, True, False]
