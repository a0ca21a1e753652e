import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.online.envelope import LOG, OLDEST, ROW, STAMP, Stamp, head, refusal, seal, stored_stamp, unpack_stamp

DIGEST = bytes(range(8))
STAMP_3 = Stamp(3, -5)
BODY = b"any body"
STAMPS = st.builds(Stamp, st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1))


def sealed(form=ROW, digest=DIGEST, body=BODY, stamp=STAMP_3):
    return seal(head(form, 0, 36 + len(body), digest, stamp) + body)


@given(STAMPS, STAMPS)
def test_stamps_sort_as_bytes_in_the_order_of_sequence_then_instant(left, right):
    assert (left.pack() < right.pack()) == ((left.sequence, left.as_of_us) < (right.sequence, right.as_of_us))
    assert unpack_stamp(left.pack()) == left
    assert left.pack() >= OLDEST


def test_a_sealed_value_is_accepted_and_gives_its_stamp():
    value = sealed()
    assert refusal(value, ROW, DIGEST, "here") is None
    assert unpack_stamp(stored_stamp(value)) == Stamp(3, -5)
    assert value[STAMP] == Stamp(3, -5).pack()


@pytest.mark.parametrize("stored", [None, b"", b"uR", b"x" * 40, sealed()[:31]])
def test_what_is_no_value_of_ours_is_older_than_any(stored):
    assert stored_stamp(stored) == OLDEST


@given(st.integers(0, len(sealed()) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_wherever_it_is(at, change):
    value = bytearray(sealed())
    value[at] ^= change
    assert refusal(bytes(value), ROW, DIGEST, "here") is not None


@given(st.integers(0, len(sealed()) - 1))
def test_a_truncated_value_is_refused_wherever_it_ends(end):
    assert refusal(sealed()[:end], ROW, DIGEST, "here") is not None


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"", "nothing: not a whole row"),
        (b"hello world" * 5, "68 65 6c 6c 6f"),
        (sealed(LOG), "not a whole row"),
        (sealed() + b"x", "has 45 bytes, but says it has 44"),
        (sealed(b"uR\x02"), "format 2, and this version of unskew reads 1"),
        (sealed(digest=b"another!"), "view digest 616e6f7468657221, not 0001020304050607"),
        (sealed()[:-1] + b"x", "checksum"),
    ],
)
def test_a_refusal_says_what_is_wrong_where_and_the_mend(value, says):
    error = refusal(value, ROW, DIGEST, "row of view 'v'")
    assert error is not None
    assert says in str(error)
    assert error.where == "row of view 'v'"
    assert error.mend
