"""What an import reads: files or an Arrow table, each with a digest of its bytes, in batches with row numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from featurestore.foundation.durable_file import file_digest
from featurestore.foundation.errors import ImportRefused

BATCH_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class Malformed:
    """A record of a text file that has no columns to speak of: its number, its text, and what is wrong."""

    row: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Some rows as a file has them.

    Attributes
    ----------
    rows
        Row numbers as a reader counts: from 1; in a CSV file the header is 1 and blank lines are not counted.
    columns
        The wanted columns by name.
    malformed
        Records met on the way that could not be split into columns.
    text
        Whether the columns are bytes of a text file, to be parsed.
    """

    rows: NDArray[np.int64]
    columns: dict[str, pa.Array]
    malformed: tuple[Malformed, ...] = ()
    text: bool = False


class InputFile(Protocol):
    """One input of an import."""

    @property
    def name(self) -> str:
        """What to call it in messages: the path as it was given."""
        ...

    def digest(self) -> str:
        """Return the SHA-256 of its bytes."""
        ...

    def names(self) -> list[str]:
        """Return its columns' names, in order."""
        ...

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """Give the rows of the wanted columns, in order, a bounded number at a time."""
        ...


@dataclass(frozen=True, slots=True)
class TableInput:
    """An Arrow table in memory."""

    table: pa.Table
    name: str = "the Arrow table"

    def digest(self) -> str:
        """Return the SHA-256 of the table as one Arrow stream, however it is cut into chunks."""
        sink = _Hashing()
        whole = self.table.combine_chunks().replace_schema_metadata(None)
        with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), whole.schema) as stream:
            stream.write_table(whole, max_chunksize=BATCH_ROWS)
        return sink.hash.hexdigest()

    def names(self) -> list[str]:
        """Return the columns' names, in order."""
        return list(self.table.column_names)

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """Give the rows in order."""
        return _numbered(self.table.select(list(wanted)).to_batches(max_chunksize=BATCH_ROWS))


@dataclass(frozen=True, slots=True)
class ParquetInput:
    """A Parquet file."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def digest(self) -> str:
        """Return the SHA-256 of the file's bytes."""
        return file_digest(self.path)

    def names(self) -> list[str]:
        """Return the top-level columns' names, in order."""
        with pq.ParquetFile(self.path) as file:
            return list(file.schema_arrow.names)

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """Give the rows in order, from one row group at a time."""
        with pq.ParquetFile(self.path) as file:
            self._refuse_int96(file, wanted)
            yield from _numbered(file.iter_batches(BATCH_ROWS, columns=list(wanted)))

    def _refuse_int96(self, file: pq.ParquetFile, wanted: Sequence[str]) -> None:
        """Refuse the old 96-bit timestamps: outside the years 1677 to 2262 they wrap round unseen."""
        for index in range(len(file.schema)):
            leaf = file.schema.column(index)
            if leaf.physical_type == "INT96" and leaf.name in wanted:
                raise ImportRefused(
                    f"column {leaf.name} holds INT96 timestamps, which cannot be read without loss",
                    where=self.name,
                    mend="write it with 64-bit timestamps (Spark: outputTimestampType=TIMESTAMP_MICROS)",
                )


@dataclass(frozen=True, slots=True)
class ArrowInput:
    """An Arrow IPC file (Feather version 2)."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def digest(self) -> str:
        """Return the SHA-256 of the file's bytes."""
        return file_digest(self.path)

    def names(self) -> list[str]:
        """Return the columns' names, in order."""
        with pa.memory_map(str(self.path)) as mapped, pa.ipc.open_file(mapped) as file:
            return list(file.schema.names)

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """Give the rows in order."""
        with pa.memory_map(str(self.path)) as mapped, pa.ipc.open_file(mapped) as file:
            yield from _numbered(self._slices(file, wanted))

    def _slices(self, file: pa.ipc.RecordBatchFileReader, wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for index in range(file.num_record_batches):
            batch = file.get_batch(index).select(list(wanted))
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(start, BATCH_ROWS)


def _numbered(batches: Iterator[pa.RecordBatch] | Sequence[pa.RecordBatch]) -> Iterator[RawBatch]:
    first = 1
    for batch in batches:
        rows = np.arange(first, first + batch.num_rows, dtype=np.int64)
        yield RawBatch(rows, dict(zip(batch.schema.names, batch.columns, strict=True)))
        first += batch.num_rows


class _Hashing:
    """A file-like end that keeps nothing but the hash of what it is given."""

    closed = False

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def close(self) -> None:
        """Do nothing: there is no file."""
