"""One view's share of a commit: from its rows to what changes of its keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import FeatureView
from featurestore.ingestion.errors import OnlineAhead
from featurestore.ingestion.key_cache import HeldKey, KeyCache
from featurestore.offline.row_engine import RowsOfView
from featurestore.online.base import NO_PARTS, KeyChange, OnlineStore
from featurestore.online.envelope import Stamp
from featurestore.online.key_log import LogWrite
from featurestore.online.key_logs import apply_all
from featurestore.online.versions import Versions
from featurestore.online.view_format import ViewFormat
from featurestore.semantics.aggregate import EventLog
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import Column

_NONE = (0, 0)


@dataclass(frozen=True, slots=True)
class NewestRows:
    """The newest versions of a batch, tombstones included.

    Attributes
    ----------
    event_us, numbers, identity
        When each happened, the number of its event, and the identity columns, which order those of one instant.
    """

    event_us: NDArray[np.int64]
    numbers: NDArray[np.uint64]
    identity: Sequence[Column]


@dataclass(frozen=True, slots=True)
class NewVersions(NewestRows):
    """The versions that a commit brings to one view.

    Attributes
    ----------
    keys
        The encoded entity key of each.
    columns
        What the view's aggregates read.
    """

    keys: Sequence[bytes]
    columns: Mapping[str, Column]


def newest_of_view(
    rows: RowsOfView, places: NDArray[np.int64], keys: Sequence[bytes | None], newest: NewestRows
) -> NewVersions:
    """Return those of a view's rows that are newest versions.

    Parameters
    ----------
    places
        Per row, where it stands among the newest versions; -1 if it is none.
    keys
        The encoded entity keys of the newest versions.
    """
    chosen = np.flatnonzero(places >= 0)
    at = places[chosen]
    return NewVersions(
        newest.event_us[at],
        newest.numbers[at],
        [of.take(at) for of in newest.identity],
        [key for place in at.tolist() if (key := keys[place]) is not None],
        rows.columns if len(chosen) == len(places) else {name: of.take(chosen) for name, of in rows.columns.items()},
    )


@dataclass(frozen=True, slots=True)
class Instants:
    """The instants that matter to a commit besides its own, microseconds UTC.

    Attributes
    ----------
    floor_us
        No read before it will be answered.
    forgotten_us
        Nobody looks for a later version of an event from before it.
    """

    floor_us: int
    forgotten_us: int


class ViewWriter:
    """Keep the rows and logs of one view up with the commits of its source; for one thread.

    Parameters
    ----------
    view, store
        The view and the store of its rows.
    floor_us
        The instant of the view's base.
    cache_bytes
        Memory for decoded logs.
    """

    def __init__(self, view: FeatureView, store: OnlineStore, floor_us: int, cache_bytes: int) -> None:
        self.view = view
        self._form = ViewFormat(view)
        self._store = store
        self.cache = KeyCache(self._form, store, floor_us, cache_bytes)
        self._changed: list[bytes] = []

    def changes(
        self, new: NewVersions, closed: Mapping[bytes, list[int]], stamp: Stamp, instants: Instants
    ) -> list[KeyChange]:
        """Return what the commit changes of the view's keys, but for those that have the commit already.

        The logs in memory are changed with it: call `keep` once the store has the changes, or `forget`.

        Parameters
        ----------
        closed
            By encoded entity key, the numbers of the events that a later version of ends there.
        """
        parts, versions = self._parts(new, stamp)
        keys = [*parts, *(key for key in closed if key not in parts)]
        self._changed = keys
        packed = stamp.pack()
        due = [(key, held) for key, held in zip(keys, self.cache.get(keys), strict=True) if held.stamp != packed]
        if any(held.stamp > packed for _, held in due):
            raise OnlineAhead(self.view.name, self._store.name, stamp.sequence)
        writes = apply_all(
            self._form.logs,
            [held.log for _, held in due],
            versions,
            [parts.get(key, _NONE) for key, _ in due],
            {place: closed[key] for place, (key, _) in enumerate(due) if key in closed},
            stamp=stamp,
            floor_us=instants.floor_us,
            forgotten_us=instants.forgotten_us,
        )
        for (_, held), write in zip(due, writes, strict=True):
            if write.parts:
                held.unstored.update(write.parts)
        rows = self._rows([held for _, held in due], stamp)
        changes = [_change(held, row, write) for (_, held), row, write in zip(due, rows, writes, strict=True)]
        for _, held in due:
            held.stamp = packed
        return changes

    def keep(self) -> None:
        """Hold what the last `changes` made of the logs: the store has it."""
        self.cache.keep(self._changed)

    def forget(self) -> None:
        """Forget the keys of the last `changes`: what the store has of them is not known."""
        self.cache.forget(self._changed)

    def _rows(self, held: Sequence[HeldKey], stamp: Stamp) -> list[bytes]:
        return self._form.rows_at([each.log for each in held], [stamp] * len(held), stamp.as_of_us) if held else []

    def _parts(self, new: NewVersions, stamp: Stamp) -> tuple[dict[bytes, tuple[int, int]], Versions]:
        """Return the versions sorted by key and in the total order, and where those of each key stand."""
        codes: dict[bytes, int] = {}
        code = np.fromiter((codes.setdefault(key, len(codes)) for key in new.keys), np.int64, len(new.keys))
        order = _total_order(code, new)
        taken = {name: of.take(order) for name, of in new.columns.items()}
        available_us = np.full(len(order), stamp.as_of_us, dtype=np.int64)
        leave_us = np.full(len(order), NEVER_US, dtype=np.int64)
        log = EventLog(new.event_us[order], available_us, leave_us, taken, new.numbers[order])
        bounds = np.searchsorted(code[order], np.arange(len(codes) + 1)).tolist()
        parts = dict(zip(codes, pairwise(bounds), strict=True))
        return parts, self._form.logs.layout.pack(log)


def _change(held: HeldKey, row: bytes, write: LogWrite) -> KeyChange:
    parts = {held.log_key + part: value for part, value in write.parts.items()} if write.parts else NO_PARTS
    return KeyChange(held.row_key, row, held.log_key, write.log, write.append, held.stamp, parts)


def ended_versions(
    known: Sequence[tuple[Mapping[str, bytes | None], int]], column: str
) -> defaultdict[bytes, list[int]]:
    """Return, by encoded entity key, the numbers of the events whose newest version so far stands there.

    Parameters
    ----------
    known
        Of each event that has a later version now: its entity key by key column, and its number.
    column
        The view's key column.
    """
    ended: defaultdict[bytes, list[int]] = defaultdict(list)
    for keys, number in known:
        key = keys[column]
        if key is not None:
            ended[key].append(number)
    return ended


def _total_order(code: NDArray[np.int64], new: NewVersions) -> NDArray[np.int64]:
    """Return the order by key, event timestamp and event id; all become available at one instant."""
    order = np.lexsort((new.event_us, code))
    ties = (np.diff(code[order]) == 0) & (np.diff(new.event_us[order]) == 0)
    if not ties.any():
        return order
    return np.lexsort((*(_ranks(of) for of in reversed(new.identity)), new.event_us, code))


def _ranks(of: Column) -> NDArray[np.int64]:
    """Return numbers that order as the values do: text by code point, as UTF-8 sorts."""
    if of.dtype.name != "string":
        return of.values
    return np.unique(of.values, return_inverse=True)[1]
