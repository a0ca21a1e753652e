import struct

from hypothesis import given
from hypothesis import strategies as st

from featurestore.online.remembered_rows import ENTRY_BYTES, ROW_BYTES, RememberedRows

AT_US = 7


def computed_row(size=60, valid_from=0, next_change=10):
    """Return bytes that say nothing but their interval."""
    return bytes(32) + struct.pack("<qq", valid_from, next_change) + bytes(size - 48)


COMPUTED = computed_row()
STORED = b"stored" * 2
ROOM_FOR_THREE_TWICE = 6 * (ENTRY_BYTES + ROW_BYTES + 12 + 60)


def get(rows, key, stored, t_us):
    return rows.recall([key], [stored], [0], t_us)[0]


def filled(keys):
    rows = RememberedRows(ROOM_FOR_THREE_TWICE)
    for key in keys:
        rows.put([(key, STORED, [COMPUTED])])
    return rows


def kept(rows, keys):
    return [key for key in keys if rows.knows(key, STORED)]


def test_a_computed_row_is_given_for_the_row_it_was_computed_instead_of_only():
    rows = filled("abc")
    assert get(rows, "a", STORED, AT_US) == COMPUTED
    assert get(rows, "a", b"another", AT_US) is None
    assert get(rows, "z", STORED, AT_US) is None
    new = computed_row(next_change=11)
    rows.put([("a", b"another", [new])])
    assert (get(rows, "a", b"another", AT_US), get(rows, "a", STORED, AT_US)) == (new, None)
    assert (rows.knows("a", b"another"), rows.knows("a", STORED), rows.knows("z", STORED)) == (True, False, False)


def test_the_places_that_are_asked_for_are_given_in_their_order():
    rows = filled("ac")
    assert rows.recall("abc", [STORED] * 3, [2, 1, 0], AT_US) == [COMPUTED, None, COMPUTED]


def test_each_of_several_rows_is_given_while_it_is_exact():
    rows = RememberedRows(ROOM_FOR_THREE_TWICE)
    first, second = computed_row(60, 6, 8), computed_row(60, 8, 9)
    rows.put([("a", STORED, [first, second])])
    assert [get(rows, "a", STORED, t) for t in (5, 6, 7, 8, 9)] == [None, first, first, second, None]
    assert rows.knows("a", STORED)


def test_when_half_the_room_is_full_what_was_not_used_since_it_was_so_before_goes():
    rows = filled("abcdef")
    get(rows, "b", STORED, AT_US)
    assert kept(rows, "abcdef") == ["b", "d", "e", "f"]
    rows.put([("g", STORED, [COMPUTED])])
    rows.put([("h", STORED, [COMPUTED])])
    rows.put([("i", STORED, [COMPUTED])])
    assert kept(rows, "abcdefghi") == ["b", "g", "h", "i"]


def test_one_that_was_looked_for_in_vain_counts_as_unused():
    rows = filled("abcdef")
    get(rows, "b", b"another row", AT_US)
    rows.put([("g", STORED, [COMPUTED])])
    assert kept(rows, "abcdefg") == ["d", "e", "f", "g"]


def test_what_takes_more_than_half_the_room_is_not_kept():
    rows = filled("a")
    rows.put([("b", STORED, [computed_row(10_000)])])
    assert kept(rows, "ab") == ["a"]


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.binary(max_size=900), st.lists(st.integers(48, 400), min_size=1, max_size=3)),
        max_size=40,
    )
)
def test_what_is_held_is_counted_right_and_never_more_than_the_limit(puts):
    rows = RememberedRows(5_000)
    for key, stored, sizes in puts:
        rows.put([(key, stored, [computed_row(size) for size in sizes])])
        halves = [
            sum(ENTRY_BYTES + len(e.stored) + sum(ROW_BYTES + len(row) for row in e.rows if row) for e in half.values())
            for half in (rows._newer, rows._older)
        ]
        assert rows._newer_bytes == halves[0]
        assert sum(halves) <= 5_000
