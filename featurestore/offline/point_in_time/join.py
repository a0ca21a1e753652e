"""The point-in-time join of a spine with one view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurestore.offline.point_in_time.event_rows import EventRows
from featurestore.offline.point_in_time.moving_state import MovingStates
from featurestore.offline.point_in_time.timeline import CHUNK_ROWS, Integers, Timeline, in_pieces
from featurestore.semantics.aggregate import Aggregate, AggregateState
from featurestore.semantics.finalise import Finalised, finalise
from featurestore.semantics.status import Status
from featurestore.semantics.value import Column, null_column

HELD_STATES = 30_000_000
"""States of all aggregates at all positions that are kept at a time: some 8 to 40 bytes each."""


@dataclass(frozen=True, slots=True)
class ViewFrame:
    """A view's features at the rows of a spine, in the spine's order; TTL not applied.

    Attributes
    ----------
    columns, statuses
        Per feature its values, and its statuses as uint8 of `Status`.
    latest_event_us, has_latest
        Per row the event timestamp of the key's latest visible version, and whether there is one.
    """

    columns: dict[str, Column]
    statuses: dict[str, NDArray[np.uint8]]
    latest_event_us: Integers
    has_latest: NDArray[np.bool_]

    def take(self, index: Integers) -> ViewFrame:
        """Return some of the rows."""
        columns = {name: of.take(index) for name, of in self.columns.items()}
        statuses = {name: of[index] for name, of in self.statuses.items()}
        return ViewFrame(columns, statuses, self.latest_event_us[index], self.has_latest[index])


def join(
    rows: EventRows, aggregates: Mapping[str, Aggregate], codes: Integers, instants_us: Integers, threads: int = 1
) -> ViewFrame:
    """Return the features at each (key, instant) over the versions visible then.

    Parameters
    ----------
    rows
        The versions of the keys asked for.
    aggregates
        The features by name.
    codes, instants_us
        Per spine row the index of its key in ``rows.keys``, -1 for a key without versions, and its instant.
    threads
        Threads to use; the result does not depend on them.
    """
    return PreparedJoin(rows, aggregates, hold=False).at(codes, instants_us, threads)


class PreparedJoin:
    """The join of rows with aggregates, of which all that does not depend on the questions is done once.

    Parameters
    ----------
    rows, aggregates
        As for `join`.
    hold
        Keep the aggregates' states, too, from one question to the next, if they are at most `HELD_STATES`.
    """

    def __init__(self, rows: EventRows, aggregates: Mapping[str, Aggregate], *, hold: bool = True) -> None:
        self._rows = rows
        self._aggregates = aggregates
        self._held: dict[str, AggregateState] | None = None
        if not len(rows):
            return
        windows = tuple(sorted({a.window_us for a in aggregates.values() if a.window_us is not None}))
        self._timeline = Timeline(rows, windows)
        self._states = MovingStates(self._timeline)
        if hold and len(self._timeline) * len(aggregates) <= HELD_STATES:
            self._held = {}

    def at(self, codes: Integers, instants_us: Integers, threads: int = 1) -> ViewFrame:
        """Return the features at each (key, instant); see `join`."""
        if not len(self._rows):
            return _nothing(self._aggregates, len(codes))
        positions = self._timeline.locate(codes, instants_us, threads)
        asked, places = _asked(positions, len(self._timeline))
        latest = self._states.latest()[positions]
        columns, statuses = {}, {}
        for name, aggregate in self._aggregates.items():
            finalised = finalise(aggregate, self._state(name).take(asked))
            columns[name], statuses[name] = _given_out(finalised, places, threads)
        return ViewFrame(columns, statuses, self._rows.event_us[np.maximum(latest, 0)], latest >= 0)

    def _state(self, name: str) -> AggregateState:
        if self._held is None:
            return self._states.state(self._aggregates[name])
        if name not in self._held:
            self._held[name] = self._states.state(self._aggregates[name])
        return self._held[name]


def stacked(frames: Sequence[ViewFrame]) -> ViewFrame:
    """Return the rows of frames of the same features, at least one, one frame after the other."""
    columns = {
        name: Column(
            of.dtype,
            np.concatenate([frame.columns[name].values for frame in frames]),
            np.concatenate([frame.columns[name].nulls for frame in frames]),
        )
        for name, of in frames[0].columns.items()
    }
    return ViewFrame(
        columns,
        {name: np.concatenate([frame.statuses[name] for frame in frames]) for name in columns},
        np.concatenate([frame.latest_event_us for frame in frames]),
        np.concatenate([frame.has_latest for frame in frames]),
    )


def _asked(positions: Integers, length: int) -> tuple[Integers, Integers]:
    """Return the positions that any row asks for, ascending, and for each row the place of its own among them.

    Only these are finalised: each once, and none that could fail where nobody looks.
    """
    wanted = np.zeros(length, dtype=np.bool_)
    wanted[positions] = True
    places = np.cumsum(wanted) - 1
    return np.flatnonzero(wanted), places[positions]


def _given_out(finalised: Finalised, places: Integers, threads: int) -> Finalised:
    """Give each row the value and status at its place."""
    values, statuses = finalised
    taken = Column(values.dtype, np.empty(len(places), values.values.dtype), np.zeros(len(places), np.bool_))
    marks = np.full(len(places), Status.PRESENT, dtype=np.uint8)
    plain = not values.nulls.any() and not statuses.any()

    def fill(start: int) -> None:
        piece = slice(start, start + CHUNK_ROWS)
        chosen = places[piece]
        taken.values[piece] = values.values[chosen]
        if not plain:
            taken.nulls[piece] = values.nulls[chosen]
            marks[piece] = statuses[chosen]

    in_pieces(fill, len(places), threads)
    return taken, marks


def _nothing(aggregates: Mapping[str, Aggregate], length: int) -> ViewFrame:
    none = np.zeros(length, dtype=np.int64)
    columns, statuses = {}, {}
    for name, aggregate in aggregates.items():
        value = null_column(aggregate.input, length) if aggregate.input else None
        empty = AggregateState(none, none, none, none, None, value, none)
        columns[name], statuses[name] = finalise(aggregate, empty)
    return ViewFrame(columns, statuses, none, np.zeros(length, dtype=np.bool_))
