"""A view's rows with the commits they came in, read once, to be asked as of a commit sequence per question."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.definitions import FeatureView
from featurestore.foundation.errors import OfflineStoreError
from featurestore.offline.point_in_time.committed_rows import CommittedRows
from featurestore.offline.point_in_time.event_rows import EventRows
from featurestore.offline.point_in_time.join import PreparedJoin, ViewFrame, join, stacked
from featurestore.offline.point_in_time.timeline import Integers
from featurestore.semantics.arrow_column import to_arrow
from featurestore.semantics.value import Column

SEEN_ROWS = 1_000_000
"""Versions joined at a time for questions that are asked as of an earlier commit."""
NOT_YET = -1
"""The code of a key that has no version yet."""


class AuditRows:
    """The rows of all keys of a view over all commits up to the newest when this was made; they are held in memory.

    Most questions are answered as of the newest commit: no later commit than theirs that touches their key could be
    seen at their instant. For the others, the versions are taken as they were at their commit, in pieces of at most
    `SEEN_ROWS` versions (or those of one key).

    Parameters
    ----------
    newest
        The last commit sequence that the rows are of.
    threads
        Threads to join on; no answer depends on them.
    """

    def __init__(self, view: FeatureView, rows: CommittedRows, newest: int, threads: int) -> None:
        self.newest = newest
        self._view = view
        self._rows = rows
        self._threads = threads
        self._known = to_arrow(rows.rows.keys)
        self._aggregates = {feature.name: feature.aggregate for feature in view.features}
        self._at_newest = PreparedJoin(rows.newest(), self._aggregates)

    def features_at_each(self, keys: Column, instants_us: Integers, sequences: Integers) -> ViewFrame:
        """Return the view's features at each (key, t, s), in the given order, TTL not applied.

        Parameters
        ----------
        keys, instants_us, sequences
            Join keys, without null, instants, microseconds UTC, and commit sequences from 0 to `newest`, of equal
            length.

        Raises
        ------
        OfflineStoreError
            If a sequence is beyond the newest.
        """
        self._check(sequences)
        codes = self._codes(keys)
        touched = self._rows.touched(codes, instants_us, sequences)
        special = np.flatnonzero(touched)
        states = self._rows.states(codes[special], sequences[special])
        codes[special[states < 0]] = NOT_YET
        touched[special[states < 0]] = False
        places = [np.flatnonzero(~touched)]
        frames = [self._at_newest.at(codes[places[0]], instants_us[places[0]], self._threads)]
        for part, rows, owners in self._earlier(states[states >= 0]):
            places.append(special[states >= 0][part])
            frames.append(join(rows, self._aggregates, owners, instants_us[places[-1]], self._threads))
        return frames[0] if len(frames) == 1 else stacked(frames).take(np.argsort(np.concatenate(places)))

    def behind(self, keys: Column, instants_us: Integers, sequences: Integers) -> NDArray[np.bool_]:
        """Tell which questions are as of a commit before one that touches their key and could be seen at their t."""
        return self._rows.touched(self._codes(keys), instants_us, sequences)

    def _earlier(self, states: Integers) -> Iterator[tuple[Integers, EventRows, Integers]]:
        """Give, piece by piece, which of the questions it answers, the rows at their states, and each one's code."""
        distinct, owners = np.unique(states, return_inverse=True)
        order = np.argsort(owners, kind="stable")
        filled = np.cumsum(self._rows.sizes(distinct)) // SEEN_ROWS
        cuts = [0, *(np.flatnonzero(np.diff(filled)) + 1).tolist(), len(distinct)]
        for low, high in pairwise(cuts):
            first, end = np.searchsorted(owners[order], [low, high])
            part = order[first:end]
            yield part, self._rows.seen(distinct[low:high]), owners[part] - low

    def _codes(self, keys: Column) -> Integers:
        found = pc.fill_null(pc.index_in(to_arrow(keys), value_set=self._known), NOT_YET)
        return np.array(found.to_numpy(zero_copy_only=False), dtype=np.int64)

    def _check(self, sequences: Integers) -> None:
        wrong = sequences[(sequences < 0) | (sequences > self.newest)]
        if len(wrong):
            raise OfflineStoreError(
                f"there is no commit {int(wrong[0])}: the last one is {self.newest}",
                where=f"source {self._view.source.name}",
                mend="ask at an earlier sequence, or read the history anew if it has grown",
            )
