"""The event versions of many keys, in the one order in which everything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurestore.semantics.aggregate import EventLog
from featurestore.semantics.value import Column


@dataclass(frozen=True, slots=True)
class EventRows:
    """Event versions, ascending by key and within a key by ``(event_timestamp, available_at, event_id)``.

    Attributes
    ----------
    keys
        The distinct join keys, one entry per code.
    codes
        Per version its key's index in ``keys``, int64, ascending.
    event_us, enter_us, leave_us
        Per version its event timestamp and the interval ``[enter, leave)`` in which it is the visible version of its
        event, microseconds UTC; `featurestore.semantics.interval.NEVER_US` for a leave that never comes.
    columns
        Per version the values that are aggregated.
    """

    keys: Column
    codes: NDArray[np.int64]
    event_us: NDArray[np.int64]
    enter_us: NDArray[np.int64]
    leave_us: NDArray[np.int64]
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.codes)

    def delayed(self, lag_us: int) -> EventRows:
        """Return the rows as if each event happened ``lag_us`` later, known when it was: a label's view of them."""
        if not lag_us:
            return self
        shifted = self.event_us + lag_us
        entered = np.maximum(shifted, self.enter_us)
        return EventRows(self.keys, self.codes, shifted, entered, self.leave_us, self.columns)

    def between(self, first: int, end: int) -> EventRows:
        """Return the rows of the keys ``first`` to ``end``, itself not, with codes from 0; values are not copied."""
        if (first, end) == (0, len(self.keys)):
            return self
        low, high = np.searchsorted(self.codes, [first, end])
        part = slice(int(low), int(high))
        return EventRows(
            _sliced(self.keys, slice(first, end)),
            self.codes[part] - first,
            self.event_us[part],
            self.enter_us[part],
            self.leave_us[part],
            {name: _sliced(of, part) for name, of in self.columns.items()},
        )

    def bounds(self, code: int) -> slice:
        """Return where the versions of one key stand."""
        low, high = np.searchsorted(self.codes, [code, code + 1])
        return slice(int(low), int(high))

    def log(self, rows: slice | NDArray[np.int64]) -> EventLog:
        """Return some versions of one key as the log that the online store keeps."""
        columns = {name: _sliced(of, rows) for name, of in self.columns.items()}
        return EventLog(self.event_us[rows], self.enter_us[rows], self.leave_us[rows], columns)


def _sliced(of: Column, rows: slice | NDArray[np.int64]) -> Column:
    return Column(of.dtype, of.values[rows], of.nulls[rows])
