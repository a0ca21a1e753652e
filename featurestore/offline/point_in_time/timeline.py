"""The instants at which anything changes, of all keys, on one sorted axis of 64-bit integers.

Every version contributes an edge where it enters and one where it leaves each window. Between two edges of a key
nothing changes, so a state is known for every instant once it is known after each distinct edge: a *position*.
Position 0 is before everything; position p > 0 is the time from the p-th distinct edge to the next. A state that adds
on entering and subtracts on leaving is a prefix sum along the axis; it needs no reset between keys, because all that
a key's versions add within windows they also subtract (and differences of wrapped int64 sums are exact).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.offline.point_in_time.event_rows import EventRows
from featurestore.semantics.interval import NEVER_US, window_leaves

AXIS_LIMIT = 2**62
CHUNK_ROWS = 131_072

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Axis:
    """Packs (key code, instant) into one integer that sorts like the pair.

    Instants are taken relative to ``start``; if codes times range would not fit 62 bits, by their rank among
    ``instants``, the sorted distinct edges, which always fits.
    """

    start: int
    width: int
    instants: Integers | None

    def pack(self, codes: Integers, instants_us: Integers) -> Integers:
        """Return the packed pairs; an instant before all edges packs just before them, one after all just after."""
        if self.instants is None:
            offset = np.clip(instants_us, self.start, self.start + self.width - 2) - (self.start - 1)
            offset[instants_us < self.start] = 0
        else:
            offset = _ranks(self.instants, instants_us)
        return codes * np.int64(self.width) + offset

    def code_of(self, packed: Integers) -> Integers:
        """Return the key codes of packed pairs."""
        return packed // np.int64(self.width)


def _ranks(instants: Integers, wanted: Integers) -> Integers:
    """Return how many of the sorted ``instants`` are at or before each wanted one, searched for in order."""
    order = np.argsort(wanted)
    ranks = np.empty(len(wanted), dtype=np.int64)
    ranks[order] = np.searchsorted(instants, wanted[order], side="right")
    return ranks


def _axis(n_codes: int, edges: list[Integers]) -> Axis:
    start = min(int(edge.min()) for edge in edges)
    width = max(int(edge.max()) for edge in edges) - start + 2
    if n_codes * width < AXIS_LIMIT:
        return Axis(start, width, None)
    instants = np.sort(np.concatenate(edges))
    instants = instants[np.append(True, instants[1:] != instants[:-1])]
    return Axis(0, len(instants) + 1, instants)


class Timeline:
    """The positions of some event rows for some windows, and prefix sums along them.

    Parameters
    ----------
    rows
        The versions, at least one.
    windows_us
        Lengths of the windows whose edges are wanted, microseconds.
    """

    def __init__(self, rows: EventRows, windows_us: tuple[int, ...]) -> None:
        self.rows = rows
        self.windows_us = windows_us
        leaves = {window: window_leaves(rows.event_us, rows.leave_us, window) for window in windows_us}
        self.seen = {window: leave > rows.enter_us for window, leave in leaves.items()}
        self.replaced = np.flatnonzero(rows.leave_us < NEVER_US)
        edges = [rows.enter_us, *leaves.values(), rows.leave_us[self.replaced]]
        self._axis = _axis(len(rows.keys), [edge for edge in edges if len(edge)])
        self.enter = self._axis.pack(rows.codes, rows.enter_us)
        self.leave = {window: self._axis.pack(rows.codes, leave) for window, leave in leaves.items()}
        self.replaced_leave = self._axis.pack(rows.codes[self.replaced], rows.leave_us[self.replaced])
        packed = np.concatenate([self.enter, *self.leave.values(), self.replaced_leave])
        self._order = np.argsort(packed)
        ordered = packed[self._order]
        self._ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        self._edges = ordered[self._ends]
        self.codes = np.concatenate([[np.int64(-1)], self._axis.code_of(self._edges)])

    def __len__(self) -> int:
        """Return the number of positions."""
        return len(self._edges) + 1

    def positions(self, packed: Integers) -> Integers:
        """Return the positions that begin at the given packed edges."""
        return np.searchsorted(self._edges, packed, side="right")

    def locate(self, codes: Integers, instants_us: Integers, threads: int) -> Integers:
        """Return each row's position; 0 where its key has no edge yet, or the code is -1 (an unknown key).

        The work goes by pieces of `CHUNK_ROWS` rows; the result depends neither on them nor on ``threads``.
        """
        found = np.zeros(len(codes), dtype=np.int64)

        def fill(start: int) -> None:
            piece = slice(start, start + CHUNK_ROWS)
            packed = self._axis.pack(np.maximum(codes[piece], 0), instants_us[piece])
            order = np.argsort(packed)
            position = np.empty(len(packed), dtype=np.int64)
            position[order] = self.positions(packed[order])
            found[piece] = np.where(self.codes[position] == codes[piece], position, 0)

        in_pieces(fill, len(codes), threads)
        return found

    def running_sum(self, window_us: int, amounts: NDArray[Any]) -> NDArray[Any]:
        """Return, per position, the sum of the amounts of the versions inside the window, in their own dtype."""
        inside = np.where(self.seen[window_us], amounts, 0)
        return self._accumulate({0: inside, 1 + self.windows_us.index(window_us): -inside})

    def entered(self, chosen: NDArray[np.bool_]) -> Integers:
        """Return, per position, how many of the chosen versions have entered, over all keys so far."""
        return self._accumulate({0: chosen.astype(np.int64)})

    def left(self, window_us: int, chosen: NDArray[np.bool_]) -> Integers:
        """Return, per position, how many of the chosen versions have left the window, over all keys so far."""
        return self._accumulate({1 + self.windows_us.index(window_us): chosen.astype(np.int64)})

    def stepped(self, window_us: int, rises: Integers, falls: Integers) -> Integers:
        """Return, per position, the sum of ``rises`` at enters and ``falls`` at leaves, one per version."""
        return self._accumulate({0: rises, 1 + self.windows_us.index(window_us): falls})

    def greatest_entered(self, scores: Integers) -> Integers:
        """Return, per position, the greatest score of the versions entered so far, over all keys; -1 for none."""
        along = np.full(len(self._order), -1, dtype=np.int64)
        along[: len(scores)] = scores
        running = np.maximum.accumulate(along[self._order])
        return np.concatenate([[np.int64(-1)], running[self._ends]])

    def _accumulate(self, blocks: dict[int, NDArray[Any]]) -> NDArray[Any]:
        size = len(self.rows)
        along = np.zeros(len(self._order), dtype=next(iter(blocks.values())).dtype)
        for block, amounts in blocks.items():
            along[block * size : (block + 1) * size] = amounts
        running = np.cumsum(along[self._order])[self._ends]
        return np.concatenate([np.zeros(1, dtype=running.dtype), running])


def in_pieces(work: Any, length: int, threads: int) -> None:
    """Call ``work(start)`` for each piece of `CHUNK_ROWS` of ``length`` rows; raise what it raises."""
    starts = range(0, length, CHUNK_ROWS)
    if threads == 1 or len(starts) == 1:
        for start in starts:
            work(start)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, starts):
            pass
