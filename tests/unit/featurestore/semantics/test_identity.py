"""Identities: injective as bytes, and content told apart."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.foundation.errors import SemanticsError
from featurestore.semantics.identity import LONGEST_KEY_BYTES, content_hashes, identity_keys, identity_numbers
from featurestore.semantics.value import Bool, Column, Decimal, Float64, Int64, String, Timestamp, column

TEXT = st.text(alphabet="aé😀\x00\x01", max_size=6) | st.sampled_from(["a" * 387, "a" * 388, "a" * 500, "b" * 500])
WHOLE = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, 256, 2**53, 2**53 + 1])


@given(st.lists(st.tuples(TEXT, WHOLE, TEXT), min_size=2, max_size=20))
def test_keys_are_equal_exactly_when_identities_are(rows):
    keys = identity_keys(
        [column(dtype, list(of)) for dtype, of in zip((String, Int64, String), zip(*rows, strict=True), strict=True)]
    )
    assert all((keys[i] == keys[j]) == (rows[i] == rows[j]) for i in range(len(rows)) for j in range(i))
    assert max(map(len, keys)) <= LONGEST_KEY_BYTES


def test_a_key_is_the_same_in_every_process():
    keys = [b"\x00" + b"\xff" * 7 + b"\xfe", b"\x00" * 7 + b"\x01\x02"]
    assert identity_keys([column(Int64, [-2, 258])]) == keys
    assert identity_keys([column(String, ["é"])]) == [b"\x00\x00\x00\x00\x02\xc3\xa9"]


def test_a_hashed_key_equals_no_plain_one():
    (hashed,) = identity_keys([column(String, ["x" * 1000])])
    assert len(hashed) == 33
    (plain,) = identity_keys([column(String, [hashed[5:].decode("latin-1")])])
    assert plain[0] != hashed[0]


def test_a_null_identity_is_refused():
    with pytest.raises(SemanticsError, match="identity is null"):
        identity_keys([column(Int64, [1]), column(String, [None])])


def test_numbers_of_whole_numbers_are_their_bits():
    assert identity_numbers([column(Int64, [5, -1])]).tolist() == [5, 2**64 - 1]
    numbers = identity_numbers([column(Int64, [5, 5, 6]), column(Timestamp, [1, 1, 1])])
    assert numbers.dtype == np.uint64
    assert numbers[0] == numbers[1] != numbers[2]
    assert identity_numbers([column(String, [])]).tolist() == []


CELLS = {
    Int64: st.none() | st.sampled_from([0, 1, 2**53 + 1]),
    Float64: st.none() | st.sampled_from([0.0, -0.0, 1.5, math.inf, math.nan]),
    Bool: st.none() | st.booleans(),
    String: st.none() | st.sampled_from(["", "a", "\x00"]),
    Decimal(2): st.none() | st.sampled_from([0, 110]),
}


@given(st.lists(st.tuples(*CELLS.values()), min_size=2, max_size=20))
def test_contents_are_equal_exactly_when_all_values_are(rows):
    columns = [column(dtype, list(of)) for dtype, of in zip(CELLS, zip(*rows, strict=True), strict=True)]
    hashes = content_hashes(columns)
    told = [tuple(struct.pack(">d", v) if isinstance(v, float) else v for v in row) for row in rows]
    assert all((hashes[i] == hashes[j]) == (told[i] == told[j]) for i in range(len(rows)) for j in range(i))
    assert {len(each) for each in hashes} == {8}


def test_what_stands_at_a_null_is_no_content_and_nan_is_one():
    nulls = np.array([True, True, False, False])
    values = np.array([1.0, 2.0, np.nan, 0.0])
    values[2:].view(np.int64)[:] = [0x7FF8000000000001, 0x7FF8000000000002]
    one, other, first, second = content_hashes([Column(Float64, values, nulls)])
    assert one == other
    assert first == second != one


def test_texts_do_not_run_into_one_another():
    first, second = content_hashes([column(String, ["ab", "a"]), column(String, ["c", "bc"])])
    assert first != second


def test_no_columns_have_no_content():
    with pytest.raises(SemanticsError, match="no content"):
        content_hashes([])
