"""One chunk of a log: how its versions are written, and how those of many chunks are read at once.

What a chunk is for, `featurestore.online.event_log` says. Its flags are bits of the envelope's own byte; its body::

    4        m, number of versions
    4        k, number of earlier versions that are closed, at the chunk's own as-of instant
    8        the floor, microseconds UTC; 0 in an addition
    ...      words of 8 bytes, per attribute m of them: available_at (if flag 1), leave (flag 4), event timestamp, event
             number (flag 8), each column, null bits for every 64 columns (flag 16)
    8 k      places of the closed versions, counted from the log's first in the order of storage
    ...      the strings, column by column, UTF-8; then zeros up to 4 bytes before a multiple of 8

    flags    1 each version has its available_at; otherwise 2: as its event timestamp; otherwise: the as-of instant
             4 each version has its leave; otherwise: never      8 numbered      16 some value is null      32 a base

Little-endian; `featurestore.online.versions` says what a word holds.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from featurestore.online.envelope import HEAD_BYTES, STAMP, TAIL_BYTES, unpack_stamp
from featurestore.online.errors import RowFormatError
from featurestore.online.versions import AVAILABLE, EVENT, FIRST, ID, LEAVE, Layout, Versions, Words
from featurestore.semantics.interval import NEVER_US

_EACH_AVAILABLE, _AS_EVENT, _EACH_LEAVE, _NUMBERED, _SOME_NULL, BASE = 1, 2, 4, 8, 16, 32
_COUNTS = struct.Struct("<IIq")
_BODY_AT = HEAD_BYTES + _COUNTS.size
_FLAGS_AT = 3
_AS_OF_WORD = 3
_TURNED = np.uint64(2**63)

Wrong = Callable[[str], RowFormatError]
"""Makes the error of a log that contradicts itself."""


class Chunk(NamedTuple):
    """A chunk that is whole, and where its versions belong among those of all that are read.

    Attributes
    ----------
    first
        Place of its log's first version.
    at
        Place of its own first version.
    """

    content: bytes
    m: int
    k: int
    floor_us: int
    first: int
    at: int

    @property
    def flags(self) -> int:
        """Its flags."""
        return self.content[_FLAGS_AT]

    @property
    def numbered(self) -> bool:
        """Whether its versions have event numbers; no versions always have."""
        return bool(self.flags & _NUMBERED) or not self.m


def counts(content: bytes, wrong: Wrong) -> tuple[int, int, int]:
    """Return m, k and the floor of a chunk that is whole."""
    if len(content) < _BODY_AT + TAIL_BYTES or len(content) % 8:
        raise wrong("a stored log's columns do not have the lengths it says")
    return _COUNTS.unpack_from(content, HEAD_BYTES)


def pack(
    layout: Layout, versions: Versions, closed: NDArray[np.int64], as_of_us: int, base_floor_us: int | None
) -> tuple[int, bytes]:
    """Return the flags and the body of a chunk: of a base with its floor, or of an addition."""
    words, flags = versions.words, 0 if base_floor_us is None else BASE
    parts = [_COUNTS.pack(len(versions), len(closed), base_floor_us or 0)]
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
    return flags, body + bytes(-(len(body) + TAIL_BYTES) % 8)


def pack_alike(layout: Layout, words: Words, first: NDArray[np.int64], m: int, *, some_null: bool) -> tuple[int, Words]:
    """Return flags and bodies of additions for many logs: m versions each, without strings, of the as-of instant.

    Parameters
    ----------
    words
        The versions of all of them; they are numbered, and none has a leave.
    first
        Where the versions of each begin.

    Returns
    -------
    A row for each; in front there are as many bytes as an envelope's head has, for it to be put there.
    """
    end = layout.rows if some_null else layout.nulls_at
    start, width = _BODY_AT // 8, (end - EVENT) * m
    bodies = np.zeros((len(first), start + width + 1), dtype="<i8")
    bodies[:, HEAD_BYTES // 8 : start] = np.frombuffer(_COUNTS.pack(m, 0, 0), dtype="<i8")
    stored = words[EVENT:end, first[:, None] + np.arange(m)]
    bodies[:, start : start + width] = stored.transpose(1, 0, 2).reshape(len(first), width)
    return _NUMBERED | (_SOME_NULL if some_null else 0), bodies


def fill(layout: Layout, versions: Versions, chunks: Sequence[Chunk], wrong: Wrong) -> None:
    """Write the versions of chunks into their places, and close those that they close.

    Chunks that hold the same attributes are read together. To close is to leave no later than a given instant, so that
    the order in which it is done does not matter.
    """
    alike: defaultdict[int, list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        alike[chunk.content[_FLAGS_AT] & ~BASE].append(chunk)
    for flags, group in alike.items():
        _fill_alike(layout, versions, group, flags, wrong)
    for chunk in chunks:
        if chunk.k:
            _close(layout, versions.words, chunk, wrong)


def _fill_alike(layout: Layout, versions: Versions, group: Sequence[Chunk], flags: int, wrong: Wrong) -> None:
    words, rows = versions.words, _stored_rows(layout, flags)
    stored = np.frombuffer(b"".join([chunk.content for chunk in group]), dtype="<i8")
    lengths, m, k, at = np.array([(len(chunk.content), chunk.m, chunk.k, chunk.at) for chunk in group]).T
    _check_lengths(layout, lengths - 8 * (k + len(rows) * m) - _BODY_AT - TAIL_BYTES, wrong)
    begin = (np.cumsum(lengths) - lengths) // 8
    places, body = _body(stored, begin + _BODY_AT // 8, m, at, len(rows))
    words[rows if isinstance(places, slice) else rows[:, None], places] = body
    if not flags & _EACH_AVAILABLE:
        as_of_us = (stored[begin + _AS_OF_WORD].byteswap().view(np.uint64) ^ _TURNED).view(np.int64)
        words[AVAILABLE, places] = words[EVENT, places] if flags & _AS_EVENT else np.repeat(as_of_us, m)
    if not flags & _EACH_LEAVE:
        words[LEAVE, places] = NEVER_US
    if layout.text_rows:
        for chunk in group:
            _read_texts(layout, versions, chunk, _BODY_AT + 8 * (len(rows) * chunk.m + chunk.k), wrong)


def _body(stored: Words, start: Words, m: Words, at: Words, rows: int) -> tuple[slice | Words, Words]:
    """Return the places of the versions of some chunks, and the words of each, one row per attribute.

    Of chunk i the words begin at ``stored[start[i]]``, and its ``m[i]`` versions belong at ``at[i]`` and after.
    """
    if len(m) == 1:
        end = start[0] + rows * m[0]
        return slice(at[0], at[0] + m[0]), stored[start[0] : end].reshape(rows, m[0])
    before = np.cumsum(m) - m
    count = np.arange(before[-1] + m[-1])
    body = stored[np.repeat(start - before, m) + count + np.arange(rows)[:, None] * np.repeat(m, m)]
    if (at == at[0] + before).all():
        return slice(at[0], at[0] + len(count)), body
    return np.repeat(at - before, m) + count, body


def _stored_rows(layout: Layout, flags: int) -> NDArray[np.int64]:
    """Return the rows of the matrix that a chunk of these flags holds."""
    rows = [AVAILABLE] if flags & _EACH_AVAILABLE else []
    rows += [LEAVE] if flags & _EACH_LEAVE else []
    rows += [EVENT, ID] if flags & _NUMBERED else [EVENT]
    rows += range(FIRST, layout.rows if flags & _SOME_NULL else layout.nulls_at)
    return np.array(rows)


def _check_lengths(layout: Layout, rest: Words, wrong: Wrong) -> None:
    """Refuse chunks that their words do not fill, but for the strings behind them."""
    if (rest < 0).any() or (not layout.text_rows and (rest >= 8).any()):
        raise wrong("a stored log's columns do not have the lengths it says")


def _read_texts(layout: Layout, versions: Versions, chunk: Chunk, start: int, wrong: Wrong) -> None:
    """Read the strings that begin at ``start``, up to the chunk's padding."""
    end = len(chunk.content) - TAIL_BYTES
    for texts, row in zip(versions.texts, layout.text_rows, strict=True):
        for i, length in enumerate(versions.words[row, chunk.at : chunk.at + chunk.m].tolist(), chunk.at):
            if not 0 <= length <= end - start:
                raise wrong("a stored log's strings do not have the lengths it says")
            texts[i] = _text(chunk.content[start : start + length], wrong)
            start += length
    if end - start >= 8:
        raise wrong("a stored log's strings do not have the lengths it says")


def _text(encoded: bytes, wrong: Wrong) -> str:
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        raise wrong("a stored log has a string that is not UTF-8") from None


def _close(layout: Layout, words: Words, chunk: Chunk, wrong: Wrong) -> None:
    """Close the versions that a chunk says, of those of its log that stand before it."""
    start = _BODY_AT + 8 * chunk.m * len(_stored_rows(layout, chunk.flags))
    places = np.frombuffer(chunk.content, dtype="<i8", count=chunk.k, offset=start)
    if (places < 0).any() or (places >= chunk.at - chunk.first).any():
        raise wrong("a stored log closes a version that it does not have")
    places = places + chunk.first
    words[LEAVE, places] = np.minimum(words[LEAVE, places], unpack_stamp(chunk.content[STAMP]).as_of_us)


def _text_bytes(texts: NDArray[np.object_], lengths: Words) -> bytes:
    """Return the strings one after the other; one of no bytes may be a null, whatever stands there."""
    given: list[tuple[Any, int]] = list(zip(texts.tolist(), lengths.tolist(), strict=True))
    return b"".join(text.encode() for text, length in given if length)
