"""The SQL that turns stored versions into a view's rows: versions resolved, rows filtered, columns derived.

Everything is one ``SELECT`` over immutable files. Which version of an event counts is settled before ``where`` is
asked, so that a correction which no longer meets the condition still ends the version it replaces.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from pathlib import Path

from sqlglot import exp

from featurestore.definitions import FeatureView, Source
from featurestore.foundation.errors import OfflineStoreError
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import DType

_SQL_TYPES = {
    "int64": "BIGINT",
    "float64": "DOUBLE",
    "float32": "FLOAT",
    "bool": "BOOLEAN",
    "string": "VARCHAR",
    "timestamp": "TIMESTAMPTZ",
}
_PATTERN = re.compile(r"[*?\[]")
ENTER = "greatest(__event_us, __available_us)"


class RowSqlFailed(OfflineStoreError):
    """A view's expressions fail on some row."""

    code = "row-sql-failed"

    def __init__(self, view: FeatureView, error: Exception) -> None:
        super().__init__(
            f"the rows cannot be computed: {str(error).splitlines()[0]}",
            where=f"FeatureView {view.name} over source {view.source.name}",
            mend="make derive and where hold for every stored row, for instance with TRY_CAST or CASE",
        )


def stored_sql(source: Source, paths: Iterable[Path], held: Container[str], upto: int | None = None) -> str:
    """Return the table expression of a source's stored versions.

    Parameters
    ----------
    paths
        The files, at least one, read by these very names: nothing in a path is taken for a pattern or a column.
    held
        Columns that some file has; the others were added to the schema later and are null.
    upto
        The last commit wanted, where the files hold later ones too.
    """
    files = ", ".join(literal(_PATTERN.sub(r"[\g<0>]", str(path))) for path in paths)
    added = "".join(
        f", CAST(NULL AS {sql_type(dtype)}) AS {quoted(name)}"
        for name, dtype in source.schema.items()
        if name not in held
    )
    cut = "" if upto is None else f" WHERE __commit <= {int(upto)}"
    return f"(SELECT *{added} FROM read_parquet([{files}], union_by_name = true, hive_partitioning = false){cut})"


def rows_sql(
    view: FeatureView,
    columns: Iterable[str],
    stored: str,
    *,
    some_keys: bool = False,
    identity: bool = False,
    commits: bool = False,
) -> str:
    """Return the query of a view's rows in the total order.

    Result columns: ``__key``, ``__event``, ``__available``, ``__leave``, then ``__0``, ``__1``, ... for ``columns``,
    ``__identity0``, ``__identity1``, ... for the source's identity, ``__commit`` and ``__place``: names that no source
    has, so that nothing of a source's can be taken for one of them.

    Parameters
    ----------
    view
        The view.
    columns
        Source or derived columns wanted, in order.
    stored
        A table expression of the source's stored versions.
    some_keys
        Keep only keys in the relation ``wanted(__key)``.
    identity
        Give the identity, too.
    commits
        Give each version's commit, too, and its place in `repeated_sql`, -1 for none; and do not leave out the versions
        that are never visible.
    """
    key = quoted(view.key)
    order = ", ".join(["__key", "__event", "__available_us", *map(quoted, view.source.identity)])
    names = list(columns)
    conditions = row_conditions(view, "__deleted")
    if not commits:
        conditions.append(f"{ENTER} < __leave_us")
    if some_keys:
        conditions.append(f"{key} IN (SELECT __key FROM wanted)")
    return (
        f"WITH versions AS ({_versions_sql(view, _read_columns(view, names), stored, places=commits)}) "
        f"SELECT {key} AS __key, __event_us AS __event, __available_us AS __available, __leave_us AS __leave"
        f"{_picked(view, names)}{_identity(view) if identity else ''}{', __commit, __place' if commits else ''} "
        f"FROM versions WHERE {' AND '.join(conditions)} ORDER BY {order}"
    )


def repeated_sql(view: FeatureView, stored: str) -> str:
    """Return the query of all versions of the events that have several, in the order of identity, commit and row.

    Result columns: ``__event``, a number per event from 1, ``__commit`` and ``__available``.
    """
    identity = _identity_columns(view)
    return (
        f"WITH stored AS (SELECT {identity}, __commit, __row, __available_us FROM {stored}), "
        f"repeated AS ({_repeated_sql(view)}) "
        f"SELECT dense_rank() OVER (ORDER BY {identity}) AS __event, __commit, __available_us AS __available "
        f"FROM stored SEMI JOIN repeated USING ({identity}) ORDER BY {identity}, __commit, __row"
    )


def batch_sql(view: FeatureView, batch: str, position: str) -> str:
    """Return the query of a view's rows of a relation in the order of its column ``position``.

    Result columns: ``position``, ``__key``, then ``__0``, ``__1``, ... for the view's columns.

    Parameters
    ----------
    batch
        A relation of events as a source's schema has them, each the newest version, with a column ``position``.
    """
    deleted = None if view.source.tombstone is None else quoted(view.source.tombstone)
    return (
        f"SELECT {position}, {quoted(view.key)} AS __key{_picked(view, view.columns)} FROM {batch} "
        f"WHERE {' AND '.join(row_conditions(view, deleted))} ORDER BY {position}"
    )


def failing_sql(view: FeatureView, batch: str, position: str) -> str:
    """Return the query of the rows of a relation that `batch_sql` fails on, in the order of its column ``position``.

    Result columns: ``position``, and ``__part``, what fails first: the place of a derived column among the view's
    columns, or -1 for the condition. A failure is told from a null by the struct around each value, which a value
    always has and a failure never.
    """
    deleted = None if view.source.tombstone is None else quoted(view.source.tombstone)
    given = row_conditions(view, deleted)
    condition = "true" if view.where_expression is None else given.pop()
    parts = [(i, column_sql(view, name)) for i, name in enumerate(view.columns) if name in view.derive]
    cases = "".join(f" WHEN TRY({{'v': {value}}}) IS NULL THEN {i}" for i, value in parts)
    met = f"SELECT *, TRY({{'v': {condition}}}) AS __met FROM {batch} WHERE {' AND '.join(given)}"
    return (
        f"SELECT * FROM (SELECT {position}, CASE WHEN __met IS NULL THEN -1{cases} END AS __part FROM ({met}) "
        f"WHERE __met IS NULL OR __met.v) WHERE __part IS NOT NULL ORDER BY {position}"
    )


def source_columns(view: FeatureView, names: Iterable[str]) -> set[str]:
    """Return the source's columns that a view's key, condition and the named columns are made from."""
    used = {view.key, *(() if view.where_expression is None else view.where_expression.columns)}
    for name in names:
        used.update(view.derived_expressions[name].columns if name in view.derive else [name])
    return used


def row_conditions(view: FeatureView, deleted: str | None) -> list[str]:
    """Return what a row must meet to count for a view: a key, no withdrawal, and the view's own condition.

    Parameters
    ----------
    deleted
        A column that says which rows withdraw events, as SQL; ``None`` if none does.
    """
    conditions = [f"{quoted(view.key)} IS NOT NULL"]
    if deleted is not None:
        conditions.append(f"NOT {deleted}")
    if view.where_expression is not None:
        conditions.append(f"({view.where_expression.sql})")
    return conditions


def keys_sql(view: FeatureView, stored: str) -> str:
    """Return the query of every key any version ever had, ascending."""
    key = quoted(view.key)
    return f"SELECT DISTINCT {key} AS __key FROM {stored} WHERE {key} IS NOT NULL ORDER BY __key"


def column_sql(view: FeatureView, name: str) -> str:
    """Return the expression of a source column or a derived one, in the type it was declared with."""
    if name not in view.derive:
        return quoted(name)
    return f"CAST({view.derived_expressions[name].sql} AS {sql_type(view.derive[name].dtype)})"


def sql_type(dtype: DType) -> str:
    """Return the SQL type that holds a dtype without loss."""
    return f"DECIMAL(18, {dtype.scale})" if dtype.name == "decimal" else _SQL_TYPES[dtype.name]


def quoted(name: str) -> str:
    """Return a name as an SQL identifier, whatever characters it has."""
    return exp.to_identifier(name, quoted=True).sql(dialect="duckdb")


def literal(text: str) -> str:
    """Return a text as an SQL literal."""
    return exp.Literal.string(text).sql(dialect="duckdb")


def _picked(view: FeatureView, names: Iterable[str]) -> str:
    return "".join(f", {column_sql(view, name)} AS __{index}" for index, name in enumerate(names))


def _identity(view: FeatureView) -> str:
    return "".join(f", {quoted(name)} AS __identity{index}" for index, name in enumerate(view.source.identity))


def _read_columns(view: FeatureView, names: list[str]) -> list[str]:
    """Return the stored columns that the query reads, the store's own first."""
    used = {*source_columns(view, names), *view.source.identity}
    return ["__event_us", "__available_us", "__commit", "__row", "__deleted", *map(quoted, sorted(used))]


def _identity_columns(view: FeatureView) -> str:
    return ", ".join(map(quoted, view.source.identity))


def _repeated_sql(view: FeatureView) -> str:
    identity = _identity_columns(view)
    return f"SELECT {identity} FROM stored GROUP BY {identity} HAVING count(*) > 1"


def _versions_sql(view: FeatureView, read: list[str], stored: str, *, places: bool) -> str:
    """Add ``__leave_us``: the earliest ``available_at`` of any later-committed version of the same event (law 2).

    Only events that have several versions are sorted for it, which are few.
    """
    identity = _identity_columns(view)
    place = f", row_number() OVER (ORDER BY {identity}, __commit, __row) - 1 AS __place" if places else ""
    return (
        f"WITH stored AS (SELECT {', '.join(read)} FROM {stored}), "
        f"repeated AS ({_repeated_sql(view)}) "
        f"SELECT *, coalesce(min(__available_us) OVER (PARTITION BY {identity} ORDER BY __commit, __row "
        f"ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), {NEVER_US}) AS __leave_us{place} "
        f"FROM stored SEMI JOIN repeated USING ({identity}) "
        f"UNION ALL BY NAME SELECT *, {NEVER_US} AS __leave_us{', -1 AS __place' if places else ''} "
        f"FROM stored ANTI JOIN repeated USING ({identity})"
    )
