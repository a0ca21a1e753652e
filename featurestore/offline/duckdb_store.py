"""The offline store on DuckDB: it reads files, evaluates row SQL and sorts; the join itself is `point_in_time`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.definitions import FeatureView, Source
from featurestore.foundation.errors import OfflineStoreError
from featurestore.offline import snapshot
from featurestore.offline.arrow_rows import committed_rows, event_rows, no_committed_rows, no_rows
from featurestore.offline.audit_rows import AuditRows
from featurestore.offline.newest_versions import availables_after_sql, newest_versions_sql
from featurestore.offline.point_in_time.event_rows import EventRows
from featurestore.offline.point_in_time.join import ViewFrame
from featurestore.offline.row_sql import RowSqlFailed, keys_sql, repeated_sql, rows_sql, stored_sql
from featurestore.offline.stream_mark import is_streamed
from featurestore.offline.view_rows import ViewRows
from featurestore.semantics.aggregate import Aggregate, EventLog
from featurestore.semantics.arrow_column import from_arrow, to_arrow
from featurestore.semantics.value import Column, column

Mark = tuple[str, int, int, int]
"""A file's path, size, time of last change in ns, and inode: as long as these stand, its bytes are taken to stand."""
PIECE_ROWS = 100_000
"""Rows of one piece of what is given in pieces."""
FEW_KEYS = 10_000
"""Up to so many spine rows, only their keys' versions are fetched."""


def open_offline_store(root: Path, threads: int | None = None) -> DuckDBStore:
    """Open the store under ``root``; ``threads`` is by default the number of cores."""
    return DuckDBStore(root, threads)


class DuckDBStore:
    """See `featurestore.offline.base.OfflineStore`. Safe to use from several threads."""

    def __init__(self, root: Path, threads: int | None = None) -> None:
        self._root = root
        self._connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": False})
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        if threads is not None:
            self._connection.execute(f"SET threads = {int(threads)}")
        self._verified: set[Mark] = set()
        self._threads = int(self._scalar("SELECT current_setting('threads')"))

    @property
    def engine(self) -> str:
        """The engine's name and version."""
        return f"duckdb {duckdb.__version__}, numpy {np.__version__}"

    def latest_sequence(self, source: Source) -> int:
        """Return the source's newest commit sequence, 0 if nothing was imported."""
        return snapshot.latest(self._root, source).sequence

    def snapshot_digest(self, source: Source, s: int) -> str:
        """Return the digest that names the source's data up to ``s``."""
        return snapshot.at(self._root, source, s).digest

    def keys(self, view: FeatureView, s: int) -> Column:
        """Return every join key that any version ever had, ascending."""
        stored = self._stored(view.source, s)
        if stored is None:
            return column(view.entity.dtype, [])
        return from_arrow(self._table(view, keys_sql(view, stored)).column("__key"), view.entity.dtype)

    def view_rows(self, view: FeatureView, s: int) -> ViewRows:
        """Return the view's rows of all keys, read once for many questions."""
        return ViewRows(view, self._rows(view, list(view.columns), s, None, identity=True), self._threads)

    def features_at(self, view: FeatureView, keys: Column, instants_us: NDArray[np.int64], s: int) -> ViewFrame:
        """Return the view's features at each (key, instant), TTL not applied."""
        return self.aggregates_at(view, {f.name: f.aggregate for f in view.features}, keys, instants_us, s)

    def aggregates_at(
        self,
        view: FeatureView,
        aggregates: Mapping[str, Aggregate],
        keys: Column,
        instants_us: NDArray[np.int64],
        s: int,
        *,
        lag_us: int = 0,
    ) -> ViewFrame:
        """Return aggregates over the view's rows at each (key, instant), windows ending ``lag_us`` earlier."""
        columns = sorted({a.column for a in aggregates.values() if a.column is not None})
        rows = self._rows(view, columns, s, to_arrow(keys) if len(keys) <= FEW_KEYS else None)
        return ViewRows(view, rows, self._threads).aggregates_at(aggregates, keys, instants_us, lag_us)

    def features_at_each(
        self, view: FeatureView, keys: Column, instants_us: NDArray[np.int64], sequences: NDArray[np.int64]
    ) -> ViewFrame:
        """Return the view's features at each (key, instant, commit sequence), TTL not applied."""
        wanted = to_arrow(keys) if len(keys) <= FEW_KEYS else None
        return self._committed_rows(view, wanted).features_at_each(keys, instants_us, sequences)

    def audit_rows(self, view: FeatureView) -> AuditRows:
        """Return the view's rows of all keys and commits, read once for questions of many commit sequences."""
        return self._committed_rows(view, None)

    def logs(self, view: FeatureView, keys: Column, as_of_us: int, s: int) -> Iterator[tuple[int, EventLog]]:
        """Give, for each key in order, its position and the versions that may matter at any t >= ``as_of_us``."""
        rows = self._rows(view, list(view.columns), s, to_arrow(keys), identity=True)
        return ViewRows(view, rows, self._threads).logs(keys, as_of_us)

    def is_streamed(self, source: Source) -> bool:
        """Tell whether the source's stream is open."""
        return is_streamed(self._root, source)

    def newest_versions(self, source: Source, since_us: int, s: int) -> Iterator[pa.Table]:
        """Give the newest version of each event that happened after ``since_us``, in pieces."""
        stored = self._stored(source, s)
        if stored is None:
            return
        cursor = self._connection.cursor()
        try:
            found = cursor.sql(newest_versions_sql(source, stored, since_us)).to_arrow_reader(PIECE_ROWS)
            yield from (pa.Table.from_batches([piece]) for piece in found)
        except duckdb.Error as error:
            raise _unreadable(source, error) from error
        finally:
            cursor.close()

    def availables_after(self, source: Source, t_us: int) -> frozenset[int]:
        """Return the instants after ``t_us`` at which versions become available."""
        stored = self._stored(source, self.latest_sequence(source))
        if stored is None:
            return frozenset()
        cursor = self._connection.cursor()
        try:
            return frozenset(row[0] for row in cursor.execute(availables_after_sql(stored, t_us)).fetchall())
        except duckdb.Error as error:
            raise _unreadable(source, error) from error
        finally:
            cursor.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _committed_rows(self, view: FeatureView, wanted: pa.Array | None) -> AuditRows:
        s = self.latest_sequence(view.source)
        stored = self._stored(view.source, s)
        if stored is None:
            return AuditRows(view, no_committed_rows(view), s, self._threads)
        rows = self._table(
            view, rows_sql(view, view.columns, stored, some_keys=wanted is not None, commits=True), wanted
        )
        repeated = self._table(view, repeated_sql(view, stored))
        return AuditRows(view, committed_rows(view, rows, repeated), s, self._threads)

    def _rows(
        self, view: FeatureView, columns: list[str], s: int, wanted: pa.Array | None, *, identity: bool = False
    ) -> EventRows:
        stored = self._stored(view.source, s)
        if stored is None:
            return no_rows(view, columns)
        sql = rows_sql(view, columns, stored, some_keys=wanted is not None, identity=identity)
        return event_rows(view, columns, self._table(view, sql, wanted), identity=identity)

    def _stored(self, source: Source, s: int) -> str | None:
        """Return the table expression of the source's files up to ``s``, ``None`` if there are none."""
        found = snapshot.at(self._root, source, s)
        self._verify(found)
        if not found.paths:
            return None
        return stored_sql(source, found.paths, found.schema, s if found.cut else None)

    def _verify(self, found: snapshot.Snapshot) -> None:
        """Hash each file once, and again whenever it looks touched: what is read is what was committed (law 12)."""
        marks = {_mark(path): file for path, file in zip(found.paths, found.files, strict=True)}
        fresh = [file for mark, file in marks.items() if mark not in self._verified]
        found.verify(fresh)
        self._verified.update(marks)

    def _table(self, view: FeatureView, sql: str, wanted: pa.Array | None = None) -> pa.Table:
        cursor = self._connection.cursor()
        try:
            if wanted is not None:
                cursor.register("wanted", pa.table({"__key": wanted}))
            return cursor.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            raise RowSqlFailed(view, error) from error
        finally:
            cursor.close()

    def _scalar(self, sql: str) -> Any:
        row = self._connection.execute(sql).fetchone()
        return None if row is None else row[0]


def _mark(path: Path) -> Mark:
    """Return a file's mark; zeros for one that is gone, which no verification passes."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return str(path), 0, 0, 0
    return str(path), status.st_size, status.st_mtime_ns, status.st_ino


def _unreadable(source: Source, error: duckdb.Error) -> OfflineStoreError:
    return OfflineStoreError(
        f"history cannot be read: {str(error).splitlines()[0]}",
        where=f"source {source.name}",
        mend="check that its files can be read, and that there is memory and disk for a sort",
    )
