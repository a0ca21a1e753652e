import numpy as np
import pytest

from featurestore.online.envelope import HEAD_BYTES
from featurestore.online.errors import RowFormatError
from featurestore.online.tiles import Summaries, TileIndex, TilesInside, cut, mergeable, part_suffix
from featurestore.online.versions import EVENT, Layout
from featurestore.semantics.aggregate import Aggregate, EventLog, Kind
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.log_states import states_at
from featurestore.semantics.value import Float64, Int64, String, column

LAYOUT = Layout([("x", Int64)])
SUM = Aggregate(Kind.SUM, "x", Int64, 10)
STD = Aggregate(Kind.STD, "x", Int64, 20)


def versions(event_us, values=None):
    at = np.array(event_us, dtype=np.int64)
    held = column(Int64, [0] * len(at) if values is None else values)
    ids = np.arange(len(at)).astype(np.uint64)
    return LAYOUT.pack(EventLog(at, at, np.full(len(at), NEVER_US), {"x": held}, ids))


def wrong(what):
    return RowFormatError(what, where="a test")


def test_events_of_one_instant_are_never_cut_apart():
    pieces = cut(versions([1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 4, 5, 6]), 2)
    assert [piece.words[EVENT].tolist() for piece in pieces] == [[1] * 4, [2, 3, 3, 3, 3, 3], [4, 5, 6]]
    assert cut(versions([]), 2) == []
    assert [len(piece) for piece in cut(versions([5] * 9), 2)] == [9]


def test_sums_beyond_64_bits_are_exact_over_tiles():
    nasty = [2**63 - 1, -(2**63), 2**62, 2**63 - 1, -5]
    summaries = Summaries(LAYOUT, [SUM, STD])
    tiles = np.stack([summaries.summary(versions([1, 2, 3, 4, 5], nasty), 0, 0)] * 3, axis=1)
    head = LAYOUT.unpack(versions([6], [7]))
    for aggregate in (SUM, STD):
        (state,) = states_at([head], [aggregate], 6)
        merged = summaries.merged(aggregate, state, TilesInside(TileIndex(tiles, 3), np.ones(3, dtype=np.bool_)))
        assert merged.total is not None
        assert merged.n_valid is not None
        assert int(merged.total[0]) == 3 * sum(nasty) + 7
        assert merged.n_events.tolist() == merged.n_valid.tolist() == [16]
    assert merged.total_squares is not None
    assert int(merged.total_squares[0]) == 3 * sum(value**2 for value in nasty) + 49


def test_aggregates_of_one_column_share_a_sum_but_not_another_scale():
    layout = Layout([("r", Float64)])
    one = [Aggregate(kind, "r", Float64, window, 2) for kind in (Kind.SUM, Kind.MEAN, Kind.STD) for window in (1, 2)]
    rows = Summaries(layout, one).rows
    assert Summaries(layout, one[:1]).rows == rows
    assert Summaries(layout, [*one, Aggregate(Kind.SUM, "r", Float64, 1, 3)]).rows > rows


def test_what_cannot_be_merged_is_said():
    assert [mergeable(Aggregate(kind, "x", Int64, 5)) for kind in Kind] == [kind is not Kind.DISTINCT for kind in Kind]
    assert [mergeable(Aggregate(kind, "x", String, 5)) for kind in (Kind.MIN, Kind.MAX, Kind.LAST)] == [
        False,
        False,
        True,
    ]


def test_an_index_comes_back_and_a_shorter_or_longer_one_is_refused():
    summaries = Summaries(LAYOUT, [SUM])
    words = np.stack([summaries.summary(versions([n, n + 1]), n, 9) for n in (1, 5)], axis=1)
    content = bytes(HEAD_BYTES) + TileIndex(words, 7).body() + bytes(4)
    read = TileIndex.read(content, summaries.rows, wrong)
    assert (read.words.tolist(), read.next_number, len(content) % 8) == (words.tolist(), 7, 0)
    assert [read.suffix(tile) for tile in range(2)] == [b"#1", b"#5"]
    for bad in (content[:-8], content + bytes(8), content[:40]):
        with pytest.raises(RowFormatError, match="index of tiles"):
            TileIndex.read(bad, summaries.rows, wrong)


def test_a_suffix_fits_the_room_that_keys_leave_for_it():
    assert len(part_suffix(2**32 - 1)) <= 12
