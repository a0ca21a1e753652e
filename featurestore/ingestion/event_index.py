"""The event index: of each event its newest version, for as long as a correction of it has to be told.

An entry says what the newest version holds (8 bytes of hash), whether it withdraws the event, and under which entity
keys the version stands, one per key column of the source's views. With it a row is known as a duplicate, and the
version that a correction ends is found in the log it is in, even where the correction names another entity.

::

    4         checksum of the instant of the filling that it is of, and of the names of the key columns, in order
    8         content hash of the newest version
    1         1 if it is a tombstone
    8         event timestamp of the newest version, microseconds UTC
    per key column:
      2       length of the encoded entity key, 65535 where the column is null
      ...     the key

The index is **filled** from history when a source is opened first, when views with other key columns or longer windows
follow it, and when all is rebuilt. An entry of an earlier filling is not read any more, as it may tell of a version
that history was found not to have.

An entry is kept until the event is out of every window, or was last committed if that is later, and `lateness` beyond.
"""

from __future__ import annotations

import copy
import struct
from binascii import crc32
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import FeatureView, Source
from featurestore.ingestion.accept import EventForm
from featurestore.online.index_value import index_payload, index_value
from featurestore.online.keys import SourceKeys, key_encoder
from featurestore.semantics.identity import content_hashes, identity_keys
from featurestore.semantics.value import Column

Entry = tuple[bytes, bytes, int]
_HEAD = struct.Struct("<I8s?q")
_LENGTH = struct.Struct("<H")
_NULL = 0xFFFF


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """The newest version of an event.

    Attributes
    ----------
    content
        Its content hash.
    deleted
        Whether it withdraws the event.
    event_us
        Its event timestamp, microseconds UTC.
    keys
        The encoded entity key by key column; ``None`` where the column is null.
    """

    content: bytes
    deleted: bool
    event_us: int
    keys: Mapping[str, bytes | None]


class EventIndex:
    """Write and read the entries of one source.

    Parameters
    ----------
    source, views
        The source and the views over it.
    lateness_us
        How long after its time an event is kept, microseconds.

    Attributes
    ----------
    columns
        The key columns of the views, sorted.
    retention_us
        Age from which on an event that the index lacks may be one that it has forgotten, microseconds.

    Entries are those of no filling until `of_filling`.
    """

    def __init__(self, source: Source, views: Sequence[FeatureView], lateness_us: int) -> None:
        self._source = source
        self._keys = SourceKeys(source.name)
        entities = {view.key: view.entity for view in views}
        self.columns = tuple(sorted(entities))
        self._encoders = {name: key_encoder(entities[name].dtype, entities[name].name) for name in self.columns}
        self._tag = self._tag_of(None)
        self._longest_us = max((window for view in views for window in view.windows), default=0)
        self._lateness_us = lateness_us
        self.retention_us = self._longest_us + lateness_us
        self._content = EventForm(source).sent

    def of_filling(self, filled_us: int | None) -> EventIndex:
        """Return the same index with the entries that were written since it was filled, at that instant."""
        index = copy.copy(self)
        index._tag = self._tag_of(filled_us)  # noqa: SLF001
        return index

    def _tag_of(self, filled_us: int | None) -> int:
        return crc32("\0".join([str(filled_us), *self.columns]).encode())

    def identities(self, columns: Mapping[str, Column]) -> list[bytes]:
        """Return each row's identity as bytes."""
        return identity_keys([columns[name] for name in self._source.identity])

    def contents(self, columns: Mapping[str, Column]) -> list[bytes]:
        """Return each row's content hash, over all columns but the one that a commit fills."""
        return content_hashes([columns[name] for name in self._content])

    def stored_keys(self, identities: Sequence[bytes]) -> list[bytes]:
        """Return where the entries of identities are."""
        return list(map(self._keys.index, identities))

    def read(self, stored: bytes | None) -> KnownEvent | None:
        """Read an entry; ``None`` if there is none, or it is of other key columns, or another filling."""
        if stored is None:
            return None
        payload = index_payload(stored)
        tag, content, deleted, event_us = _HEAD.unpack_from(payload)
        if tag != self._tag:
            return None
        return KnownEvent(content, deleted, event_us, dict(zip(self.columns, _keys(payload), strict=True)))

    def encoded_keys(self, columns: Mapping[str, Column], rows: NDArray[np.int64]) -> dict[str, list[bytes | None]]:
        """Return the encoded entity keys of some rows by key column."""
        return {name: _encoded(columns[name].take(rows), encode) for name, encode in self._encoders.items()}

    def entries(
        self,
        at: Sequence[bytes],
        contents: Sequence[bytes],
        deleted: Sequence[bool],
        keys: Mapping[str, Sequence[bytes | None]],
        *,
        event_us: NDArray[np.int64],
        a_us: int,
    ) -> list[Entry]:
        """Return the entries that say these versions are the newest.

        Parameters
        ----------
        at
            Where they are stored (`stored_keys`).
        a_us
            When they were committed.
        """
        expiries = (np.maximum(event_us, a_us - self._longest_us).astype(object) + self.retention_us).tolist()
        tails = zip(*(map(_packed, keys[name]) for name in self.columns), strict=True) if keys else [()] * len(at)
        rows = zip(at, contents, deleted, event_us.tolist(), tails, expiries, strict=True)
        pack, tag = _HEAD.pack, self._tag
        return [
            (
                key,
                index_value(pack(tag, content, gone, event) + b"".join(tail), max(until, 1)),
                max(until - a_us, 0) // 1000 + 1,
            )
            for key, content, gone, event, tail, until in rows
        ]


def _encoded(of: Column, encode: object) -> list[bytes | None]:
    return [None if value is None else encode(value) for value in of.to_pylist()]  # type: ignore[operator]


def _packed(key: bytes | None) -> bytes:
    return b"\xff\xff" if key is None else _LENGTH.pack(len(key)) + key


def _keys(payload: bytes) -> list[bytes | None]:
    at, keys = _HEAD.size, []
    while at < len(payload):
        (length,) = _LENGTH.unpack_from(payload, at)
        at += _LENGTH.size
        keys.append(None if length == _NULL else payload[at : at + length])
        at += 0 if length == _NULL else length
    return keys
