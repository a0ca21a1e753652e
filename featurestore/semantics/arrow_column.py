"""Columns to and from Arrow, without a copy where the layouts agree, and without a change to any value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.foundation.errors import SemanticsError
from featurestore.semantics.value import Column, DType

_ARROW: dict[str, pa.DataType] = {
    "int64": pa.int64(),
    "float64": pa.float64(),
    "float32": pa.float32(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


def arrow_type(dtype: DType) -> pa.DataType:
    """Return the Arrow type a column of ``dtype`` is stored in."""
    return pa.decimal128(18, dtype.scale) if dtype.name == "decimal" else _ARROW[dtype.name]


def from_arrow(array: pa.Array | pa.ChunkedArray, dtype: DType) -> Column:
    """Read an Arrow array of ``arrow_type(dtype)`` (a plain int64 of µs for timestamps too).

    Raises
    ------
    SemanticsError
        If the array has another type; nothing is cast.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
    if isinstance(array, pa.ChunkedArray):  # pragma: no cover - what combine_chunks gives for no chunks at all
        array = pa.array([], type=array.type)
    _check_type(array.type, dtype)
    nulls = np.asarray(array.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
    return Column(dtype, _values(array, dtype), nulls)


def to_arrow(of: Column) -> pa.Array:
    """Write a column as an Arrow array of ``arrow_type(of.dtype)``."""
    mask = of.nulls if of.nulls.any() else None
    if of.dtype.name == "decimal":
        return _decimals(of)
    if of.dtype.name == "timestamp":
        return pa.array(of.values, type=pa.int64(), mask=mask).cast(_ARROW["timestamp"])
    return pa.array(of.values, type=_ARROW[of.dtype.name], mask=mask, from_pandas=False)


def _check_type(found: pa.DataType, dtype: DType) -> None:
    if found == arrow_type(dtype) or (dtype.name == "timestamp" and found == pa.int64()):
        return
    if dtype.name == "string" and found in (pa.large_string(), pa.string_view()):
        return
    if dtype.name == "decimal" and pa.types.is_decimal(found) and found.scale == dtype.scale:
        return
    raise SemanticsError(f"an Arrow array of {found} is not a column of {dtype}")


def _values(array: pa.Array, dtype: DType) -> NDArray[Any]:
    if dtype.name == "decimal":
        return _unscaled(array)
    if dtype.name == "string":
        return np.asarray(array.fill_null("").to_numpy(zero_copy_only=False), dtype=np.object_)
    if dtype.name == "timestamp":
        array = array.cast(pa.int64())
    if array.null_count:
        array = array.fill_null(False if dtype.name == "bool" else 0)
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=dtype.storage)


def _unscaled(array: pa.Array) -> NDArray[np.int64]:
    """Return the low 64 bits of decimal128 values, which is all of at most 18 digits."""
    wide = array if array.type.bit_width == 128 else array.cast(pa.decimal128(18, array.type.scale))
    buffer = wide.buffers()[1]
    words = np.frombuffer(buffer, dtype=np.int64)[2 * wide.offset : 2 * (wide.offset + len(wide))]
    low = words[0::2].copy()
    if wide.null_count:
        low[np.asarray(wide.is_null().to_numpy(zero_copy_only=False))] = 0
    return low


def _decimals(of: Column) -> pa.Array:
    words = np.empty((len(of), 2), dtype=np.int64)
    words[:, 0] = of.values
    words[:, 1] = np.where(of.values < 0, -1, 0)
    valid = None
    if of.nulls.any():
        valid = pa.py_buffer(np.packbits(~of.nulls, bitorder="little").tobytes())
    return pa.Array.from_buffers(arrow_type(of.dtype), len(of), [valid, pa.py_buffer(words.tobytes())])
