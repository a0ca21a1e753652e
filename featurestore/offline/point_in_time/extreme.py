"""Greatest scores over moving sets of versions: minimum, maximum and the latest event are all one of these.

Most versions come and go in order: whoever enters first leaves first. Their visible set is a contiguous range, and
the greatest of a range is two look-ups in a table of powers of two. The few that do not (a late event, a corrected one)
are painted onto the positions they cover, lowest score first, so that the greatest stays on top.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from featurestore.offline.point_in_time.timeline import Integers, Timeline

NONE = np.int64(-1)


def greatest_inside(timeline: Timeline, window_us: int, scores: Integers) -> Integers:
    """Return, per position, the greatest score of the versions inside the window; -1 for none.

    Parameters
    ----------
    timeline
        The positions.
    window_us
        One of the timeline's windows.
    scores
        Per version, in row order, its score, 0 or more; -1 leaves the version out.
    """
    chosen = timeline.seen[window_us] & (scores >= 0)
    orderly = _orderly(timeline, window_us, chosen)
    low, high = timeline.left(window_us, orderly), timeline.entered(orderly)
    best = range_greatest(scores[orderly], low, high)
    odd = np.flatnonzero(chosen & ~orderly)
    painted = paint(timeline, timeline.enter[odd], timeline.leave[window_us][odd], scores[odd])
    return np.maximum(best, painted)


def latest_row(timeline: Timeline) -> Integers:
    """Return, per position, the index of the key's latest visible version, windows aside; -1 for none."""
    rows = timeline.rows
    index = np.arange(len(rows), dtype=np.int64)
    lasting = index.copy()
    lasting[timeline.replaced] = NONE
    latest = timeline.greatest_entered(lasting)
    latest[(latest >= 0) & (rows.codes[latest] != timeline.codes)] = NONE
    replaced = timeline.replaced
    return np.maximum(latest, paint(timeline, timeline.enter[replaced], timeline.replaced_leave, index[replaced]))


def paint(timeline: Timeline, enter: Integers, leave: Integers, scores: Integers) -> Integers:
    """Return, per position, the greatest score of the packed intervals ``[enter, leave)`` covering it; -1 for none."""
    canvas = np.full(len(timeline), NONE)
    begins, ends = timeline.positions(enter).tolist(), timeline.positions(leave).tolist()
    for piece in np.argsort(scores, kind="stable").tolist():
        canvas[begins[piece] : ends[piece]] = scores[piece]
    return canvas


def _orderly(timeline: Timeline, window_us: int, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which chosen versions leave by age alone and enter no later than any that follows them."""
    rows = timeline.rows
    chosen = chosen & (rows.leave_us >= rows.event_us + window_us)
    enters = np.where(chosen, timeline.enter, np.iinfo(np.int64).max)
    earliest_from_here = np.minimum.accumulate(enters[::-1])[::-1]
    return chosen & (enters <= earliest_from_here)


def range_greatest(scores: Integers, low: Integers, high: Integers) -> Integers:
    """Return the greatest of ``scores[low:high]`` for each pair, -1 where the range is empty."""
    best = np.full(len(low), NONE)
    filled = np.flatnonzero(high > low)
    if not len(filled):
        return best
    low, high = low[filled], high[filled]
    level = np.frexp((high - low).astype(np.float64))[1] - 1
    found = np.empty(len(filled), dtype=np.int64)
    table = scores
    for power in range(int(level.max()) + 1):
        here = np.flatnonzero(level == power)
        found[here] = np.maximum(table[low[here]], table[high[here] - (1 << power)])
        table = np.maximum(table[: -(1 << power)], table[1 << power :]) if len(table) > (1 << power) else table
    best[filled] = found
    return best
