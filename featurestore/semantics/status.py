"""What a read says about a feature besides its value."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Status(IntEnum):
    """Why a feature has the value it has.

    ``PRESENT``: there is a value. ``NULL``: there are visible events in the window, and their aggregate is null.
    ``MISSING``: no visible event in the window (a count is then ``PRESENT`` with 0). ``EXPIRED``: the latest visible
    event is older than the view's TTL; the value is null.
    """

    PRESENT = 0
    NULL = 1
    MISSING = 2
    EXPIRED = 3


def expired(
    read_us: NDArray[np.int64] | int, latest_event_us: NDArray[np.int64], ttl_us: int | None
) -> NDArray[np.bool_]:
    """Tell which values are past their TTL: alive while ``t - event_timestamp <= ttl`` (law 3).

    Parameters
    ----------
    read_us
        The read's instant, one for all or one per row, microseconds UTC.
    latest_event_us
        Event timestamp of the latest visible event per row; rows without one are the caller's to mask.
    ttl_us
        The TTL in microseconds, or ``None`` for no TTL.
    """
    if ttl_us is None:
        return np.zeros(latest_event_us.shape, dtype=np.bool_)
    return np.asarray(read_us - latest_event_us > ttl_us)
