"""The rows of one commit: which are new, which of them can be seen, and which versions they end.

Of the versions of an event that one commit holds, all go to history and only the last can ever be seen: they become
available at one instant. What equals the newest version before it, in the index or in the batch, is a duplicate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import Source
from featurestore.ingestion.accept import EventForm
from featurestore.ingestion.event_index import EventIndex, KnownEvent
from featurestore.ingestion.stream.base import Entry
from featurestore.semantics.identity import identity_numbers
from featurestore.semantics.value import Column


@dataclass(frozen=True, slots=True)
class Resolution:
    """What becomes of the rows of a batch, by ordinal.

    Attributes
    ----------
    kept
        Rows that go to history, ascending: all but duplicates and failed ones.
    newest
        Of these the last version of each event, ascending.
    duplicates
        Rows that equal the newest version of their event.
    """

    kept: NDArray[np.int64]
    newest: NDArray[np.int64]
    duplicates: tuple[int, ...]


class MicroBatch:
    """The rows of some entries of the stream, read as columns.

    Attributes
    ----------
    columns
        All columns of the schema, null in the one that a commit fills.
    event_us
        Event timestamps, microseconds UTC.
    deleted
        Which rows are tombstones.
    identities, numbers
        Which event each row is of: as bytes, and as what the logs carry.
    contents
        The rows' content hashes.
    """

    def __init__(self, source: Source, form: EventForm, index: EventIndex, entries: Sequence[Entry]) -> None:
        self.columns = form.columns([entry.payload for entry in entries])
        self.event_us = self.columns[source.event_timestamp].values
        self.deleted = tombstones(source, self.columns)
        self.identities = index.identities(self.columns)
        self.numbers = identity_numbers([self.columns[name] for name in source.identity])
        self.contents = index.contents(self.columns)

    def __len__(self) -> int:
        return len(self.event_us)

    def resolve(self, known: Sequence[KnownEvent | None], failed: Sequence[int]) -> Resolution:
        """Tell duplicates, and which version of each event is the last, without the rows that failed."""
        newest: dict[bytes, bytes] = {}
        last: dict[bytes, int] = {}
        duplicates: list[int] = []
        out = frozenset(failed)
        for i, (identity, content, stored) in enumerate(zip(self.identities, self.contents, known, strict=True)):
            before = newest.get(identity) or (None if stored is None else stored.content)
            if i in out:
                continue
            if before == content:
                duplicates.append(i)
                continue
            newest[identity] = content
            last[identity] = i
        return self._resolution(last, duplicates, failed)

    def resolved(self, duplicates: Sequence[int], failed: Sequence[int]) -> Resolution:
        """Return the resolution that was come to before: of a commit that is made again."""
        out = {*duplicates, *failed}
        last = {identity: i for i, identity in enumerate(self.identities) if i not in out}
        return self._resolution(last, duplicates, failed)

    def _resolution(self, last: dict[bytes, int], duplicates: Sequence[int], failed: Sequence[int]) -> Resolution:
        kept = np.ones(len(self), dtype=np.bool_)
        kept[[*duplicates, *failed]] = False
        newest = np.fromiter(last.values(), np.int64, len(last))
        newest.sort()
        return Resolution(np.flatnonzero(kept), newest, tuple(duplicates))


def tombstones(source: Source, columns: Mapping[str, Column]) -> NDArray[np.bool_]:
    """Return which rows withdraw their events."""
    if source.tombstone is None:
        return np.zeros(len(columns[source.event_timestamp]), dtype=np.bool_)
    return np.asarray(columns[source.tombstone].values, dtype=np.bool_)
