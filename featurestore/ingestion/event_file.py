"""Read the rows of a file as events: Parquet, CSV and Arrow as imports read them, and lines of JSON as HTTP does.

A source's ``available_at`` column, unless it has another part to play, is not read: it is the stamp of the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.definitions.source import Delay, EventSource, Source, TableSource
from featurestore.foundation.errors import ImportRefused
from featurestore.ingestion.accept import EventForm, RefusedRow
from featurestore.ingestion.event_lines import read_lines
from featurestore.ingestion.event_writer import EventWriter, OnWait, Rejected
from featurestore.offline.input_file import InputFile
from featurestore.offline.input_files import check_columns, open_inputs
from featurestore.offline.row_check import BadRow, check_batch
from featurestore.offline.text_value import Unfit, parse_text
from featurestore.semantics.arrow_column import from_arrow
from featurestore.semantics.json_value import writer
from featurestore.semantics.value import DType

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
    """

    payload: bytes
    rows: int
    refused: Sequence[RefusedRow] = ()
    unread: tuple[str, ...] = ()


def read_events(source: Source, path: Path, chunk_rows: int) -> Iterator[EventChunk]:
    """Give the rows of a file, or of the files of a folder, in order.

    Raises
    ------
    ImportRefused
        If a file cannot be read at all: it is not there, its columns are not the source's, or their types never fit.
    """
    if path.suffix.lower() in LINES and path.is_file():
        yield from _lines(EventForm(source), path, chunk_rows)
        return
    sent = as_sent(source)
    for file in open_inputs(path):
        try:
            yield from _table(sent, file, chunk_rows)
        except (pa.ArrowException, OSError) as error:
            first = str(error).partition("\n")[0]
            raise ImportRefused(
                f"the file cannot be read: {first}", where=file.name, mend="check that it is whole, and its ending"
            ) from error


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of a file's rows.

    Attributes
    ----------
    rejected
        How many were not accepted; all are kept as dead letters.
    first_rejected
        The first of them.
    unread
        Columns that the source's schema lacks.
    """

    accepted: int
    rejected: int
    first_rejected: tuple[Rejected, ...]
    unread: tuple[str, ...]


def send_file(
    writer: EventWriter, path: Path, *, progress: OnRows | None = None, on_wait: OnWait | None = None
) -> FileReport:
    """Send the rows of a file, in order, waiting where too many wait; may be repeated: what was sent changes nothing.

    Parameters
    ----------
    progress
        Told how many rows were sent or refused so far.
    on_wait
        See `EventWriter.write`.

    Raises
    ------
    ImportRefused
        As `read_events`; the rows before the fault may have been sent.
    BacklogFull, StreamUnavailable
        As `EventWriter.write`.
    """
    accepted, rejected = 0, 0
    first: list[Rejected] = []
    unread: dict[str, None] = {}
    for chunk in read_events(writer.source, path, writer.chunk_rows):
        writer.append(chunk.payload, chunk.rows, on_wait)
        kept = writer.keep_refused(chunk.refused)
        first += kept[: SHOWN_REJECTED - len(first)]
        accepted, rejected = accepted + chunk.rows, rejected + len(kept)
        unread.update(dict.fromkeys(chunk.unread))
        if progress is not None:
            progress(accepted + rejected)
    return FileReport(accepted, rejected, tuple(first), tuple(unread))


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
    return EventChunk(reading.payload, reading.rows, refused, reading.unread)


def _table(sent: Source, file: InputFile, chunk_rows: int) -> Iterator[EventChunk]:
    form = EventForm(sent)
    unread = tuple(check_columns(file, list(sent.schema)))
    for batch in file.batches(list(sent.schema)):
        checked = check_batch(sent, file.name, batch, 0, 0)
        for payload, rows in _packed(form, sent, checked.good, chunk_rows):
            yield EventChunk(payload, rows, (), unread)
        if len(checked.faults):
            yield EventChunk(b"", 0, [_refused(sent, row) for row in checked.faults.rows()], unread)


def _packed(form: EventForm, sent: Source, good: pa.Table, chunk_rows: int) -> Iterator[tuple[bytes, int]]:
    columns = {name: from_arrow(good.column(name), dtype) for name, dtype in sent.schema.items()}
    for start in range(0, good.num_rows, chunk_rows):
        rows = np.arange(start, min(start + chunk_rows, good.num_rows), dtype=np.int64)
        yield form.pack({name: values.take(rows) for name, values in columns.items()}), len(rows)


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
