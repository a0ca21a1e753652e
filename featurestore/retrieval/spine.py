"""The spine of a training set: for whom, at which instants, with which request values."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from featurestore.definitions import Entity, Request
from featurestore.foundation.clock import format_instant
from featurestore.foundation.errors import SpineError
from featurestore.offline.column_rule import TypeMismatch
from featurestore.offline.value_check import check_column
from featurestore.semantics.arrow_column import from_arrow
from featurestore.semantics.value import Column, DType, Timestamp

EXAMPLES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Spine:
    """A spine whose every value was checked.

    Attributes
    ----------
    table
        The spine as given, all columns, as one Arrow table in the given row order.
    keys
        Per entity name its join keys, without null.
    instants_us
        Per row the instant t at which features are read, microseconds UTC.
    requests
        Per request value its column, nulls allowed.
    called
        How errors call it: the file, or ``spine``.
    """

    table: pa.Table
    keys: dict[str, Column]
    instants_us: NDArray[np.int64]
    requests: dict[str, Column]
    called: str = "spine"

    def __len__(self) -> int:
        return len(self.instants_us)


def read_spine(
    given: Any, *, entities: Iterable[Entity], requests: Iterable[Request], timestamp_column: str, as_of_us: int
) -> Spine:
    """Check a spine and take it in; rows are known by their position, and equal rows are allowed.

    Parameters
    ----------
    given
        A Parquet file's path, or anything that gives Arrow data: an Arrow table or reader, a pandas or Polars frame.
    entities, requests
        What must have a column: each entity's join key, each request value under its name.
    timestamp_column
        The column of instants; they need a time zone.
    as_of_us
        No instant may be later.

    Raises
    ------
    SpineError
        Naming column, row (from 0) and value.
    """
    table = _table(given)
    called = str(given) if isinstance(given, (str, Path)) else "spine"
    _check_distinct(table, called)
    wanted = {entity.join_key: entity.dtype for entity in entities}
    values = {request.name: request.dtype for request in requests}
    for name in (*wanted, timestamp_column, *values):
        _check_name(table, name, called)
    instants = _whole(table, timestamp_column, Timestamp, called)
    _check_past(instants.values, f"{called} column {timestamp_column}", as_of_us)
    keys = {entity.name: _whole(table, entity.join_key, entity.dtype, called) for entity in entities}
    given_values = {name: _column(table, name, dtype, called) for name, dtype in values.items()}
    return Spine(table, keys, instants.values, given_values, called)


def _table(given: Any) -> pa.Table:
    if isinstance(given, (str, Path)):
        return _file(Path(given))
    if isinstance(given, pa.Table):
        return given
    if hasattr(given, "__arrow_c_stream__"):
        return _without_index(pa.RecordBatchReader.from_stream(given).read_all())
    raise SpineError(
        f"a spine cannot be a {type(given).__module__}.{type(given).__name__}",
        mend="give a Parquet file, an Arrow table, or a pandas or Polars data frame",
    )


def _file(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            return file.read()
    except FileNotFoundError:
        raise SpineError("no such file", where=str(path), mend="check the path of the spine") from None
    except (pa.ArrowInvalid, OSError) as error:
        first = str(error).splitlines()[0]
        raise SpineError(f"not a Parquet file: {first}", where=str(path), mend="write the spine as Parquet") from None


def _without_index(table: pa.Table) -> pa.Table:
    """Drop the index columns that pandas hands over beside the frame's own."""
    own = [name for name in table.column_names if not name.startswith("__index_level_")]
    return table.select(own).replace_schema_metadata(None)


def _check_distinct(table: pa.Table, called: str) -> None:
    for name in table.column_names:
        found = table.column_names.count(name)
        if found > 1:
            raise SpineError(f"the spine has {found} columns called {name!r}", where=called, mend="keep one of them")


def _check_name(table: pa.Table, name: str, called: str) -> None:
    if name in table.column_names:
        return
    near = difflib.get_close_matches(name, table.column_names, n=1) or [
        other for other in table.column_names if other.lower() == name.lower()
    ]
    hint = f"rename {near[0]!r} to it" if near else f"add it to the columns {', '.join(table.column_names) or '(none)'}"
    raise SpineError(f"the spine has no column {name!r}", where=called, mend=hint)


def _column(table: pa.Table, name: str, dtype: DType, called: str) -> Column:
    chunks = table.column(name).combine_chunks()
    array = chunks if isinstance(chunks, pa.Array) else pa.concat_arrays(chunks.chunks)
    if pa.types.is_timestamp(array.type) and array.type.tz is None:
        raise SpineError(
            "its timestamps have no time zone",
            where=f"{called} column {name}",
            mend="give one, for UTC in pandas: .dt.tz_localize('UTC'), in Polars: .dt.replace_time_zone('UTC')",
        )
    try:
        checked = check_column(array, dtype, None)
    except TypeMismatch as error:
        raise SpineError(
            error.what.replace("the file has", "it is"), where=f"{called} column {name}", mend=error.mend
        ) from None
    if checked.reasons:
        raise _refused(f"{called} column {name}", checked.reasons)
    return from_arrow(checked.array, dtype)


def _refused(where: str, reasons: dict[int, str]) -> SpineError:
    shown = "; ".join(f"row {row}: {reasons[row]}" for row in sorted(reasons)[:EXAMPLES_SHOWN])
    return SpineError(
        f"{len(reasons)} value(s) do not fit: {shown}",
        where=where,
        mend="correct or leave out these rows",
    )


def _whole(table: pa.Table, name: str, dtype: DType, called: str) -> Column:
    """Return a column that may not have nulls."""
    column = _column(table, name, dtype, called)
    if column.nulls.any():
        rows = np.flatnonzero(column.nulls)
        raise SpineError(
            f"{len(rows)} row(s) are null, the first is row {rows[0]}",
            where=f"{called} column {name}",
            mend="leave rows without a key or an instant out of the spine",
        )
    return column


def _check_past(instants_us: NDArray[np.int64], where: str, as_of_us: int) -> None:
    later = np.flatnonzero(instants_us > as_of_us)
    if len(later):
        first = int(later[0])
        raise SpineError(
            f"{len(later)} row(s) lie after the cut {format_instant(as_of_us)}, "
            f"the first is row {first}: {format_instant(int(instants_us[first]))}",
            where=where,
            mend="leave them out, or build the training set as of a later instant",
        )
