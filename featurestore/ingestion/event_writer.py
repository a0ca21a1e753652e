"""Send events from Python: checked as over HTTP, durable when a call returns, waiting where too many wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import islice
from math import isnan
from types import TracebackType
from typing import Any, Self

import numpy as np

from featurestore.definitions.source import Source
from featurestore.ingestion.accept import EventForm, RefusedRow
from featurestore.ingestion.dead_letter import DeadLetters, DeadRow
from featurestore.ingestion.errors import BacklogFull
from featurestore.ingestion.stream.base import EventStream

CHUNK_ROWS = 4_096
"""Rows of one append."""
PAUSE_S = 0.05
"""Time between two attempts while the backlog is full."""

OnWait = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was not accepted.

    Attributes
    ----------
    row
        Its place among those given, from 0; of a file, as its reader counts.
    pointer, reason, mend
        See `featurestore.ingestion.accept.RefusedRow`.
    dead_letter_id
        Under which it is kept.
    """

    row: int
    pointer: str
    reason: str
    mend: str
    dead_letter_id: str


@dataclass(frozen=True, slots=True)
class Written:
    """What became of some rows.

    Attributes
    ----------
    accepted
        Rows that are in the stream, synced.
    rejected
        The others.
    unread
        Names that rows had and the source's schema has not.
    without_key
        How many of those accepted no view has a key of: no feature will count them.
    """

    accepted: int
    rejected: tuple[Rejected, ...] = ()
    unread: tuple[str, ...] = ()
    without_key: int = 0


class EventWriter:
    """Append events to the stream of one source; close it, or use it by ``with``. Safe for threads.

    Parameters
    ----------
    keys
        The columns that hold the keys of the source's views; see `EventForm`.
    chunk_rows
        Most rows of one append.
    patience_s
        How long to wait for room in the backlog while none of it is committed.
    """

    def __init__(
        self,
        source: Source,
        stream: EventStream,
        dead_letters: DeadLetters,
        *,
        keys: Collection[str] = (),
        chunk_rows: int = CHUNK_ROWS,
        patience_s: float = 60.0,
    ) -> None:
        self.source = source
        self.form = EventForm(source, keys)
        self._readers = {name: _PANDAS.get(dtype.name, _null_if_nan) for name, dtype in source.schema.items()}
        self.chunk_rows = chunk_rows
        self._stream = stream
        self._dead_letters = dead_letters
        self._patience_s = patience_s

    def write(self, rows: Iterable[Mapping[str, Any]] | Mapping[str, Any], on_wait: OnWait | None = None) -> Written:
        """Send events, each a mapping by column name; those accepted are durable when it returns.

        Values are those that JSON has, or ``datetime`` with a zone, ``Decimal`` and NumPy scalars. As in the records of
        a pandas frame, NaN, NaT and NA are null, and a float without a fraction is a whole number in a column of
        integers; only in a column of floats is NaN a value, and NA null. A crash may leave the first of the rows in the
        stream; to send all again at once changes nothing.

        Parameters
        ----------
        rows
            One mapping is one event.
        on_wait
            Told, now and then, how many rows wait, while there is no room.

        Raises
        ------
        BacklogFull
            If the backlog stays full for ``patience_s``.
        StreamUnavailable
            If the stream cannot be written.
        """
        accepted, position, without_key = 0, 0, 0
        rejected: list[Rejected] = []
        unread: dict[str, None] = {}
        for chunk in _chunks([rows] if isinstance(rows, Mapping) else rows, self.chunk_rows):
            reading = self.form.read([self._plain(row) for row in chunk])
            self.append(reading.payload, reading.rows, on_wait)
            numbered = [replace(row, position=position + row.position) for row in reading.refused]
            rejected += self.keep_refused(numbered)
            accepted += reading.rows
            without_key += reading.without_key
            position += len(chunk)
            unread.update(dict.fromkeys(reading.unread))
        return Written(accepted, tuple(rejected), tuple(unread), without_key)

    def _plain(self, row: object) -> object:
        """Return a row with its values as JSON has them."""
        if not isinstance(row, Mapping):
            return row
        readers = self._readers
        return {name: readers.get(name, _as_it_is)(_plain(value)) for name, value in row.items()}

    def append(self, payload: bytes, rows: int, on_wait: OnWait | None = None) -> None:
        """Append a payload of `EventForm`, waiting for room; see `write`."""
        least, patient_until = None, 0.0
        while rows:
            try:
                self._stream.append([(payload, rows)])
            except BacklogFull as error:
                if least is None or error.rows < least:
                    least, patient_until = error.rows, time.monotonic() + self._patience_s
                if rows > error.limit_rows or time.monotonic() > patient_until:
                    raise
                if on_wait is not None:
                    on_wait(error.rows)
                time.sleep(PAUSE_S)
            else:
                return

    def keep_refused(self, rows: Sequence[RefusedRow]) -> list[Rejected]:
        """Keep refused rows as dead letters, durably."""
        if not rows:
            return []
        ids = self._dead_letters.add(
            self.source.name, [DeadRow("refused", row.reason, row.pointer, row.mend, row.raw) for row in rows]
        )
        return [
            Rejected(row.position, row.pointer, row.reason, row.mend, letter)
            for row, letter in zip(rows, ids, strict=True)
        ]

    def backlog_rows(self) -> int:
        """Return how many rows wait for the ingest program."""
        return self._stream.backlog().rows

    def close(self) -> None:
        """Close the stream; what was accepted stays."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _chunks(rows: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    remaining = iter(rows)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; ``NaT`` and ``NA`` of pandas, which equals nothing, are null."""
    return value if type(value) in _JSON else _other(value)


def _other(value: Any) -> Any:
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, datetime):
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) else value


def _null_if_nan(value: Any) -> Any:
    return None if type(value) is float and isnan(value) else value


def _whole(value: Any) -> Any:
    """Return a value of a column of integers: a whole number that pandas made a float, beside a null, is one again."""
    if type(value) is not float:
        return value
    if isnan(value):
        return None
    return int(value) if value.is_integer() and abs(value) <= _EXACT else value


def _as_it_is(value: Any) -> Any:
    return value


_JSON = {str, int, float, bool, type(None)}
_EXACT = 2.0**53
"""Up to here a float holds every whole number."""
_PANDAS: dict[str, Callable[[Any], Any]] = {"float32": _as_it_is, "float64": _as_it_is, "int64": _whole}
"""How values of Python are read by the column's type; of all others, NaN is null."""
