"""The Parquet files that a compaction writes: one per model version, day and set of columns, all of them or none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.foundation.clock import DAY
from featurestore.foundation.durable_file import make_folder, sync_file, sync_folder
from gateway.predictionlog.time_span import day_folder

ROW_GROUP_ROWS = 50_000
"""Rows of a row group: what is held in memory of each open file."""
OPEN_FILES = 64
"""Files that are written at once; the one that was begun first is closed for the next, and continued by another."""

_DELTAS = ("instant", "sequence", "prediction_id")

Group = tuple[str, int, int, pa.Schema]
"""Model, version, day since 1970, columns."""


@dataclass(slots=True)
class _Open:
    temporary: Path
    writer: pq.ParquetWriter
    waiting: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self.waiting.append(batch)
        self.rows += batch.num_rows
        if self.rows >= ROW_GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        if self.waiting:
            self.writer.write_table(pa.Table.from_batches(self.waiting), row_group_size=ROW_GROUP_ROWS)
        self.waiting, self.rows = [], 0

    def close(self) -> None:
        self.flush()
        self.writer.close()


class ParquetFiles:
    """Write rows to ``<model>/v<version>/date=YYYY-MM-DD/<stem>.<n>.parquet``.

    On a clean exit from its context every file is synced, then named, and the names are synced; on another, none is
    named. The same rows in the same order give files of the same names.
    """

    def __init__(self, root: Path, stem: str) -> None:
        self._root = root
        self._stem = stem
        self._open: dict[Group, _Open] = {}
        self._paths: dict[Path, Path] = {}

    @property
    def count(self) -> int:
        """Files begun."""
        return len(self._paths)

    def write(self, model: str, version: int, batch: pa.RecordBatch) -> None:
        """Add rows of one version of a model, each to the file of its instant's day, UTC."""
        for day, part in _by_day(batch):
            group = (model, version, day, batch.schema)
            self._open_file(group).write(part)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish()
            return
        for opened in self._open.values():
            opened.writer.close()
        for temporary in self._paths:
            temporary.unlink(missing_ok=True)

    def _open_file(self, group: Group) -> _Open:
        opened = self._open.get(group)
        if opened is None:
            if len(self._open) >= OPEN_FILES:
                self._open.pop(next(iter(self._open))).close()
            opened = self._open[group] = self._begin(group)
        return opened

    def _begin(self, group: Group) -> _Open:
        model, version, day, schema = group
        folder = self._root / model / f"v{version}" / day_folder(day)
        make_folder(folder)
        number = sum(path.parent == folder for path in self._paths.values())
        path = folder / f"{self._stem}.{number}.parquet"
        temporary = path.with_name(f".{path.name}.tmp")
        self._paths[temporary] = path
        writer = pq.ParquetWriter(
            temporary,
            schema,
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=[name for name in schema.names if name not in _DELTAS],
            column_encoding={"instant": "DELTA_BINARY_PACKED", "sequence": "DELTA_BINARY_PACKED"},
        )
        return _Open(temporary, writer)

    def _finish(self) -> None:
        for opened in self._open.values():
            opened.close()
        for temporary in self._paths:
            sync_file(temporary)
        for temporary, path in self._paths.items():
            os.replace(temporary, path)
        for folder in {path.parent for path in self._paths.values()}:
            sync_folder(folder)


def _by_day(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    days = batch.column("instant").cast(pa.int64()).to_numpy() // DAY
    found = np.unique(days)
    for day in found.tolist():
        yield day, batch if len(found) == 1 else batch.filter(pa.array(days == day))
