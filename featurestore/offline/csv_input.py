"""CSV files as bytes, cell by cell: RFC 4180, UTF-8, commas, a header.

An empty cell is null; a quoted empty cell is an empty text. Nothing is inferred here.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from featurestore.foundation.durable_file import file_digest
from featurestore.foundation.errors import ImportRefused
from featurestore.offline.input_file import Malformed, RawBatch

BLOCK_BYTES = 8 << 20
"""How much is read at a time; a record must be shorter."""


@dataclass(frozen=True, slots=True)
class CsvInput:
    """A CSV file."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def digest(self) -> str:
        """Return the SHA-256 of the file's bytes."""
        return file_digest(self.path)

    def names(self) -> list[str]:
        """Return the header's names, in order.

        Raises
        ------
        ImportRefused
            If there is no header, or the file's quotes do not pair.
        """
        self._check_quotes()
        try:
            # Text is read ahead of the header: a cell that is not UTF-8 must not be taken for a fault of the header.
            with self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as handle:
                header = next((record for record in csv.reader(handle) if record), None)
            "".join(header or ()).encode()
        except (UnicodeEncodeError, csv.Error) as error:
            raise ImportRefused(f"the header cannot be read: {error}", where=self.name, mend="write UTF-8") from None
        if header is None:
            raise ImportRefused("the file is empty", where=self.name, mend="write a header with the columns' names")
        if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
            raise ImportRefused(
                f"the header is one column, {header[0]!r}", where=self.name, mend="separate columns by commas"
            )
        return header

    def batches(self, wanted: Sequence[str]) -> Iterator[RawBatch]:
        """Give the records in order; those of a wrong number of cells as `Malformed`."""
        malformed: list[Malformed] = []

        def note(record: pa.csv.InvalidRow) -> str:
            reason = f"the record has {record.actual_columns} cells where the header has {record.expected_columns}"
            malformed.append(Malformed(int(record.number), str(record.text), reason))
            return "skip"

        kinds = dict.fromkeys(wanted, pa.binary())
        numbers = _RecordNumbers()
        with pa.csv.open_csv(
            self.path,
            read_options=pa.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=pa.csv.ConvertOptions(
                column_types=kinds,
                include_columns=list(wanted),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
                check_utf8=False,
            ),
        ) as reader:
            for batch in reader:
                taken, malformed[:] = tuple(malformed), []
                rows = numbers.next(batch.num_rows, taken)
                yield RawBatch(rows, dict(zip(batch.schema.names, batch.columns, strict=True)), taken, text=True)
        if malformed:
            empty = {name: pa.array([], pa.binary()) for name in wanted}
            yield RawBatch(np.empty(0, dtype=np.int64), empty, tuple(malformed), text=True)

    def _check_quotes(self) -> None:
        """Refuse a file with a quote left open, which would swallow all records after it."""
        quotes = 0
        with self.path.open("rb") as handle:
            while block := handle.read(BLOCK_BYTES):
                quotes += block.count(b'"')
        if quotes % 2:
            raise ImportRefused(
                f"a quote is left open: the file has {quotes} of them",
                where=self.name,
                mend='close it; inside a value write the value in quotes and each quote twice, as in "a 5"" pipe"',
            )


class _RecordNumbers:
    """Number records from 2, after the header, leaving out the numbers of malformed ones."""

    def __init__(self) -> None:
        self._next = 2
        self._skipped: set[int] = set()

    def next(self, count: int, malformed: Sequence[Malformed]) -> NDArray[np.int64]:
        self._skipped.update(record.row for record in malformed)
        if not self._skipped:
            rows = np.arange(self._next, self._next + count, dtype=np.int64)
            self._next += count
            return rows
        numbers: list[int] = []
        while len(numbers) < count:
            if self._next in self._skipped:
                self._skipped.discard(self._next)
            else:
                numbers.append(self._next)
            self._next += 1
        return np.array(numbers, dtype=np.int64)
