"""Pack a key's event versions into a log, and read it back.

A log is a **base** and any number of **additions**, one per commit that touched the key since: chunks one after the
other, each sealed in an envelope of its own that says how long it is, so that a commit appends its few versions without
rewriting what is there. The base says from which instant on the log is exact, its **floor**. An addition brings new
versions, and closes earlier ones, of whose events a later version has arrived. A chunk's flags are bits of the
envelope's own byte; its body::

    4        m, number of versions
    4        k, number of earlier versions that are closed, at the chunk's own as-of instant
    8        the floor, microseconds UTC; 0 in an addition
    ...      words of 8 bytes, per attribute m of them: available_at (if flag 1), leave (flag 4), event timestamp, event
             number (flag 8), each column, null bits for every 64 columns (flag 16)
    8 k      places of the closed versions, counted from the log's first in the order of storage
    ...      the strings, column by column, UTF-8; then zeros up to 4 bytes before a multiple of 8

    flags    1 each version has its available_at; otherwise 2: as its event timestamp; otherwise: the as-of instant
             4 each version has its leave; otherwise: never      8 numbered      16 some value is null      32 a base

Little-endian; `featurestore.online.versions` says what a word holds. The versions of a chunk stand in the total order
``(event_timestamp, available_at, event_id)``; those of different chunks have different available_at, or stand in that
order anyway, so that reading sorts them by the first two. A log's stamp is its last chunk's.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.online.envelope import HEAD_BYTES, LOG, STAMP, TAIL_BYTES, Stamp, head, refusal, seal, unpack_stamp
from featurestore.online.errors import RowFormatError
from featurestore.online.versions import AVAILABLE, EVENT, FIRST, ID, LEAVE, Layout, Versions, Words
from featurestore.semantics.aggregate import Aggregate, EventLog
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import DType

_EACH_AVAILABLE, _AS_EVENT, _EACH_LEAVE, _NUMBERED, _SOME_NULL, _BASE = 1, 2, 4, 8, 16, 32
_COUNTS = struct.Struct("<IIq")
_BODY_AT = HEAD_BYTES + _COUNTS.size
_LENGTH = struct.Struct("<I")
_FLAGS_AT, _LENGTH_AT = 3, 4
_NOTHING_CLOSED = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class LogLimits:
    """When a log is written anew instead of appended to.

    Attributes
    ----------
    chunks
        Chunks that a log has at most.
    """

    chunks: int = 16


@dataclass(frozen=True, slots=True)
class StoredLog:
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
        Of the last chunk.
    """

    base: int
    chunks: int
    floor_us: int
    stamp: Stamp


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
        self.longest_us = max((a.window_us for a in aggregates if a.window_us is not None), default=0)
        self.limits = limits or LogLimits()
        self._digest = bytes.fromhex(digest[:16])

    def encode(self, log: EventLog, stamp: Stamp, floor_us: int | None = None) -> bytes:
        """Return a log of one base, exact from ``floor_us`` on, by default from the stamp's instant on."""
        return self.base(self.layout.pack(log), stamp, stamp.as_of_us if floor_us is None else floor_us)

    def base(self, versions: Versions, stamp: Stamp, floor_us: int) -> bytes:
        """Return a log of one base of versions in total order."""
        return self._chunk(versions, _NOTHING_CLOSED, stamp, floor_us, _BASE)

    def addition(self, versions: Versions, closed: NDArray[np.int64], stamp: Stamp) -> bytes:
        """Return a chunk to append: new versions in total order, and the places of those that leave at the stamp."""
        return self._chunk(versions, closed, stamp, 0, 0)

    def decode(self, stored: bytes) -> tuple[EventLog, Stamp]:
        """Return the versions in total order and the log's stamp.

        Raises
        ------
        RowFormatError
            If the bytes are not a whole log of this view in this format.
        """
        read = self.read([stored])
        return self.layout.unpack(read.versions.in_order()), read.logs[0].stamp

    def read(self, stored: Sequence[bytes]) -> StoredLogs:
        """Read several logs, by the same conditions as `decode`."""
        parsed = [self._parsed(log) for log in stored]
        bounds = np.zeros(len(stored) + 1, dtype=np.int64)
        np.cumsum([sum(chunk.m for chunk in chunks) for chunks in parsed], out=bounds[1:])
        versions = self.layout.blank(int(bounds[-1]))
        for first, chunks in zip(bounds.tolist(), parsed, strict=False):
            at = first
            for chunk in chunks:
                chunk.read_into(versions, first, at)
                at += chunk.m
        numbered = all(chunk.numbered or not chunk.m for chunks in parsed for chunk in chunks)
        logs = [StoredLog(chunks[0].m, len(chunks), chunks[0].floor_us, chunks[-1].stamp) for chunks in parsed]
        return StoredLogs(Versions(versions.words, versions.texts, numbered), bounds, logs)

    def _parsed(self, stored: bytes) -> list[_Chunk]:
        chunks = [_Chunk(self, chunk) for chunk in self.chunks(stored)]
        if not chunks[0].is_base or any(chunk.is_base for chunk in chunks[1:]):
            raise self.mismatch("a stored log has a base in another place than its beginning")
        return chunks

    def whole(self, stored: bytes | None, stamp: bytes) -> bool:
        """Tell whether a stored log is whole and has this packed stamp; its values are not looked at."""
        try:
            return stored is not None and self.chunks(stored)[-1][STAMP] == stamp
        except RowFormatError:
            return False

    def chunks(self, stored: bytes) -> list[bytes]:
        """Return the chunks, each of them whole."""
        at = 0
        chunks: list[bytes] = []
        while at < len(stored) or not chunks:
            length = _LENGTH.unpack_from(stored, at + _LENGTH_AT)[0] if len(stored) - at >= HEAD_BYTES else 0
            chunk = stored[at : at + length] if length else stored[at:]
            error = refusal(chunk, LOG, self._digest, self.where)
            if error is not None:
                raise error
            chunks.append(chunk)
            at += length
        return chunks

    def mismatch(self, what: str) -> RowFormatError:
        """Return the error of a log that contradicts itself."""
        return RowFormatError(what, where=self.where, mend="run `unskew materialise` to write it anew")

    def _chunk(self, versions: Versions, closed: NDArray[np.int64], stamp: Stamp, floor_us: int, flags: int) -> bytes:
        words, layout, as_of_us = versions.words, self.layout, stamp.as_of_us
        parts = [_COUNTS.pack(len(versions), len(closed), floor_us)]
        if not (words[AVAILABLE] == as_of_us).all():
            as_event = (words[AVAILABLE] == words[EVENT]).all()
            flags |= _AS_EVENT if as_event else _EACH_AVAILABLE
            parts += [] if as_event else [words[AVAILABLE].tobytes()]
        if not (words[LEAVE] == NEVER_US).all():
            flags |= _EACH_LEAVE
            parts.append(words[LEAVE].tobytes())
        some_null = bool(words[layout.nulls_at :].any())
        flags |= (_NUMBERED if versions.numbered else 0) | (_SOME_NULL if some_null else 0)
        end = layout.rows if some_null else layout.nulls_at
        parts.append(words[EVENT:end].tobytes() if versions.numbered else words[EVENT].tobytes())
        parts += [] if versions.numbered else [words[FIRST:end].tobytes()]
        parts += [closed.tobytes()] if len(closed) else []
        parts += [_text_bytes(of, words[row]) for of, row in zip(versions.texts, layout.text_rows, strict=True)]
        body = b"".join(parts)
        body += bytes(-(len(body) + TAIL_BYTES) % 8)
        return seal(head(LOG, flags, HEAD_BYTES + len(body) + TAIL_BYTES, self._digest, stamp) + body)


class _Chunk:
    """Read one whole chunk; a piece that is not there is an error, never a short read."""

    def __init__(self, codec: LogCodec, chunk: bytes) -> None:
        self._codec, self._bytes = codec, chunk
        if len(chunk) < _BODY_AT + TAIL_BYTES:
            raise self._wrong()
        self.m, self._k, self.floor_us = _COUNTS.unpack_from(chunk, HEAD_BYTES)
        self._flags = chunk[_FLAGS_AT]
        self.stamp = unpack_stamp(chunk[STAMP])
        self.is_base, self.numbered = bool(self._flags & _BASE), bool(self._flags & _NUMBERED)

    def read_into(self, versions: Versions, first: int, at: int) -> None:
        """Fill the versions from ``at`` on, and close those from ``first`` up to it that this chunk closes."""
        end, flags, layout = at + self.m, self._flags, self._codec.layout
        words = versions.words
        rows = [AVAILABLE] if flags & _EACH_AVAILABLE else []
        rows += [LEAVE] if flags & _EACH_LEAVE else []
        rows += [EVENT, ID] if self.numbered else [EVENT]
        rows += range(FIRST, layout.rows if flags & _SOME_NULL else layout.nulls_at)
        stored = self._words(len(rows) * self.m + self._k)
        words[rows, at:end] = stored[: len(rows) * self.m].reshape(len(rows), self.m)
        if not flags & _EACH_AVAILABLE:
            words[AVAILABLE, at:end] = words[EVENT, at:end] if flags & _AS_EVENT else self.stamp.as_of_us
        if not flags & _EACH_LEAVE:
            words[LEAVE, at:end] = NEVER_US
        self._read_texts(versions, at, _BODY_AT + stored.nbytes)
        if self._k:
            self._close(words[:, first:at], stored[len(rows) * self.m :])

    def _words(self, count: int) -> Words:
        if _BODY_AT + 8 * count > len(self._bytes) - TAIL_BYTES:
            raise self._wrong()
        return np.frombuffer(self._bytes, dtype="<i8", count=count, offset=_BODY_AT)

    def _read_texts(self, versions: Versions, at: int, start: int) -> None:
        """Read the strings that begin at ``start``, up to the chunk's padding."""
        for texts, row in zip(versions.texts, self._codec.layout.text_rows, strict=True):
            lengths = versions.words[row, at : at + self.m].tolist()
            if any(length < 0 for length in lengths) or start + sum(lengths) > len(self._bytes):
                raise self._wrong()
            for i, length in enumerate(lengths, at):
                texts[i] = self._text(start, length)
                start += length
        if not 0 <= len(self._bytes) - TAIL_BYTES - start < 8:
            raise self._wrong()

    def _text(self, start: int, length: int) -> str:
        try:
            return self._bytes[start : start + length].decode()
        except UnicodeDecodeError:
            raise self._codec.mismatch("a stored log has a string that is not UTF-8") from None

    def _close(self, words: Words, places: Words) -> None:
        if (places < 0).any() or (places >= words.shape[1]).any():
            raise self._codec.mismatch("a stored log closes a version that it does not have")
        words[LEAVE, places] = np.minimum(words[LEAVE, places], self.stamp.as_of_us)

    def _wrong(self) -> RowFormatError:
        return self._codec.mismatch("a stored log's columns do not have the lengths it says")


def _text_bytes(texts: NDArray[np.object_], lengths: Words) -> bytes:
    """Return the strings one after the other; one of no bytes may be a null, whatever stands there."""
    given: list[tuple[Any, int]] = list(zip(texts.tolist(), lengths.tolist(), strict=True))
    return b"".join(text.encode() for text, length in given if length)
