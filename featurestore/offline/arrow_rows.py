"""What the queries of `row_sql` give, as the arrays that are joined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.definitions import FeatureView
from featurestore.offline.point_in_time.committed_rows import CommittedRows, RepeatedEvents
from featurestore.offline.point_in_time.event_rows import EventRows
from featurestore.semantics.arrow_column import from_arrow
from featurestore.semantics.identity import identity_numbers
from featurestore.semantics.value import Column, Int64, column


def event_rows(view: FeatureView, columns: Sequence[str], table: pa.Table, *, identity: bool = False) -> EventRows:
    """Return the rows that `featurestore.offline.row_sql.rows_sql` gives for the same columns."""
    encoded = table.column("__key").combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return EventRows(
        keys=from_arrow(encoded.dictionary, view.entity.dtype),
        codes=encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        event_us=_integers(table, "__event"),
        available_us=_integers(table, "__available"),
        leave_us=_integers(table, "__leave"),
        columns={name: from_arrow(table.column(f"__{i}"), view.column_dtype(name)) for i, name in enumerate(columns)},
        ids=_event_numbers(view, table) if identity else None,
    )


def no_rows(view: FeatureView, columns: Sequence[str]) -> EventRows:
    """Return the rows of a view whose source has no history."""
    none = np.zeros(0, dtype=np.int64)
    empty: dict[str, Column] = {name: column(view.column_dtype(name), []) for name in columns}
    return EventRows(column(view.entity.dtype, []), none, none, none, none, empty, none.view(np.uint64))


def committed_rows(view: FeatureView, table: pa.Table, repeated: pa.Table) -> CommittedRows:
    """Return the rows of `rows_sql` with commits, and the versions of `repeated_sql`."""
    commits, places = _integers(table, "__commit"), _integers(table, "__place")
    versions = RepeatedEvents(*(_integers(repeated, name) for name in ("__event", "__commit", "__available")))
    return CommittedRows(event_rows(view, view.columns, table), commits, places, versions)


def no_committed_rows(view: FeatureView) -> CommittedRows:
    """Return what `committed_rows` does for a source that has no history."""
    none = np.zeros(0, dtype=np.int64)
    return CommittedRows(no_rows(view, view.columns), none, none, RepeatedEvents(none, none, none))


def _integers(table: pa.Table, name: str) -> NDArray[np.int64]:
    return np.asarray(from_arrow(table.column(name), Int64).values, dtype=np.int64)


def _event_numbers(view: FeatureView, table: pa.Table) -> NDArray[np.uint64]:
    parts = enumerate(view.source.identity)
    return identity_numbers([from_arrow(table.column(f"__identity{i}"), view.source.schema[name]) for i, name in parts])
