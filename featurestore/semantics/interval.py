"""When an event version counts: visibility intervals and windows, half open, in integer microseconds (laws 2 to 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NEVER_US = 2**63 - 1
"""An instant after all others: the leave of a version that nothing replaces."""


def version_leaves(available_us: Sequence[int]) -> list[int]:
    """Return when each version of one event stops being the newest available one.

    Of the versions available at t, the last committed counts. A version therefore leaves at the earliest
    ``available_at`` of any later-committed version, which is the next version's only if corrections become
    available in the order of their commits.

    Parameters
    ----------
    available_us
        ``available_at`` of the versions of one event id, in commit order, tombstones included.
    """
    leaves: list[int] = []
    earliest_later = NEVER_US
    for available in reversed(available_us):
        leaves.append(earliest_later)
        earliest_later = min(earliest_later, available)
    return leaves[::-1]


def enters(event_us: NDArray[np.int64], available_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return when versions become visible: ``max(event_timestamp, available_at)``."""
    return np.maximum(event_us, available_us)


def window_leaves(event_us: NDArray[np.int64], leave_us: NDArray[np.int64], window_us: int | None) -> NDArray[np.int64]:
    """Return when versions leave a window of length W: ``min(event_timestamp + W, version leave)``.

    With the enter of `enters` this is exactly the window ``(t - W, t]``: an event of age W is out, of age 0 is in.
    """
    if window_us is None:
        return leave_us
    return np.minimum(event_us + window_us, leave_us)
