"""A view's rows of a few events that just came in, by the same expressions and the same engine as of all history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.definitions import FeatureView
from featurestore.offline.row_sql import RowSqlFailed, batch_sql, failing_sql, source_columns
from featurestore.semantics.arrow_column import arrow_type, from_arrow
from featurestore.semantics.value import Column

POSITION = "__position"


@dataclass(frozen=True, slots=True)
class RowsOfView:
    """The rows that count for a view, in the order in which they were given.

    Attributes
    ----------
    index
        Where each stands in the table it is from, ascending.
    keys
        Their keys, without null.
    columns
        Per column that the view's features read, source's or derived, their values.
    """

    index: NDArray[np.int64]
    keys: Column
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.index)


class RowEngine:
    """Evaluates views over tables in memory. For one thread at a time.

    A view without expressions is read from the table as it stands; the engine is asked only where there is something
    to evaluate, on one thread. What it gives is what `featurestore.offline.row_sql.rows_sql` gives for the same rows.
    """

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": False, "threads": 1})
        self._connection.execute("SET TimeZone = 'UTC'")
        self._batches: dict[FeatureView, _Batch] = {}

    def rows(self, view: FeatureView, table: pa.Table) -> RowsOfView:
        """Return the rows that have a key, meet the view's condition and withdraw nothing, derived columns computed.

        Parameters
        ----------
        table
            The source's columns in their stored types, in any order; further ones are passed over.

        Raises
        ------
        RowSqlFailed
            If an expression fails on some row of the table that has a key and is no tombstone.
        """
        if view.where_expression is None and not any(name in view.derive for name in view.columns):
            return _plain_rows(view, table)
        return self._evaluated(view, table)

    def failing(self, view: FeatureView, table: pa.Table) -> dict[int, str]:
        """Return the rows that `rows` fails on by themselves, found all at once, and the expression that fails first.

        None of them may be told: an expression that cannot be tried, as it calls ``error``, tells no row.
        """
        batch = self._batches.get(view) or self._prepared(view)
        try:
            found = batch.failing(self._connection, table)
        except duckdb.Error:
            return {}
        names = {-1: "where", **{i: f"derive {name!r}" for i, name in enumerate(view.columns)}}
        parts = found.column("__part").to_pylist()
        return {i: names[part] for i, part in zip(found.column(POSITION).to_pylist(), parts, strict=True)}

    def close(self) -> None:
        """Close the engine."""
        self._connection.close()

    def _evaluated(self, view: FeatureView, table: pa.Table) -> RowsOfView:
        batch = self._batches.get(view) or self._prepared(view)
        try:
            found = batch.asked(self._connection, table)
        except duckdb.Error as error:
            raise RowSqlFailed(view, error) from error
        columns = {
            name: from_arrow(found.column(f"__{i}"), view.column_dtype(name)) for i, name in enumerate(view.columns)
        }
        index = found.column(POSITION).to_numpy()
        return RowsOfView(index, from_arrow(found.column("__key"), view.entity.dtype), columns)

    def _prepared(self, view: FeatureView) -> _Batch:
        batch = _Batch(view, f"view{len(self._batches)}")
        try:
            batch.prepare(self._connection)
        except duckdb.Error as error:
            raise RowSqlFailed(view, error) from error
        self._batches[view] = batch
        return batch


class _Batch:
    """What the prepared query of one view reads: an Arrow stream whose table is another one at each call.

    Preparing takes most of the time of a query over a few rows, and the engine forgets a prepared one whose relation
    is replaced; so the relation stays and what it gives changes.
    """

    def __init__(self, view: FeatureView, name: str) -> None:
        self._view, self._name = view, name
        deleted = view.source.tombstone
        read = {*source_columns(view, view.columns), *([] if deleted is None else [deleted])}
        self._read = [column for column in view.source.schema if column in read]
        fields = [pa.field(column, arrow_type(view.source.schema[column])) for column in self._read]
        self.schema = pa.schema([*fields, pa.field(POSITION, pa.int64())])
        self._table = self.schema.empty_table()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Register this relation, and prepare the view's query of it under the same name."""
        connection.register(self._name, self)
        connection.execute(f"PREPARE {self._name} AS {batch_sql(self._view, self._name, POSITION)}")

    def asked(self, connection: duckdb.DuckDBPyConnection, table: pa.Table) -> pa.Table:
        """Return what the view's query gives for a table."""
        return self._answer(connection, table, f"EXECUTE {self._name}")

    def failing(self, connection: duckdb.DuckDBPyConnection, table: pa.Table) -> pa.Table:
        """Return what `failing_sql` gives for a table."""
        return self._answer(connection, table, failing_sql(self._view, self._name, POSITION))

    def _answer(self, connection: duckdb.DuckDBPyConnection, table: pa.Table, query: str) -> pa.Table:
        positions = pa.array(np.arange(table.num_rows, dtype=np.int64))
        self._table = table.select(self._read).append_column(self.schema.field(POSITION), positions)
        try:
            return connection.sql(query).to_arrow_table()
        finally:
            self._table = self.schema.empty_table()


def _plain_rows(view: FeatureView, table: pa.Table) -> RowsOfView:
    keys = from_arrow(table.column(view.key), view.entity.dtype)
    counts = ~keys.nulls
    if view.source.tombstone is not None:
        counts &= ~np.asarray(table.column(view.source.tombstone).to_numpy(), dtype=np.bool_)
    index = np.flatnonzero(counts)
    columns = {name: from_arrow(table.column(name), view.column_dtype(name)) for name in view.columns}
    return RowsOfView(index, keys.take(index), {name: of.take(index) for name, of in columns.items()})
