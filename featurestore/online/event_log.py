"""Pack a key's event versions into a log, and read it back.

A log is a **base** and any number of **additions**, one per commit that touched the key since: chunks one after the
other, each sealed in an envelope of its own that says how long it is, so that a commit appends its few versions without
rewriting what is there. The base says from which instant on the log is exact, its **floor**. An addition brings new
versions, and closes earlier ones, of whose events a later version has arrived. A log's stamp is its last chunk's.

The versions of a chunk stand in the total order ``(event_timestamp, available_at, event_id)``; those of different
chunks have different available_at, or stand in that order anyway, so that reading sorts them by the first two.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from featurestore.online import log_chunk
from featurestore.online.envelope import (
    HEAD_BYTES,
    LOG,
    STAMP,
    TAIL_BYTES,
    TILES,
    WHOLE,
    Stamp,
    head,
    refusal,
    seal,
    unpack_stamp,
)
from featurestore.online.errors import RowFormatError
from featurestore.online.tiles import Summaries, TileIndex
from featurestore.online.versions import AVAILABLE, LEAVE, Layout, Versions
from featurestore.semantics.aggregate import Aggregate, EventLog
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import DType

_LENGTH = struct.Struct("<I")
_FLAGS_AT, _LENGTH_AT = 3, 4
_NOTHING_CLOSED = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class LogLimits:
    """When a log is written anew instead of appended to.

    Attributes
    ----------
    chunks, hot_chunks
        Chunks that a log has at most, and the head of a hot one.
    hot_versions
        From how many versions on the older ones are summarised by tiles.
    tile_versions
        How many a tile has, about.
    """

    chunks: int = 16
    hot_chunks: int = 64
    hot_versions: int = 2_048
    tile_versions: int = 2_048


class StoredLog(NamedTuple):
    """What a log says of itself.

    Attributes
    ----------
    base
        How many of its versions the base holds.
    chunks
        Number of chunks.
    floor_us
        The log is exact at any instant from this on.
    stamp
        Of the last chunk, packed.
    tiles
        Of a hot key the index of its tiles, whose versions are not among those that were read.
    """

    base: int
    chunks: int
    floor_us: int
    stamp: bytes
    tiles: TileIndex | None


@dataclass(frozen=True, slots=True)
class StoredLogs:
    """Logs that were read together.

    Attributes
    ----------
    versions
        Those of all logs, each log's in the order of storage, closed where an addition closes them.
    bounds
        Those of log i are ``[bounds[i], bounds[i + 1])``.
    logs
        What each log says of itself.
    """

    versions: Versions
    bounds: NDArray[np.int64]
    logs: Sequence[StoredLog]


class LogCodec:
    """Pack and read the logs of one view.

    Parameters
    ----------
    view
        The view's name, for errors.
    digest
        The view's digest, 64 hexadecimal digits.
    columns
        Names and types of the columns that the view's aggregates are computed over, in a fixed order.
    aggregates
        The view's aggregates.
    limits
        When logs are written anew.
    """

    def __init__(
        self,
        view: str,
        digest: str,
        columns: Sequence[tuple[str, DType]],
        aggregates: Sequence[Aggregate] = (),
        limits: LogLimits | None = None,
    ) -> None:
        self.where = f"online log of feature view {view!r}"
        self.layout = Layout(columns)
        self.aggregates = tuple(aggregates)
        self.summaries = Summaries(self.layout, self.aggregates)
        self.windows_us = sorted({a.window_us for a in aggregates if a.window_us is not None})
        self.longest_us = max(self.windows_us, default=0)
        self.limits = limits or LogLimits()
        self._digest = bytes.fromhex(digest[:16])

    def encode(self, log: EventLog, stamp: Stamp, floor_us: int | None = None) -> bytes:
        """Return a log of one base, exact from ``floor_us`` on, by default from the stamp's instant on."""
        return self.base(self.layout.pack(log), stamp, stamp.as_of_us if floor_us is None else floor_us)

    def base(self, versions: Versions, stamp: Stamp, floor_us: int) -> bytes:
        """Return a log of one base of versions in total order."""
        return self._chunk(versions, _NOTHING_CLOSED, stamp, floor_us)

    def addition(self, versions: Versions, closed: NDArray[np.int64], stamp: Stamp) -> bytes:
        """Return a chunk to append: new versions in total order, and the places of those that leave at the stamp."""
        return self._chunk(versions, closed, stamp, None)

    def additions(self, versions: Versions, bounds: Sequence[tuple[int, int]], stamp: Stamp) -> list[bytes]:
        """Return what `addition` does for many logs that close nothing.

        Parameters
        ----------
        versions
            Those of all logs.
        bounds
            First and end of each log's.
        """
        if self.layout.text_rows or not _are_new(versions, stamp):
            return [self.addition(versions.take(slice(*each)), _NOTHING_CLOSED, stamp) for each in bounds]
        chunks: list[bytes] = [b""] * len(bounds)
        for (m, some_null), places in self._alike(versions, bounds).items():
            first = np.array([bounds[place][0] for place in places], dtype=np.int64)
            flags, bodies = log_chunk.pack_alike(self.layout, versions.words, first, m, some_null=some_null)
            size = bodies.shape[1] * 8
            bodies[:, : HEAD_BYTES // 8] = np.frombuffer(head(LOG, flags, size, self._digest, stamp), dtype="<i8")
            packed = bodies.tobytes()
            for at, place in zip(range(0, len(packed), size), places, strict=True):
                chunks[place] = seal(packed[at : at + size - TAIL_BYTES])
        return chunks

    def _alike(self, versions: Versions, bounds: Sequence[tuple[int, int]]) -> dict[tuple[int, bool], list[int]]:
        """Return which logs have as many versions, and nulls among them or none."""
        null = np.asarray(versions.words[self.layout.nulls_at :].any(axis=0))
        nulls: list[bool] | None = null.tolist() if null.any() else None
        alike: defaultdict[tuple[int, bool], list[int]] = defaultdict(list)
        for place, (first, end) in enumerate(bounds):
            alike[end - first, nulls is not None and any(nulls[first:end])].append(place)
        return alike

    def index(self, index: TileIndex, stamp: Stamp) -> bytes:
        """Return the chunk that stands before a hot key's head."""
        body = index.body()
        return seal(head(TILES, 0, HEAD_BYTES + len(body) + TAIL_BYTES, self._digest, stamp) + body)

    def decode(self, stored: bytes) -> tuple[EventLog, Stamp]:
        """Return the versions in total order and the log's stamp.

        Raises
        ------
        RowFormatError
            If the bytes are not a whole log of this view in this format, or of a hot key, whose tiles stand elsewhere.
        """
        read = self.read([stored])
        if read.logs[0].tiles is not None:
            raise self.mismatch("the log of a hot key cannot be read without its tiles")
        return self.layout.unpack(read.versions.in_order()), unpack_stamp(read.logs[0].stamp)

    def read(self, stored: Sequence[bytes]) -> StoredLogs:
        """Read several logs, by the same conditions as `decode`."""
        chunks: list[log_chunk.Chunk] = []
        logs, bounds = [], np.zeros(len(stored) + 1, dtype=np.int64)
        at = 0
        for i, log in enumerate(stored):
            index, part = self._placed(log, at)
            chunks += part
            base, last = part[0], part[-1]
            logs.append(StoredLog(base.m, len(part), base.floor_us, last.content[STAMP], index))
            bounds[i + 1] = at = last.at + last.m
        versions = self.layout.blank(at)
        log_chunk.fill(self.layout, versions, chunks, self.mismatch)
        numbered = all(chunk.numbered for chunk in chunks)
        return StoredLogs(Versions(versions.words, versions.texts, numbered), bounds, logs)

    def _placed(self, stored: bytes, first: int) -> tuple[TileIndex | None, list[log_chunk.Chunk]]:
        """Return a log's index, if it has one, and its chunks, their versions to stand from ``first`` on."""
        at, index = first, None
        placed: list[log_chunk.Chunk] = []
        for content in self.chunks(stored):
            if content[:2] == TILES[:2]:
                index = TileIndex.read(content, self.summaries.rows, self.mismatch)
                continue
            m, k, floor_us = log_chunk.counts(content, self.mismatch)
            if bool(content[_FLAGS_AT] & log_chunk.BASE) == bool(placed):
                raise self.mismatch("a stored log has a base in another place than its beginning")
            placed.append(log_chunk.Chunk(content, m, k, floor_us, first, at))
            at += m
        if not placed:
            raise self.mismatch("a stored log has an index of tiles and no head")
        return index, placed

    def whole(self, stored: bytes | None, stamp: bytes) -> bool:
        """Tell whether a stored log is whole and has this packed stamp; its values are not looked at."""
        try:
            return stored is not None and self.chunks(stored)[-1][STAMP] == stamp
        except RowFormatError:
            return False

    def chunks(self, stored: bytes) -> list[bytes]:
        """Return the chunks, each of them whole; the first may be an index of tiles."""
        if self._is_whole(stored, LOG):
            return [stored]
        at = 0
        chunks: list[bytes] = []
        while at < len(stored) or not chunks:
            length = _LENGTH.unpack_from(stored, at + _LENGTH_AT)[0] if len(stored) - at >= HEAD_BYTES else 0
            chunk = stored[at : at + length] if length else stored[at:]
            form = TILES if not at and chunk[:2] == TILES[:2] else LOG
            if not self._is_whole(chunk, form):
                raise refusal(chunk, form, self._digest, self.where) or self.mismatch("a stored log is not whole")
            chunks.append(chunk)
            at += length
        return chunks

    def _is_whole(self, chunk: bytes, form: bytes) -> bool:
        length = _LENGTH.unpack_from(chunk, _LENGTH_AT)[0] if len(chunk) >= HEAD_BYTES + TAIL_BYTES else 0
        return length == len(chunk) and crc32(chunk) == WHOLE and chunk[:3] == form and chunk[8:16] == self._digest

    def mismatch(self, what: str) -> RowFormatError:
        """Return the error of a log that contradicts itself."""
        return RowFormatError(what, where=self.where, mend="run `unskew materialise` to write it anew")

    def _chunk(self, versions: Versions, closed: NDArray[np.int64], stamp: Stamp, base_floor_us: int | None) -> bytes:
        flags, body = log_chunk.pack(self.layout, versions, closed, stamp.as_of_us, base_floor_us)
        return seal(head(LOG, flags, HEAD_BYTES + len(body) + TAIL_BYTES, self._digest, stamp) + body)


def _are_new(versions: Versions, stamp: Stamp) -> bool:
    """Tell whether versions are numbered, and all of the stamp's instant without an end."""
    words = versions.words
    return versions.numbered and bool((words[AVAILABLE] == stamp.as_of_us).all() and (words[LEAVE] == NEVER_US).all())
