from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.online.errors import EntityKeyError
from featurestore.online.keys import (
    MAX_KEY_BYTES,
    MAX_PLAIN_BYTES,
    NOBODY,
    SourceKeys,
    ViewKeys,
    bucket,
    bucket_of,
    key_encoder,
)
from featurestore.semantics.value import Int64, String

KEYS = ViewKeys("0123456789abcdef" * 4)
integer = key_encoder(Int64, "household")
text = key_encoder(String, "shop")


def test_a_key_reads_as_documented_and_never_changes():
    assert KEYS.row(integer(42)) == b"unskew:{5a4}:r:0123456789abcdef:i:42"
    assert KEYS.log(text("Zürich")) == b"unskew:{24b}:l:0123456789abcdef:s:Z\xc3\xbcrich"


def test_row_and_log_of_a_key_share_the_bucket_and_so_do_all_views_of_it():
    other = ViewKeys("f" * 64)
    stored = [KEYS.row(integer(7)), KEYS.log(integer(7)), other.row(integer(7))]
    assert len({bucket_of(key) for key in stored}) == 1
    assert int(bucket_of(stored[0]), 16) == bucket(integer(7))


def test_keys_spread_over_the_buckets():
    counts = Counter(bucket(integer(i)) for i in range(100_000))
    assert len(counts) == 4096
    assert max(counts.values()) < 3 * 100_000 / 4096


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_different_integers_have_different_keys(left, right):
    assert (integer(left) == integer(right)) == (left == right)


@given(st.text(max_size=60), st.text(max_size=60))
def test_different_strings_have_different_keys_and_none_is_nobodys(left, right):
    assert (text(left) == text(right)) == (left == right)
    assert text(left) != NOBODY


def test_numpy_integers_are_keys():
    assert integer(np.int64(5)) == integer(5)
    assert integer(np.uint8(5)) == integer(5)


@pytest.mark.parametrize("value", [True, "5", 5.0, None, 2**63, -(2**63) - 1, [1]])
def test_what_is_no_integer_key_is_refused_by_name(value):
    with pytest.raises(EntityKeyError, match="entity 'household'"):
        integer(value)


@pytest.mark.parametrize("value", [5, b"x", None, "\ud800"])
def test_what_is_no_string_key_is_refused_by_name(value):
    with pytest.raises(EntityKeyError, match="entity 'shop'"):
        text(value)


def test_a_string_of_465_bytes_is_stored_as_it_is_and_a_longer_one_by_its_digest():
    """The digests are those of ``b2sum -l 256``; a tile's suffix still fits behind the longest key."""
    assert MAX_PLAIN_BYTES == 465
    assert text("é" * 232 + "x") == b"s:" + b"\xc3\xa9" * 232 + b"x"
    assert len(KEYS.log(text("x" * 465)) + b"#99999999999") == MAX_KEY_BYTES
    assert text("x" * 466) == b"x:7293777f5300ec3ba551e782162ed2f31e091b3b91c75efc082e9a5a4de5a7fd"
    assert text("é" * 233) == b"x:b291668bb0448049054cdcab09f1fc3f55cfc08ff6f9836b0c004eb1d36b969a"


def test_long_strings_that_differ_anywhere_have_different_keys():
    long = ["k" * 10_000, "k" * 9_999, "k" * 9_999 + "l", "l" + "k" * 9_999]
    keys = {text(value) for value in long}
    assert len(keys) == 4
    assert not keys & {text(key.decode()) for key in keys}
    assert max(len(KEYS.row(key)) for key in keys) < MAX_KEY_BYTES


def test_a_source_keeps_its_own_under_its_short_name():
    """The short name is the beginning of what ``b2sum`` prints."""
    keys = SourceKeys("baskets")
    assert keys.short_name == b"28bfb3d425dd6595"
    assert keys.record == b"unskew:{971}:s:28bfb3d425dd6595:record"
    assert keys.commit(12) == b"unskew:{971}:s:28bfb3d425dd6595:c:12"
    assert {bucket_of(key) for key in (keys.record, keys.holder, keys.applied, keys.commit(1))} == {b"971"}


def test_the_index_lies_in_64_of_the_buckets_and_any_identity_of_400_bytes_fits():
    keys = SourceKeys("baskets")
    assert keys.index(b"\x00\x01") == b"unskew:{a40}:e:28bfb3d425dd6595:\x00\x01"
    counts = Counter(bucket_of(keys.index(b"%d" % i)) for i in range(64_000))
    assert len(counts) == 64
    assert max(counts.values()) < 1200
    assert len(keys.index(bytes(400))) <= MAX_KEY_BYTES


def test_every_stored_key_has_its_buckets_fence():
    keys = SourceKeys("baskets")
    assert keys.fence(KEYS.row(integer(42))) == b"unskew:{5a4}:f:28bfb3d425dd6595"
    assert len(set(keys.fences())) == 4096
    assert {keys.fence(keys.index(b"%d" % i)) for i in range(1000)} <= set(keys.fences())
