"""The event versions of many keys with the commits they came in, so that they can be seen as of any commit.

Seen at commit sequence s, a version committed up to s leaves when the first of the later versions of its event *that
were committed up to s too* became available. What a key shows so changes, from one s to the next, only at the commits
that *touch* it: that hold a version of it, or a later version of an event that once was its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from featurestore.offline.point_in_time.event_rows import EventRows
from featurestore.offline.point_in_time.extreme import range_greatest
from featurestore.offline.point_in_time.moving_state import running_max
from featurestore.offline.point_in_time.timeline import Integers
from featurestore.semantics.interval import NEVER_US


@dataclass(frozen=True, slots=True)
class RepeatedEvents:
    """All versions of the events that have several, ascending by event and within an event in commit order.

    Attributes
    ----------
    events
        Per version a number that tells its event, from 0.
    commits, available_us
        Per version its commit, and when it could first be seen, microseconds UTC.
    """

    events: Integers
    commits: Integers
    available_us: Integers

    def __len__(self) -> int:
        return len(self.events)


class CommittedRows:
    """Versions of many keys, to be seen at any (t, s).

    Parameters
    ----------
    rows
        The versions that count for their keys, in the total order, with their leaves over all commits; those that are
        never visible over all commits too, as they may be so over fewer.
    commits
        Per version its commit.
    places
        Per version where it stands among ``repeated``, -1 if its event has no other.
    """

    def __init__(self, rows: EventRows, commits: Integers, places: Integers, repeated: RepeatedEvents) -> None:
        self.rows = rows
        self._commits, self._places = commits, places
        self._repeated = _LaterVersions(repeated)
        self._bounds = np.searchsorted(rows.codes, np.arange(len(rows.keys) + 1))
        self._touches = _Touches(*self._touching(repeated))

    def newest(self) -> EventRows:
        """Return the versions that are ever visible over all commits."""
        return self.rows.taken(np.flatnonzero(self.rows.enter_us < self.rows.leave_us))

    def touched(self, codes: Integers, instants_us: Integers, sequences: Integers) -> NDArray[np.bool_]:
        """Tell for which (key code, t, s) a commit after s that touches the key could be seen at t."""
        return self._touches.seen_later(codes, instants_us, sequences)

    def states(self, codes: Integers, sequences: Integers) -> Integers:
        """Return, per (key code, s), a number that tells what the key's versions are at s; -1 for none."""
        return self._touches.last(codes, sequences)

    def sizes(self, states: Integers) -> Integers:
        """Return at most how many versions `seen` gives for each of some states."""
        codes = self._touches.codes[states]
        return self._bounds[codes + 1] - self._bounds[codes]

    def seen(self, states: Integers) -> EventRows:
        """Return the versions as they are at some states, as if each were a key of its own, in the given order."""
        sizes = self.sizes(states)
        owner = np.repeat(np.arange(len(states)), sizes)
        first = self._bounds[self._touches.codes[states]]
        index = np.arange(len(owner)) + np.repeat(first - np.append(0, np.cumsum(sizes)[:-1]), sizes)
        upto = self._touches.commits[states][owner]
        known = self._commits[index] <= upto
        owner, index, upto = owner[known], index[known], upto[known]
        leave_us = self._repeated.leaves(self._places[index], upto)
        visible = self.rows.enter_us[index] < leave_us
        keys = self.rows.keys.take(self._touches.codes[states])
        return replace(self.rows.taken(index[visible]), keys=keys, codes=owner[visible], leave_us=leave_us[visible])

    def _touching(self, repeated: RepeatedEvents) -> tuple[Integers, Integers, Integers]:
        """Return the code, commit and availability of every touch of a key."""
        again = np.flatnonzero(self._places >= 0)
        places, codes = self._places[again], self.rows.codes[again]
        events = repeated.events[places]
        order = np.lexsort((places, codes, events))
        places, codes, events = places[order], codes[order], events[order]
        first = np.append(True, (events[1:] != events[:-1]) | (codes[1:] != codes[:-1]))[: len(places)]
        places, codes, events = places[first], codes[first], events[first]
        counts = np.searchsorted(repeated.events, events, side="right") - places - 1
        begins = places + 1 - np.append(0, np.cumsum(counts)[:-1])[: len(places)]
        later = np.arange(counts.sum()) + np.repeat(begins, counts)
        return (
            np.concatenate([self.rows.codes, np.repeat(codes, counts)]),
            np.concatenate([self._commits, repeated.commits[later]]),
            np.concatenate([self.rows.available_us, repeated.available_us[later]]),
        )


class _Touches:
    """The commits that touch each key, ascending by key and commit."""

    def __init__(self, codes: Integers, commits: Integers, available_us: Integers) -> None:
        order = np.lexsort((commits, codes))
        self.codes, self.commits = codes[order], commits[order]
        self._width = int(commits.max(initial=0)) + 2
        self._packed = self.codes * np.int64(self._width) + self.commits
        backwards = np.append(True, self.codes[::-1][1:] != self.codes[::-1][:-1])[: len(order)]
        soonest = -running_max(-available_us[order][::-1], backwards) if len(order) else available_us
        self._soonest_from_here = soonest[::-1]

    def seen_later(self, codes: Integers, instants_us: Integers, sequences: Integers) -> NDArray[np.bool_]:
        after = self._after(codes, sequences)
        there = np.flatnonzero(after < len(self.codes))
        seen = np.zeros(len(codes), dtype=np.bool_)
        at = after[there]
        seen[there] = (self.codes[at] == codes[there]) & (self._soonest_from_here[at] <= instants_us[there])
        return seen

    def last(self, codes: Integers, sequences: Integers) -> Integers:
        last = self._after(codes, sequences) - 1
        return np.where((last >= 0) & (self.codes[np.maximum(last, 0)] == codes), last, -1)

    def _after(self, codes: Integers, sequences: Integers) -> Integers:
        """Return where the first touch of each key after s is, if it has one."""
        wanted = codes * np.int64(self._width) + np.minimum(sequences, self._width - 1)
        return np.searchsorted(self._packed, wanted, side="right")


class _LaterVersions:
    """When the versions of repeated events leave, as of any commit."""

    def __init__(self, repeated: RepeatedEvents) -> None:
        self._events = repeated.events
        self._width = int(repeated.commits.max(initial=0)) + 2
        self._packed = repeated.events * np.int64(self._width) + repeated.commits
        self._instants, ranks = np.unique(repeated.available_us, return_inverse=True)
        self._earliness = len(self._instants) - 1 - ranks.astype(np.int64)

    def leaves(self, places: Integers, sequences: Integers) -> Integers:
        """Return when versions leave, given where they stand (-1: never) and up to which commit is looked."""
        leaves = np.full(len(places), NEVER_US)
        again = np.flatnonzero(places >= 0)
        low = places[again]
        upto = self._events[low] * np.int64(self._width) + np.minimum(sequences[again], self._width - 1)
        best = range_greatest(self._earliness, low + 1, np.searchsorted(self._packed, upto, side="right"))
        replaced = best >= 0
        leaves[again[replaced]] = self._instants[len(self._instants) - 1 - best[replaced]]
        return leaves
