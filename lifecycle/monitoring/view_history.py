"""What history says of a view: its values at each (key, t, s), TTL applied, as a read would have given them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import FeatureView
from featurestore.foundation.clock import EARLIEST_US, MINUTE
from featurestore.offline.base import OfflineStore, ViewFrame
from featurestore.semantics.aggregate import EventLog
from featurestore.semantics.finalise import apply_ttl
from featurestore.semantics.value import Column, identical
from lifecycle.monitoring.logged_rows import UNLOGGED

SLACK_US = MINUTE
"""A commit is available from just before it is written: a read this much later that has not seen it is told of."""


@dataclass(frozen=True, slots=True)
class ViewValues:
    """Values and statuses of a view's features, by the feature's name, TTL applied."""

    columns: Mapping[str, Column]
    statuses: Mapping[str, NDArray[np.uint8]]

    def take(self, index: NDArray[np.int64]) -> ViewValues:
        """Return some of the rows."""
        return ViewValues(
            {name: of.take(index) for name, of in self.columns.items()},
            {name: of[index] for name, of in self.statuses.items()},
        )

    def agree(self, other: ViewValues, names: Iterable[str]) -> NDArray[np.bool_]:
        """Tell per row whether all the named features are the same bit for bit, statuses included where logged."""
        return np.asarray(np.logical_and.reduce([self.agrees(other, name) for name in names]))

    def agrees(self, other: ViewValues, name: str) -> NDArray[np.bool_]:
        """Tell per row whether one feature is the same bit for bit, status included where logged."""
        same = identical(self.columns[name], other.columns[name])
        mine, theirs = self.statuses.get(name), other.statuses.get(name)
        if mine is None or theirs is None:
            return same
        return np.asarray(same & ((mine == theirs) | (mine == UNLOGGED) | (theirs == UNLOGGED)))


@dataclass(frozen=True, slots=True)
class ViewAsked:
    """What was logged of one view: where it was read, and its values by the features' own names."""

    keys: Column
    instants_us: NDArray[np.int64]
    sequences: NDArray[np.int64]
    values: ViewValues

    def __len__(self) -> int:
        return len(self.instants_us)

    def take(self, index: NDArray[np.int64]) -> ViewAsked:
        """Return some of the rows."""
        return ViewAsked(self.keys.take(index), self.instants_us[index], self.sequences[index], self.values.take(index))


class ViewHistory:
    """The history of one view as it was when this was made; its rows are held in memory."""

    def __init__(self, view: FeatureView, offline: OfflineStore) -> None:
        self.view = view
        self._offline = offline
        self._rows = offline.audit_rows(view)

    @property
    def newest(self) -> int:
        """The last commit sequence that it sees."""
        return self._rows.newest

    def values_at(self, keys: Column, instants_us: NDArray[np.int64], sequences: NDArray[np.int64]) -> ViewValues:
        """Return the view's features at each (key, t, s)."""
        return finished(self.view, self._rows.features_at_each(keys, instants_us, sequences), instants_us)

    def behind(self, keys: Column, instants_us: NDArray[np.int64], sequences: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which reads had not seen a commit that touched their key and was available `SLACK_US` before."""
        return self._rows.behind(keys, instants_us - SLACK_US, sequences)

    def logs(self, keys: Column, s: int) -> list[EventLog]:
        """Return all versions of each key's events that were committed up to ``s``."""
        return [log for _, log in self._offline.logs(self.view, keys, EARLIEST_US, s)]


def finished(view: FeatureView, frame: ViewFrame, instants_us: NDArray[np.int64]) -> ViewValues:
    """Apply a view's TTL to what a join gave at some instants."""
    columns, statuses = {}, {}
    for name, values in frame.columns.items():
        columns[name], statuses[name] = apply_ttl(
            (values, frame.statuses[name]), instants_us, frame.latest_event_us, frame.has_latest, view.ttl_us
        )
    return ViewValues(columns, statuses)
