"""Bad rows as a Parquet file: where each stood, what is wrong with it, and its cells as texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.foundation.durable_file import make_folder, sync_file, sync_folder
from featurestore.offline.row_check import BadRow

FILE, ROW_NUMBER, REASONS, LINE = "__file", "__row_number", "__reasons", "__line"


class Quarantine:
    """Write bad rows into ``path``, which is made with the first of them.

    Columns: the source's as texts, then ``__file``, ``__row_number`` (as the file counts rows), ``__reasons`` (a list,
    each naming its column) and ``__line`` (the text of a record that could not be split into cells).
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.rows = 0
        self._columns = list(columns)
        own = [pa.field(name, pa.string()) for name in columns]
        reasons = pa.field(REASONS, pa.list_(pa.string()))
        self._schema = pa.schema(
            [*own, pa.field(FILE, pa.string()), pa.field(ROW_NUMBER, pa.int64()), reasons, pa.field(LINE, pa.string())]
        )
        self._writer: pq.ParquetWriter | None = None

    def add(self, rows: Sequence[BadRow]) -> None:
        """Take in bad rows, in order."""
        if not rows:
            return
        if self._writer is None:
            make_folder(self.path.parent)
            self._writer = pq.ParquetWriter(self.path, self._schema, compression="zstd")
        self._writer.write_table(pa.Table.from_pylist([self._record(row) for row in rows], schema=self._schema))
        self.rows += len(rows)

    def finish(self) -> Path | None:
        """Close and sync the file; ``None`` if there was no bad row."""
        if self._writer is None:
            return None
        self.close()
        sync_file(self.path)
        sync_folder(self.path.parent)
        return self.path

    def close(self) -> None:
        """Close the file as it is."""
        if self._writer is not None:
            self._writer.close()

    def _record(self, row: BadRow) -> dict[str, object]:
        first = row.cells[0]
        reasons = [f"{cell.column}: {cell.reason}" if cell.column else cell.reason for cell in row.cells]
        own = {name: row.texts.get(name) for name in self._columns}
        return {**own, FILE: first.file, ROW_NUMBER: first.row, REASONS: reasons, LINE: row.line}
