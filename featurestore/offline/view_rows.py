"""A view's rows, read once, to be asked many times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.definitions import FeatureView
from featurestore.offline.point_in_time.event_rows import EventRows
from featurestore.offline.point_in_time.join import ViewFrame, join
from featurestore.semantics.aggregate import Aggregate, EventLog
from featurestore.semantics.arrow_column import to_arrow
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import Column


class ViewRows:
    """The rows of some or all keys of a view, at one commit sequence.

    Parameters
    ----------
    rows
        With the view's columns that are asked for.
    threads
        Threads to join on; no answer depends on them.
    """

    def __init__(self, view: FeatureView, rows: EventRows, threads: int) -> None:
        self._view = view
        self._rows = rows
        self._threads = threads
        self._known = to_arrow(rows.keys)

    def features_at(self, keys: Column, instants_us: NDArray[np.int64]) -> ViewFrame:
        """Return the view's features at each (key, instant), TTL not applied."""
        return self.aggregates_at({f.name: f.aggregate for f in self._view.features}, keys, instants_us)

    def aggregates_at(
        self, aggregates: Mapping[str, Aggregate], keys: Column, instants_us: NDArray[np.int64], lag_us: int = 0
    ) -> ViewFrame:
        """Return aggregates at each (key, instant), windows ending ``lag_us`` earlier."""
        rows, codes = self._of(keys)
        return join(rows.delayed(lag_us), aggregates, codes, instants_us, self._threads)

    def logs(self, keys: Column, as_of_us: int) -> Iterator[tuple[int, EventLog]]:
        """Give, for each key in order, its position and the versions that may matter at any t >= ``as_of_us``."""
        rows, codes = self._of(keys)
        kept = np.flatnonzero(_may_matter(rows, max(self._view.windows, default=0), as_of_us))
        bounds = np.searchsorted(rows.codes[kept], np.arange(len(rows.keys) + 1)).tolist()
        for position, code in enumerate(codes.tolist()):
            yield position, rows.log(kept[:0] if code < 0 else kept[bounds[code] : bounds[code + 1]])

    def _of(self, keys: Column) -> tuple[EventRows, NDArray[np.int64]]:
        """Return the rows from the first to the last of these keys, and each key's code among them, -1 for none."""
        found = pc.fill_null(pc.index_in(to_arrow(keys), value_set=self._known), -1)
        codes = found.to_numpy(zero_copy_only=False).astype(np.int64)
        there = codes[codes >= 0]
        if not len(there):
            return self._rows.between(0, 0), codes
        first, last = int(there.min()), int(there.max())
        return self._rows.between(first, last + 1), np.where(codes >= 0, codes - first, -1)


def _may_matter(rows: EventRows, longest_us: int, as_of_us: int) -> NDArray[np.bool_]:
    """Tell which versions can be in a window, or be their key's latest, at some t >= ``as_of_us``."""
    if not len(rows):
        return np.zeros(0, dtype=np.bool_)
    index = np.arange(len(rows))
    lasting = np.where((rows.enter_us <= as_of_us) & (rows.leave_us == NEVER_US), index, -1)
    starts = np.flatnonzero(np.append(True, rows.codes[1:] != rows.codes[:-1]))
    last_for_good = np.repeat(np.maximum.reduceat(lasting, starts), np.diff(np.append(starts, len(rows))))
    young = rows.event_us + longest_us > as_of_us
    return np.asarray((rows.leave_us > as_of_us) & (young | (index >= last_for_good)))
