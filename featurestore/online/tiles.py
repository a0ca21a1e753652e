"""Summaries of the older versions of a hot key, so that a read need not look at each of them.

The log of a key with very many versions is an **index**, followed by the **head**: the newest versions, as a log of
their own. The older ones are cut, in their total order, into **tiles**. The raw versions of a tile stand under a key of
their own, the log's key with ``#<number>`` behind it, and are never rewritten in place: a tile that changes gets a new
number. The index says of each tile where it lies and what its versions come to. Its body::

    4 + 4    number of tiles T, the next free number
    8        zeros
    ...      words of 8 bytes, per attribute T of them: number, checksum of the raw versions, count, first and last
             event timestamp, instant of settlement, least and greatest event number, then per mergeable aggregate its
             state: count of values, and a sum's 3 and a sum of squares' 5 limbs of 32 bits and how many values have
             no fixed-point form, or a minimum or maximum
    4        zeros

What a tile comes to is said of the versions that nothing ends, without any window. That is its state at t for a window
of length W, exactly, if all of it lies in ``(t - W, t]`` and t is at or after its settlement: by then all these are
visible, and all others over. A read needs the raw versions of the other tiles that the window touches: one at each
window's edge, and all of those inside for what cannot be merged: distinct counts, and the extremes of strings.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.foundation.errors import SemanticsError
from featurestore.online.envelope import HEAD_BYTES, TAIL_BYTES
from featurestore.online.log_chunk import Wrong
from featurestore.online.versions import AVAILABLE, EVENT, ID, LEAVE, Layout, Versions, Words, from_words, to_words
from featurestore.semantics.aggregate import SUMMING, Aggregate, AggregateState, Kind
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.log_states import LogsAt
from featurestore.semantics.value import Column

NUMBER, CHECKSUM, COUNT, FIRST_EVENT, LAST_EVENT, SETTLED, LEAST_ID, GREATEST_ID, STATES = range(9)
_COUNTS = struct.Struct("<II8x")
_TOTAL_LIMBS, _SQUARES_LIMBS = 3, 5
_LIMB_BITS = 32
_SUM_WORDS = 1 + _TOTAL_LIMBS + _SQUARES_LIMBS + 1


class Summaries:
    """Where the states of a view's mergeable aggregates stand in an index.

    Parameters
    ----------
    layout, aggregates
        Those of the view.
    """

    def __init__(self, layout: Layout, aggregates: Sequence[Aggregate]) -> None:
        self._layout = layout
        self._wholes: dict[Aggregate, int] = {}
        self._places: dict[Aggregate, int] = {}
        self.rows = STATES
        for aggregate in aggregates:
            if aggregate.column is None or aggregate.kind is Kind.LAST or not mergeable(aggregate):
                continue
            whole = _windowless(aggregate)
            if whole not in self._wholes:
                self._wholes[whole] = self.rows
                self.rows += _words_of(whole)
            self._places[aggregate] = self._wholes[whole]
        self._edges = sorted({a.window_us for a in aggregates if a.window_us is not None and mergeable(a)})
        self._unmerged_us = max((a.window_us or 0 for a in aggregates if not mergeable(a)), default=0)

    def summary(self, versions: Versions, number: int, checksum: int) -> Words:
        """Return the words of one tile of versions in total order."""
        lasting = versions.take(versions.words[LEAVE] == NEVER_US)
        words = versions.words
        over = words[LEAVE, words[LEAVE] != NEVER_US]
        entered = np.maximum(lasting.words[EVENT], lasting.words[AVAILABLE])
        settled = max(int(over.max(initial=-(2**63))), int(entered.max(initial=-(2**63))))
        found: list[int] = [number, checksum, len(lasting), int(words[EVENT, 0]), int(words[EVENT, -1]), settled]
        found += [int(words[ID].min()), int(words[ID].max())]
        at = LogsAt([self._layout.unpack(lasting)], NEVER_US - 1)
        for whole in self._wholes:
            found += _packed(at.state(whole), whole)
        return np.array(found, dtype=np.int64)

    def raw_at(self, index: TileIndex, head: Versions, t_us: int) -> list[int]:
        """Return the tiles whose raw versions a read at an instant needs, ascending."""
        first_us, last_us = index.words[FIRST_EVENT], index.words[LAST_EVENT]
        raw = (index.words[SETTLED] > t_us) | (last_us > t_us - self._unmerged_us)
        for window_us in self._edges:
            raw |= (last_us > t_us - window_us) & (first_us <= t_us - window_us)
        return np.flatnonzero(raw | _latest(index, raw, head, t_us)).tolist()

    def merged(self, aggregate: Aggregate, state: AggregateState, tiles: TilesInside) -> AggregateState:
        """Return a state of one log with those of some tiles added to it."""
        if not tiles.words.shape[1] or not mergeable(aggregate):
            return state
        n_events = state.n_events + tiles.sums[COUNT]
        if aggregate.column is None:
            return AggregateState(n_events)
        if aggregate.kind is Kind.LAST:
            return AggregateState(n_events, value=state.value)
        at = self._places[aggregate]
        n_valid = _required(state.n_valid) + tiles.sums[at]
        if aggregate.kind is Kind.COUNT:
            return AggregateState(n_events, n_valid)
        if aggregate.kind in SUMMING:
            return _sums_merged(state, n_events, n_valid, tiles.sums[at + 1 : at + _SUM_WORDS])
        value = _extremes_merged(aggregate, state, tiles.words[at], tiles.words[at + 1])
        return AggregateState(n_events, n_valid, value=value)


class TilesInside:
    """The tiles that lie in a window as a whole.

    Parameters
    ----------
    index
        All tiles.
    inside
        Which of them.

    Attributes
    ----------
    words
        Their columns of the index.
    sums
        The sum of each of its rows; meant for counts and limbs.
    """

    __slots__ = ("sums", "words")

    def __init__(self, index: TileIndex, inside: NDArray[np.bool_]) -> None:
        found = np.flatnonzero(inside)
        in_a_row = len(found) and found[-1] - found[0] + 1 == len(found)
        self.words = index.words[:, found[0] : found[-1] + 1] if in_a_row else index.words[:, found]
        self.sums: list[int] = self.words.sum(axis=1).tolist()


@dataclass(frozen=True, slots=True)
class TileIndex:
    """The tiles of one key, in the total order of their versions.

    Attributes
    ----------
    words
        One column per tile.
    next_number
        The number of the next tile that is written.
    """

    words: Words
    next_number: int

    def __len__(self) -> int:
        return int(self.words.shape[1])

    def body(self) -> bytes:
        """Return the bytes of the index, without its envelope."""
        return _COUNTS.pack(len(self), self.next_number) + self.words.tobytes() + bytes(4)

    @classmethod
    def read(cls, content: bytes, rows: int, wrong: Wrong) -> TileIndex:
        """Read the index out of a chunk that is whole; ``rows`` is what `Summaries` says."""
        start = HEAD_BYTES + _COUNTS.size
        if len(content) < start + TAIL_BYTES:
            raise wrong("a stored index of tiles is too short")
        tiles, next_number = _COUNTS.unpack_from(content, HEAD_BYTES)
        if len(content) != start + 8 * rows * tiles + 4 + TAIL_BYTES:
            raise wrong("a stored index of tiles does not have the length it says")
        words = np.frombuffer(content, dtype="<i8", count=rows * tiles, offset=start)
        return cls(words.reshape(rows, tiles), next_number)

    def suffix(self, tile: int) -> bytes:
        """Return what is appended to the log's key for a tile's raw versions."""
        return part_suffix(int(self.words[NUMBER, tile]))

    def is_of(self, tile: int, part: bytes | None) -> bool:
        """Tell whether stored bytes are the raw versions that a tile means."""
        return part is not None and checksum(part) == self.words[CHECKSUM, tile]

    def outside(self, raw: Sequence[int]) -> NDArray[np.bool_]:
        """Return which tiles are none of these."""
        rest = np.ones(len(self), dtype=np.bool_)
        rest[list(raw)] = False
        return rest


def mergeable(aggregate: Aggregate) -> bool:
    """Tell whether the states of parts give the whole's; of the last value, the last part's alone does."""
    if aggregate.kind is Kind.DISTINCT:
        return False
    text = aggregate.input is not None and aggregate.input.name == "string"
    return not (text and aggregate.kind in (Kind.MIN, Kind.MAX))


def part_suffix(number: int) -> bytes:
    """Return what is appended to a log's key for the part of a number."""
    return b"#%d" % number


def checksum(part: bytes) -> int:
    """Return the checksum that a sealed part ends with."""
    return int.from_bytes(part[-TAIL_BYTES:], "little")


def cut(versions: Versions, size: int) -> list[Versions]:
    """Cut versions in total order into pieces of about a size, events of one instant always in one piece."""
    event_us, pieces, start = versions.words[EVENT], [], 0
    while len(versions) - start > size + size // 2:
        end = int(np.searchsorted(event_us, event_us[start + size - 1], side="right"))
        pieces.append(versions.take(slice(start, end)))
        start = end
    return [*pieces, versions.take(slice(start, len(versions)))] if start < len(versions) else pieces


def _latest(index: TileIndex, raw: NDArray[np.bool_], head: Versions, t_us: int) -> NDArray[np.bool_]:
    """Return the last tile in which some version is visible, unless a later event in the head is."""
    words = index.words
    wanted = np.zeros(len(index), dtype=np.bool_)
    standing = np.flatnonzero(~raw & (words[COUNT] > 0))
    if len(standing):
        entered = np.maximum(head.words[EVENT], head.words[AVAILABLE])
        visible = head.words[EVENT, (entered <= t_us) & (t_us < head.words[LEAVE])]
        wanted[standing[-1]] = not len(visible) or visible.max() <= words[LAST_EVENT, standing[-1]]
    return wanted


def _windowless(aggregate: Aggregate) -> Aggregate:
    """Return what is summarised for an aggregate: one state for all windows, and for all that sum one column."""
    if aggregate.kind in SUMMING:
        return replace(aggregate, kind=Kind.STD, window_us=None, scale=aggregate.fixed_scale)
    return replace(aggregate, window_us=None, scale=None)


def _words_of(whole: Aggregate) -> int:
    if whole.kind is Kind.STD:
        return _SUM_WORDS
    return 1 if whole.kind is Kind.COUNT else 2


def _packed(state: AggregateState, whole: Aggregate) -> list[int]:
    found = [int(_required(state.n_valid)[0])]
    if whole.kind is Kind.STD:
        found += _limbs(int(_required(state.total)[0]), _TOTAL_LIMBS)
        found += _limbs(int(_required(state.total_squares)[0]), _SQUARES_LIMBS)
        found.append(0 if state.n_unrepresentable is None else int(state.n_unrepresentable[0]))
    elif state.value is not None:
        found.append(int(to_words(state.value.values, state.value.dtype)[0]))
    return found


def _sums_merged(
    state: AggregateState, n_events: NDArray[np.int64], n_valid: NDArray[np.int64], sums: Sequence[int]
) -> AggregateState:
    wrong, squares = state.n_unrepresentable, state.total_squares
    of_squares = _whole(sums[_TOTAL_LIMBS:-1])
    return AggregateState(
        n_events,
        n_valid,
        total=_big(int(_required(state.total)[0]) + _whole(sums[:_TOTAL_LIMBS])),
        total_squares=None if squares is None else _big(int(squares[0]) + of_squares),
        n_unrepresentable=None if wrong is None else wrong + sums[-1],
    )


def _extremes_merged(aggregate: Aggregate, state: AggregateState, n_valid: Words, words: Words) -> Column:
    own = state.value
    if own is None:
        raise SemanticsError("a minimum or maximum without its value")
    values = from_words(words[n_valid > 0], own.dtype)
    values = np.concatenate([values, own.values[~own.nulls]])
    if not len(values):
        return own
    least: np.ufunc = np.fmin if own.dtype.floating else np.minimum
    by = np.maximum if aggregate.kind is Kind.MAX else least
    return Column(own.dtype, np.array([by.reduce(values)], dtype=own.dtype.storage), np.zeros(1, dtype=np.bool_))


def _limbs(value: int, count: int) -> list[int]:
    """Return an integer as limbs of 32 bits, the last of which has the sign."""
    mask = 2**_LIMB_BITS - 1
    return [*((value >> _LIMB_BITS * i) & mask for i in range(count - 1)), value >> _LIMB_BITS * (count - 1)]


def _whole(limbs: Sequence[int]) -> int:
    return sum(limb << _LIMB_BITS * i for i, limb in enumerate(limbs))


def _big(value: int) -> NDArray[Any]:
    return np.array([value], dtype=np.int64 if -(2**63) <= value < 2**63 else np.object_)


def _required(part: NDArray[Any] | None) -> NDArray[Any]:
    if part is None:
        raise SemanticsError("a state lacks a part that its aggregate has")
    return part
