"""Event versions of one view as a matrix of words: one row of the matrix per attribute, one column per version.

Logs are stored, held and computed from in this one shape, so that storing many versions is one copy. A word has 8
bytes, whatever the type: an integer, a timestamp or a decimal as it is, a float's bits, a bool as 0 or 1, of a string
the number of its UTF-8 bytes, the strings themselves standing beside the matrix. At a null the word is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.semantics.aggregate import EventLog
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import Column, DType

AVAILABLE, LEAVE, EVENT, ID, FIRST = range(5)
"""Rows of the matrix: three instants, the event's number, then the columns; last the null bits, 64 columns a row."""

Words = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Versions:
    """Some versions.

    Attributes
    ----------
    words
        The matrix, int64, shape ``(rows, n)``.
    texts
        Per string column its n values, objects; what stands at a null is unspecified.
    numbered
        Whether the row of event numbers says anything.
    """

    words: Words
    texts: tuple[NDArray[np.object_], ...]
    numbered: bool

    def __len__(self) -> int:
        return int(self.words.shape[1])

    def take(self, rows: slice | NDArray[Any]) -> Versions:
        """Return some of them: by position or mask, in that order; a slice copies nothing."""
        return Versions(self.words[:, rows], tuple(of[rows] for of in self.texts), self.numbered)

    def in_order(self, bounds: NDArray[np.int64] | None = None) -> Versions:
        """Return them in the total order, those of each log by itself if there are several.

        Of versions equal in event timestamp and available_at the first stays first.
        """
        event_us, available_us = self.words[EVENT], self.words[AVAILABLE]
        falling = event_us[1:] < event_us[:-1]
        falling |= (event_us[1:] == event_us[:-1]) & (available_us[1:] < available_us[:-1])
        if bounds is None:
            return self.take(np.lexsort((available_us, event_us))) if falling.any() else self
        inner = bounds[(bounds > 0) & (bounds < len(self))]
        falling[inner - 1] = False
        if not falling.any():
            return self
        owner = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
        return self.take(np.lexsort((available_us, event_us, owner)))


class Layout:
    """Where the columns of one view stand in the matrix.

    Parameters
    ----------
    columns
        Names and types, in a fixed order.
    """

    def __init__(self, columns: Sequence[tuple[str, DType]]) -> None:
        self.columns = tuple(columns)
        self.null_rows = (len(self.columns) + 63) // 64
        self.nulls_at = FIRST + len(self.columns)
        self.rows = self.nulls_at + self.null_rows
        self.text_rows = tuple(FIRST + i for i, (_, dtype) in enumerate(self.columns) if dtype.name == "string")
        self.empty = self.blank(0)

    def blank(self, n: int) -> Versions:
        """Return n versions of zeros, to be filled."""
        return Versions(
            np.zeros((self.rows, n), dtype=np.int64), tuple(np.empty(n, dtype=np.object_) for _ in self.text_rows), True
        )

    def pack(self, log: EventLog) -> Versions:
        """Return the versions of a log, or of many one after the other."""
        packed = self.blank(len(log))
        words, texts = packed.words, iter(packed.texts)
        words[AVAILABLE], words[LEAVE], words[EVENT] = log.available_us, log.leave_us, log.event_us
        if log.ids is not None:
            words[ID] = log.ids.view(np.int64)
        for i, (name, dtype) in enumerate(self.columns):
            of = log.columns[name]
            if dtype.name == "string":
                next(texts)[:] = of.values
                words[FIRST + i] = [0 if text is None else len(text.encode()) for text in of.to_pylist()]
            else:
                words[FIRST + i] = np.where(of.nulls, 0, to_words(of.values, dtype))
            if of.nulls.any():
                words[self.nulls_at + i // 64] |= of.nulls.astype(np.int64) << (i % 64)
        return Versions(words, packed.texts, log.ids is not None or not len(log))

    def unpack(self, versions: Versions) -> EventLog:
        """Return the inverse of `pack`; what needs no other form is not copied."""
        words = versions.words
        ids = words[ID].view(np.uint64) if versions.numbered else None
        return EventLog(words[EVENT], words[AVAILABLE], words[LEAVE], self.columns_of(versions), ids)

    def columns_of(self, versions: Versions) -> dict[str, Column]:
        """Return the columns by name."""
        words, texts = versions.words, iter(versions.texts)
        found = {}
        none = np.zeros(len(versions), dtype=np.bool_)
        null_words = [row if row.any() else None for row in words[self.nulls_at :]]
        for i, (name, dtype) in enumerate(self.columns):
            of = null_words[i // 64]
            nulls = none if of is None else (of >> (i % 64) & 1).astype(np.bool_)
            values = next(texts) if dtype.name == "string" else from_words(words[FIRST + i], dtype)
            found[name] = Column(dtype, values, nulls)
        return found


def joined(parts: Sequence[Versions]) -> Versions:
    """Return versions one after the other; there is at least one part."""
    if len(parts) == 1:
        return parts[0]
    texts = tuple(np.concatenate(of) for of in zip(*(part.texts for part in parts), strict=True))
    return Versions(np.concatenate([part.words for part in parts], axis=1), texts, all(part.numbered for part in parts))


def worth_keeping(versions: Versions, longest_us: int, floor_us: int, forgotten_us: int) -> NDArray[np.bool_]:
    """Tell which of some versions in total order can be seen at some t >= ``floor_us``, whatever is committed yet.

    These are the ones in a window of up to ``longest_us`` then, and those that may be their key's latest: the last one
    that is there for good, and all after it. There for good is what happened before ``forgotten_us``, is visible at the
    floor, and has no end: by then no later version of its event is looked for any more.
    """
    event_us, available_us, leave_us = versions.words[EVENT], versions.words[AVAILABLE], versions.words[LEAVE]
    lasting = (leave_us == NEVER_US) & (np.maximum(event_us, available_us) <= floor_us) & (event_us < forgotten_us)
    found = np.flatnonzero(lasting)
    kept = event_us > floor_us - longest_us
    if len(found):
        kept[found[-1] :] = True
    else:
        kept[:] = True
    return np.asarray(kept & (leave_us > floor_us))


def to_words(values: NDArray[Any], dtype: DType) -> NDArray[np.int64]:
    """Return the words of values that are no strings."""
    if dtype.name == "float64":
        return values.astype(np.float64, copy=False).view(np.int64)
    if dtype.name == "float32":
        return values.astype(np.float32, copy=False).view(np.int32).astype(np.int64)
    return values.astype(np.int64)


def from_words(words: Words, dtype: DType) -> NDArray[Any]:
    """Return the inverse of `to_words`."""
    if dtype.name == "float64":
        return np.ascontiguousarray(words).view(np.float64)
    if dtype.name == "float32":
        return words.astype(np.int32).view(np.float32)
    return words.astype(np.bool_) if dtype.name == "bool" else words
