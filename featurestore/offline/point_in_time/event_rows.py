"""The event versions of many keys, in the one order in which everything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from featurestore.semantics.aggregate import EventLog
from featurestore.semantics.interval import enters
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
    event_us, available_us, leave_us
        Per version its event timestamp, when it could first be seen, and when a later version of its event took its
        place, microseconds UTC; `featurestore.semantics.interval.NEVER_US` for a leave that never comes.
    columns
        Per version the values that are aggregated.
    ids
        Per version the number that tells its event, as in a log; ``None`` if nobody asked.
    """

    keys: Column
    codes: NDArray[np.int64]
    event_us: NDArray[np.int64]
    available_us: NDArray[np.int64]
    leave_us: NDArray[np.int64]
    columns: Mapping[str, Column]
    ids: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def enter_us(self) -> NDArray[np.int64]:
        """When each version becomes visible: with `leave_us` the interval ``[enter, leave)`` in which it is."""
        return enters(self.event_us, self.available_us)

    def delayed(self, lag_us: int) -> EventRows:
        """Return the rows as if each event happened ``lag_us`` later, known when it was: a label's view of them."""
        if not lag_us:
            return self
        return replace(self, event_us=self.event_us + lag_us)

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
            self.available_us[part],
            self.leave_us[part],
            {name: _sliced(of, part) for name, of in self.columns.items()},
            None if self.ids is None else self.ids[part],
        )

    def taken(self, index: NDArray[np.int64]) -> EventRows:
        """Return some of the rows, of the same keys; ``index`` keeps them in order."""
        return EventRows(
            self.keys,
            self.codes[index],
            self.event_us[index],
            self.available_us[index],
            self.leave_us[index],
            {name: _sliced(of, index) for name, of in self.columns.items()},
            None if self.ids is None else self.ids[index],
        )

    def bounds(self, code: int) -> slice:
        """Return where the versions of one key stand."""
        low, high = np.searchsorted(self.codes, [code, code + 1])
        return slice(int(low), int(high))

    def log(self, rows: slice | NDArray[np.int64]) -> EventLog:
        """Return some versions of one key as the log that the online store keeps."""
        columns = {name: _sliced(of, rows) for name, of in self.columns.items()}
        ids = None if self.ids is None else self.ids[rows]
        return EventLog(self.event_us[rows], self.available_us[rows], self.leave_us[rows], columns, ids)


def _sliced(of: Column, rows: slice | NDArray[np.int64]) -> Column:
    return Column(of.dtype, of.values[rows], of.nulls[rows])
