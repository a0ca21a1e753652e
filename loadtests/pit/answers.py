"""Whether two jobs gave the same answers, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_COMPARABLE = {"net": pa.decimal128(18, 2), "store_id": pa.int64(), "min_30d": pa.decimal128(18, 2)}
_COMPARABLE["max_30d"] = _COMPARABLE["min_30d"]


def in_spine_order(answer: pa.Table, spine: pa.Table) -> pa.Table:
    """Return an answer that carries the spine's columns, in whatever order, in the spine's order.

    Raises
    ------
    ValueError
        If its rows are not the spine's.
    """
    keys = [("household_id", "ascending"), ("at", "ascending")]
    wanted, given = pc.sort_indices(spine, keys), pc.sort_indices(answer, keys)
    if len(given) != len(wanted) or not _same_keys(answer.take(given), spine.take(wanted)):
        raise ValueError(f"an answer of {len(answer)} rows has not the rows of the spine ({len(spine)})")
    places = np.empty(len(wanted), dtype=np.int64)
    places[wanted.to_numpy()] = given.to_numpy()
    return answer.take(pa.array(places))


def differences(one: pa.Table, other: pa.Table, columns: Iterable[str]) -> dict[str, int]:
    """Return how many rows differ in each column that has any: in nullness, or in a bit of the value."""
    if len(one) != len(other):
        return {"rows": abs(len(one) - len(other))}
    found = {name: _rows_that_differ(_plain(one, name), _plain(other, name)) for name in columns}
    return {name: rows for name, rows in found.items() if rows}


def _same_keys(one: pa.Table, other: pa.Table) -> bool:
    return all(
        np.array_equal(one[name].cast(pa.int64()).to_numpy(), other[name].cast(pa.int64()).to_numpy())
        for name in ("household_id", "at")
    )


def _plain(table: pa.Table, name: str) -> pa.ChunkedArray:
    column = table[name]
    return column.cast(_COMPARABLE.get(name, column.type))


def _rows_that_differ(one: pa.ChunkedArray, other: pa.ChunkedArray) -> int:
    if one.type != other.type:
        raise TypeError(f"{one.type} cannot be compared with {other.type}")
    nulls = one.is_null().to_numpy(), other.is_null().to_numpy()
    return int(np.count_nonzero((nulls[0] != nulls[1]) | (_bits(one) != _bits(other))))


def _bits(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the values' bits as integers; nulls as 0."""
    if pa.types.is_decimal(column.type):
        column = pc.multiply(column, pa.scalar(100, pa.decimal128(3, 0))).cast(pa.int64())
    return np.asarray(column.fill_null(0).to_numpy()).view(np.int64)
