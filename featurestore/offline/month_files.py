"""The rows of one commit as Parquet files by month of the event timestamp, in bounded memory."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from featurestore.foundation.durable_file import make_folder, sync_file, sync_folder
from featurestore.offline.row_check import EVENT_US

BUFFER_ROWS = 1_000_000
"""Rows held in memory before the fullest month's are written out as a row group."""
OPEN_FILES = 128
"""Months written at a time; a month that comes back after its file was closed goes on in a further part."""


class MonthFiles:
    """Write rows into ``<folder>/<yyyy-mm>.parquet``; each row group ascends by event timestamp, then by row.

    A month of more rows than are held in memory at a time has several row groups; one that had to be closed on the
    way goes on in ``<yyyy-mm>.part2.parquet``. The same rows in the same order give the same bytes.
    """

    def __init__(self, folder: Path, schema: pa.Schema, *, buffer_rows: int = BUFFER_ROWS) -> None:
        self._folder = folder
        self._schema = schema
        self._buffer_rows = buffer_rows
        self._held: defaultdict[int, list[pa.Table]] = defaultdict(list)
        self._held_rows: defaultdict[int, int] = defaultdict(int)
        self._writers: dict[int, pq.ParquetWriter] = {}
        self._parts: defaultdict[int, int] = defaultdict(int)
        self._paths: list[Path] = []

    def add(self, rows: pa.Table) -> None:
        """Take in rows of the schema, in the order of the import."""
        months = month_numbers(rows.column(EVENT_US).to_numpy())
        order = np.argsort(months, kind="stable")
        cuts = np.flatnonzero(np.diff(months[order])) + 1
        for indices in np.split(order, cuts):
            if len(indices):
                self._hold(int(months[indices[0]]), rows.take(pa.array(indices)) if len(cuts) else rows)
        while sum(self._held_rows.values()) > self._buffer_rows:
            self._flush(max(self._held_rows, key=lambda month: self._held_rows[month]))

    def finish(self) -> list[Path]:
        """Write what is held, close and sync all files, and return them in order of their names."""
        for month in sorted(self._held):
            self._flush(month)
        self.close()
        for path in self._paths:
            sync_file(path)
        if self._paths:
            sync_folder(self._folder)
        return sorted(self._paths)

    def close(self) -> None:
        """Close the files as they are, which may be short of rows."""
        while self._writers:
            self._writers.popitem()[1].close()

    def _hold(self, month: int, rows: pa.Table) -> None:
        self._held[month].append(rows)
        self._held_rows[month] += rows.num_rows

    def _flush(self, month: int) -> None:
        rows = pa.concat_tables(self._held.pop(month)).combine_chunks()
        count = self._held_rows.pop(month)
        order = np.argsort(rows.column(EVENT_US).to_numpy(), kind="stable")
        self._writer(month).write_table(rows.take(pa.array(order)), row_group_size=count)

    def _writer(self, month: int) -> pq.ParquetWriter:
        writer = self._writers.pop(month, None) or self._open(month)
        self._writers[month] = writer
        return writer

    def _open(self, month: int) -> pq.ParquetWriter:
        if len(self._writers) >= OPEN_FILES:
            self._writers.pop(next(iter(self._writers))).close()
        self._parts[month] += 1
        part = f".part{self._parts[month]}" if self._parts[month] > 1 else ""
        path = self._folder / f"{month_name(month)}{part}.parquet"
        make_folder(self._folder)
        self._paths.append(path)
        return pq.ParquetWriter(path, self._schema, compression="zstd")


def month_numbers(event_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return months since January 1970, UTC."""
    return event_us.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)


def month_name(month: int) -> str:
    """Return a month number as ``yyyy-mm``."""
    return f"{1970 + month // 12:04d}-{month % 12 + 1:02d}"
