"""A batch of raw rows held against a source: those that are taken in, in stored form, and those that are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.definitions.source import Source
from featurestore.foundation.clock import LATEST_US
from featurestore.foundation.errors import ImportRefused
from featurestore.offline.column_rule import TypeMismatch, null_mask
from featurestore.offline.input_file import RawBatch
from featurestore.offline.text_value import shown
from featurestore.offline.value_check import Checked, check_column
from featurestore.semantics.arrow_column import arrow_type

EVENT_US = "__event_us"
AVAILABLE_US = "__available_us"
COMMIT = "__commit"
ROW = "__row"
DELETED = "__deleted"


@dataclass(frozen=True, slots=True)
class BadCell:
    """Why a row was not taken in: its place, what stood there, and what is wrong with it.

    Attributes
    ----------
    row
        As the input counts rows; see `RawBatch.rows`.
    column
        Empty if the whole record is at fault.
    """

    file: str
    row: int
    column: str
    value: str
    reason: str

    @property
    def place(self) -> str:
        """File, row and column."""
        return f"{self.file} row {self.row}" + (f", column {self.column}" if self.column else "")

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was not taken in: all that is wrong with it, and its cells as texts."""

    cells: tuple[BadCell, ...]
    texts: dict[str, str | None]
    line: str | None = None


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """The good rows in stored form (`stored_schema`), and what is wrong with the others."""

    good: pa.Table
    faults: Faults


def stored_schema(source: Source) -> pa.Schema:
    """Return the schema of a source's data files: its own columns, then the store's."""
    own = [pa.field(name, arrow_type(dtype)) for name, dtype in source.schema.items()]
    whole = [pa.field(name, pa.int64(), nullable=False) for name in (EVENT_US, AVAILABLE_US, COMMIT, ROW)]
    return pa.schema([*own, *whole, pa.field(DELETED, pa.bool_(), nullable=False)])


def check_batch(source: Source, file: str, batch: RawBatch, commit: int, position: int) -> CheckedBatch:
    """Hold a batch against its source.

    Identity, event timestamp and, if a column says it, availability need values in every row, a tombstone's too; the
    tombstone itself must be true or false. All other columns may be null, the join key included: a row without a key
    belongs to no entity, and views pass over it.

    Parameters
    ----------
    position
        Rows of the import before this batch: ``__row`` counts all rows read, from 0.

    Raises
    ------
    ImportRefused
        If a column's type rules out every value of the declared one.
    """
    columns: dict[str, pa.Array] = {}
    faults = Faults(file, batch)
    for name in source.schema:
        checked = _checked(source, file, batch, name)
        faults.note(name, checked.reasons.items())
        columns[name] = checked.array
    for name, role in _required(source).items():
        empty = null_mask(columns[name]) & ~faults.refused(name)
        faults.note(name, ((int(row), f"{role} is null") for row in np.flatnonzero(empty)))
    event_us, available_us = _instants(source, columns, faults)
    table = pa.table(
        [
            *columns.values(),
            pa.array(event_us),
            pa.array(available_us),
            pa.array(np.full(len(event_us), commit, dtype=np.int64)),
            pa.array(np.arange(position, position + len(event_us), dtype=np.int64)),
            _deleted(source, columns, len(event_us)),
        ],
        schema=stored_schema(source),
    )
    kept = faults.kept(len(event_us))
    return CheckedBatch(table if kept.all() else table.filter(pa.array(kept)), faults)


def _checked(source: Source, file: str, batch: RawBatch, name: str) -> Checked:
    try:
        return check_column(batch.columns[name], source.schema[name], source.timezone, text=batch.text)
    except TypeMismatch as mismatch:
        raise ImportRefused(mismatch.what, where=f"{file}, column {name}", mend=mismatch.mend) from None


def _required(source: Source) -> dict[str, str]:
    roles = dict.fromkeys(source.identity, "the row's identity")
    roles[source.event_timestamp] = "the event timestamp"
    if source.available_column is not None:
        roles[source.available_column] = "available_at"
    if source.tombstone is not None:
        roles[source.tombstone] = "the tombstone (true or false)"
    return roles


def _instants(
    source: Source, columns: dict[str, pa.Array], faults: Faults
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    event_us = _micros(columns[source.event_timestamp])
    if source.available_column is not None:
        return event_us, _micros(columns[source.available_column])
    too_late = np.flatnonzero(event_us > LATEST_US - source.delay_us)
    faults.note(source.event_timestamp, ((int(row), "available_at is after the year 9999") for row in too_late))
    return event_us, event_us + source.delay_us


def _micros(moments: pa.Array) -> NDArray[np.int64]:
    return np.asarray(moments.cast(pa.int64()).fill_null(0).to_numpy(), dtype=np.int64)


def _deleted(source: Source, columns: dict[str, pa.Array], count: int) -> pa.Array:
    if source.tombstone is None:
        return pa.array(np.zeros(count, dtype=np.bool_))
    return columns[source.tombstone].fill_null(False)


@dataclass
class Faults:
    """What is wrong with the rows of one batch, by row index and column; its length is the number of bad rows."""

    file: str
    batch: RawBatch
    found: dict[int, dict[str, str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.found) + len(self.batch.malformed)

    def note(self, column: str, reasons: Iterable[tuple[int, str]]) -> None:
        """Add what is wrong with a column, by row index; the first reason for a cell stands."""
        for index, reason in reasons:
            self.found.setdefault(index, {}).setdefault(column, reason)

    def refused(self, column: str) -> NDArray[np.bool_]:
        """Return where something is wrong with a column."""
        mask = np.zeros(len(self.batch.rows), dtype=np.bool_)
        mask[[index for index, reasons in self.found.items() if column in reasons]] = True
        return mask

    def kept(self, count: int) -> NDArray[np.bool_]:
        """Return where nothing is wrong."""
        mask = np.ones(count, dtype=np.bool_)
        mask[list(self.found)] = False
        return mask

    def rows(self, limit: int | None = None) -> list[BadRow]:
        """Return the first ``limit`` bad rows, or all, in order."""
        broken = [
            BadRow((BadCell(self.file, record.row, "", shown(record.text), record.reason),), {}, record.text)
            for record in self.batch.malformed
        ]
        found = [self._row(index) for index in sorted(self.found)[:limit]]
        return sorted(broken + found, key=lambda bad: bad.cells[0].row)[:limit]

    def _row(self, index: int) -> BadRow:
        raw = {name: array[index] for name, array in self.batch.columns.items()}
        number = int(self.batch.rows[index])
        cells = tuple(
            BadCell(self.file, number, column, shown(_text(raw[column])), reason)
            for column, reason in self.found[index].items()
        )
        return BadRow(cells, {name: _text(scalar) for name, scalar in raw.items()})


def _text(scalar: pa.Scalar) -> str | None:
    """Return a cell as a person would write it; bytes that are no text as they print."""
    if not scalar.is_valid:
        return None
    if pa.types.is_binary(scalar.type):
        return str(scalar.as_py().decode(errors="backslashreplace"))
    if pa.types.is_timestamp(scalar.type) or pa.types.is_date(scalar.type):
        return _instant_text(scalar)
    value: Any = scalar.as_py()
    return value if isinstance(value, str) else repr(value) if isinstance(value, float) else str(value)


def _instant_text(scalar: pa.Scalar) -> str:
    try:
        return str(pc.cast(scalar, pa.string()).as_py())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return f"{scalar.cast(pa.int64()).as_py()} {scalar.type}"
