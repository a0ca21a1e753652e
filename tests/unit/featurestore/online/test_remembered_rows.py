import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.online.remembered_rows import ENTRY_BYTES, RememberedRows

AT_US = 7


def computed_row(size=60, valid_from=0, next_change=10):
    """Return bytes that say nothing but their interval."""
    return bytes(32) + struct.pack("<qq", valid_from, next_change) + bytes(size - 48)


COMPUTED = computed_row()
ROOM_FOR_THREE = 3 * (ENTRY_BYTES + 12 + 60)


def three(keys="abc"):
    rows = RememberedRows(ROOM_FOR_THREE)
    for key in keys:
        rows.put(key, b"stored" * 2, COMPUTED)
    return rows


def kept(rows, keys="abcd"):
    return [key for key in keys if rows.get(key, b"stored" * 2, AT_US) is not None]


def test_a_computed_row_is_given_for_the_row_it_was_computed_instead_of_only():
    rows = three()
    assert rows.get("a", b"stored" * 2, AT_US) == COMPUTED
    assert rows.get("a", b"stored" * 3, AT_US) is None
    assert rows.get("z", b"stored" * 2, AT_US) is None
    new = computed_row(next_change=11)
    rows.put("a", b"stored" * 3, new)
    assert (rows.get("a", b"stored" * 3, AT_US), rows.get("a", b"stored" * 2, AT_US)) == (new, None)


@pytest.mark.parametrize(("valid_from", "next_change", "given"), [(7, 8, True), (8, 9, False), (6, 7, False)])
def test_a_computed_row_is_given_while_it_is_exact_only(valid_from, next_change, given):
    rows = RememberedRows(ROOM_FOR_THREE)
    rows.put("a", b"stored", computed_row(60, valid_from, next_change))
    assert (rows.get("a", b"stored", AT_US) is not None) == given


def test_the_longest_unused_goes_when_room_is_needed():
    rows = three()
    rows.get("a", b"stored" * 2, AT_US)
    rows.put("d", b"stored" * 2, COMPUTED)
    assert kept(rows) == ["a", "c", "d"]


def test_one_that_was_looked_for_in_vain_counts_as_unused():
    rows = three()
    rows.get("a", b"another row", AT_US)
    rows.put("d", b"stored" * 2, COMPUTED)
    assert kept(rows) == ["b", "c", "d"]


@pytest.mark.parametrize(("size", "others"), [(72, ["b", "c"]), (73, ["c"]), (10_000, [])])
def test_a_larger_row_takes_the_place_of_several_and_one_above_the_limit_is_not_kept(size, others):
    rows = three()
    rows.put("d", b"s", computed_row(size - 1))
    assert kept(rows, "abc") == others
    assert (rows.get("d", b"s", AT_US) is None) == (size == 10_000)


@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=900), st.binary(max_size=900)), max_size=40))
def test_what_is_held_is_counted_right_and_never_more_than_the_limit(puts):
    rows = RememberedRows(5_000)
    for key, stored, computed in puts:
        rows.put(key, stored, computed)
        held = [ENTRY_BYTES + len(a) + len(b) for a, b in rows._entries.values()]
        assert rows._held_bytes == sum(held) <= 5_000
