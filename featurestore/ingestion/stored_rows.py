"""The rows of a commit as row SQL reads them, and as history keeps them: the one place that fills in the stamp."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.definitions import Source
from featurestore.ingestion.accept import EventForm
from featurestore.ingestion.commit_record import CommitRecord
from featurestore.ingestion.micro_batch import tombstones
from featurestore.offline.row_check import EVENT_US, stored_schema
from featurestore.semantics.arrow_column import to_arrow
from featurestore.semantics.value import Column, Timestamp


def row_table(source: Source, form: EventForm, columns: Mapping[str, Column], a_us: int) -> pa.Table:
    """Return the schema's columns, the commit's instant in the one that it fills, and `EVENT_US`."""
    arrays = {name: to_arrow(of) for name, of in columns.items() if name != form.filled}
    event_us = columns[source.event_timestamp].values
    if form.filled is not None:
        stamps = np.full(len(event_us), a_us, dtype=np.int64)
        arrays[form.filled] = to_arrow(Column(Timestamp, stamps, np.zeros(len(event_us), dtype=np.bool_)))
    return pa.table({**{name: arrays[name] for name in source.schema}, EVENT_US: pa.array(event_us)})


def history_table(
    source: Source, columns: Mapping[str, Column], rows: pa.Table, commit: CommitRecord, kept: NDArray[np.int64]
) -> pa.Table:
    """Return what a commit adds to history: the kept rows of its `row_table`, by ordinal, in `stored_schema`."""
    n = len(rows)
    whole = pa.table(
        [
            *rows.columns,
            pa.array(np.full(n, commit.a_us, dtype=np.int64)),
            pa.array(np.full(n, commit.s, dtype=np.int64)),
            pa.array(np.arange(n, dtype=np.int64)),
            pa.array(tombstones(source, columns)),
        ],
        schema=stored_schema(source),
    )
    return whole if len(kept) == n else whole.take(pa.array(kept))
