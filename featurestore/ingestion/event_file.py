"""Read the rows of a file as events: Parquet, CSV and Arrow as imports read them, and lines of JSON as HTTP does.

A source's ``available_at`` column, unless it has another part to play, is not read: it is the stamp of the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.definitions.source import Delay, EventSource, Source, TableSource
from featurestore.foundation.durable_file import file_digest
from featurestore.foundation.errors import ImportRefused
from featurestore.ingestion.accept import EventForm, RefusedRow
from featurestore.ingestion.event_lines import read_lines
from featurestore.ingestion.event_writer import EventWriter, OnWait, Rejected
from featurestore.ingestion.sent_files import SentFiles
from featurestore.offline.input_file import InputFile
from featurestore.offline.input_files import check_columns, open_inputs
from featurestore.offline.row_check import BadRow, check_batch
from featurestore.offline.text_value import Unfit, parse_text
from featurestore.semantics.arrow_column import from_arrow
from featurestore.semantics.json_value import writer
from featurestore.semantics.value import Column, DType

LINES = (".ndjson", ".jsonl")
SHOWN_REJECTED = 10
"""Rejected rows that a report tells of."""

OnRows = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class EventChunk:
    """Some rows of a file.

    Attributes
    ----------
    payload
        The rows accepted, ``rows`` of them, as `EventForm` packs them.
    refused
        The others; ``position`` is the row's number as a reader of the file counts: lines from 1, and in a CSV file the
        header is 1.
    unread
        Columns that the source's schema lacks.
    without_key
        How many of the rows accepted no view has a key of.
    """

    payload: bytes
    rows: int
    refused: Sequence[RefusedRow] = ()
    unread: tuple[str, ...] = ()
    without_key: int = 0


@dataclass(frozen=True, slots=True)
class EventFile:
    """One file of events.

    Attributes
    ----------
    name
        What to call it in messages: the path as it was given.
    table
        How it is read, unless it is lines of JSON.
    """

    name: str
    table: InputFile | None = None

    def digest(self) -> str:
        """Return the SHA-256 of its bytes."""
        return file_digest(Path(self.name)) if self.table is None else self.table.digest()

    def chunks(self, form: EventForm, source: Source, chunk_rows: int) -> Iterator[EventChunk]:
        """Give its rows, in order.

        Raises
        ------
        ImportRefused
            If it cannot be read at all: its columns are not the source's, or their types never fit.
        """
        if self.table is None:
            yield from _lines(form, Path(self.name), chunk_rows)
            return
        try:
            yield from _table(form, as_sent(source), self.table, chunk_rows)
        except (pa.ArrowException, OSError) as error:
            first = str(error).partition("\n")[0]
            raise ImportRefused(
                f"the file cannot be read: {first}", where=self.name, mend="check that it is whole, and its ending"
            ) from error


def event_files(path: Path) -> list[EventFile]:
    """Return the file, or the files of a folder in order of their paths.

    Raises
    ------
    ImportRefused
        If nothing is there, or something that no reader knows.
    """
    if path.suffix.lower() in LINES and path.is_file():
        return [EventFile(str(path))]
    return [EventFile(file.name, file) for file in open_inputs(path)]


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of a file's rows, or of those of a folder's files.

    Attributes
    ----------
    rejected
        How many were not accepted; all are kept as dead letters.
    first_rejected
        The first of them.
    unread
        Columns that the source's schema lacks.
    without_key
        How many of those accepted no view has a key of: no feature will count them.
    already_sent
        Files that were left out, as they were sent before.
    """

    accepted: int
    rejected: int
    first_rejected: tuple[Rejected, ...]
    unread: tuple[str, ...]
    without_key: int = 0
    already_sent: tuple[str, ...] = ()


def send_file(
    writer: EventWriter,
    path: Path,
    *,
    sent: SentFiles | None = None,
    again: bool = False,
    progress: OnRows | None = None,
    on_wait: OnWait | None = None,
) -> FileReport:
    """Send the rows of a file, or of the files of a folder, in order, waiting where too many wait.

    A row that equals the newest version of its event changes nothing; one that equals an older version is a correction
    back to it. So files that were sent completely are remembered, and left out when they come again. One of which
    nothing was accepted, or that changed while it was read, is not remembered.

    Parameters
    ----------
    sent
        What was sent before, and where to remember this; by default nothing is remembered.
    again
        Whether to send also what was sent before.
    progress
        Told how many rows were sent or refused so far.
    on_wait
        See `EventWriter.write`.

    Raises
    ------
    ImportRefused
        If a file cannot be read; the rows before the fault may have been sent.
    BacklogFull, StreamUnavailable
        As `EventWriter.write`.
    """
    sending = _Sending(writer, progress, on_wait)
    for file in event_files(path):
        digest = "" if sent is None else file.digest()
        if sent is not None and not again and sent.holds(writer.source.name, digest):
            sending.already_sent.append(file.name)
            continue
        accepted = sending.send(file)
        if sent is not None and accepted and file.digest() == digest:
            sent.add(writer.source.name, digest, file.name, accepted)
    return sending.report()


@dataclass(slots=True)
class _Sending:
    """What became of the rows so far."""

    writer: EventWriter
    progress: OnRows | None
    on_wait: OnWait | None
    accepted: int = 0
    rejected: int = 0
    without_key: int = 0
    first: list[Rejected] = field(default_factory=list)
    unread: dict[str, None] = field(default_factory=dict)
    already_sent: list[str] = field(default_factory=list)

    def send(self, file: EventFile) -> int:
        """Send a file; return how many of its rows were accepted."""
        before, writer = self.accepted, self.writer
        for chunk in file.chunks(writer.form, writer.source, writer.chunk_rows):
            writer.append(chunk.payload, chunk.rows, self.on_wait)
            kept = writer.keep_refused(chunk.refused)
            self.first += kept[: SHOWN_REJECTED - len(self.first)]
            self.accepted += chunk.rows
            self.rejected += len(kept)
            self.without_key += chunk.without_key
            self.unread.update(dict.fromkeys(chunk.unread))
            if self.progress is not None:
                self.progress(self.accepted + self.rejected)
        return self.accepted - before

    def report(self) -> FileReport:
        return FileReport(
            self.accepted,
            self.rejected,
            tuple(self.first),
            tuple(self.unread),
            self.without_key,
            tuple(self.already_sent),
        )


def as_sent(source: Source) -> EventSource | TableSource:
    """Return a source without the column that a commit fills, whose rows are checked as an import checks them."""
    sent = EventForm(source).sent
    assert isinstance(source, EventSource | TableSource)
    return replace(source, schema={name: source.schema[name] for name in sent}, available_at=Delay("0s"))


def _lines(form: EventForm, path: Path, chunk_rows: int) -> Iterator[EventChunk]:
    with path.open("rb") as file:
        numbered = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
        while chunk := list(islice(numbered, chunk_rows)):
            yield _chunk_of_lines(form, chunk)


def _chunk_of_lines(form: EventForm, lines: list[tuple[int, bytes]]) -> EventChunk:
    found = read_lines(lines)
    reading = form.read(found.rows)
    numbered = [replace(row, position=found.numbers[row.position]) for row in reading.refused]
    refused = sorted([*found.unreadable, *numbered], key=lambda row: row.position)
    return EventChunk(reading.payload, reading.rows, refused, reading.unread, reading.without_key)


def _table(form: EventForm, sent: Source, file: InputFile, chunk_rows: int) -> Iterator[EventChunk]:
    unread = tuple(check_columns(file, list(sent.schema)))
    for batch in file.batches(list(sent.schema)):
        checked = check_batch(sent, file.name, batch, 0, 0)
        for columns, rows in _columns(sent, checked.good, chunk_rows):
            yield EventChunk(form.pack(columns), rows, (), unread, form.without_key(columns))
        if len(checked.faults):
            yield EventChunk(b"", 0, [_refused(sent, row) for row in checked.faults.rows()], unread)


def _columns(sent: Source, good: pa.Table, chunk_rows: int) -> Iterator[tuple[dict[str, Column], int]]:
    columns = {name: from_arrow(good.column(name), dtype) for name, dtype in sent.schema.items()}
    for start in range(0, good.num_rows, chunk_rows):
        rows = np.arange(start, min(start + chunk_rows, good.num_rows), dtype=np.int64)
        yield {name: values.take(rows) for name, values in columns.items()}, len(rows)


def _refused(sent: Source, bad: BadRow) -> RefusedRow:
    first = bad.cells[0]
    reason = "; ".join(f"{cell.column}: {cell.reason}" if cell.column else cell.reason for cell in bad.cells)
    if not first.column:
        return RefusedRow(first.row, "", reason, "write as many cells as the header has", bad.line or "")
    wrong = {cell.column for cell in bad.cells}
    raw = {name: _value(text, sent.schema[name], sent, name in wrong) for name, text in bad.texts.items()}
    mend = f"write {first.column} as {sent.schema[first.column]}"
    return RefusedRow(first.row, f"/{first.column.replace('~', '~0').replace('/', '~1')}", reason, mend, raw)


def _value(text: str | None, dtype: DType, source: Source, is_wrong: bool) -> Any:
    """Return a cell as an event has it; as it was written, where it is wrong."""
    if text is None or is_wrong:
        return text
    try:
        return writer(dtype)(parse_text(text, dtype, source.timezone))
    except Unfit:
        return text
