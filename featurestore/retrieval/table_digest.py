"""A digest of a table's content: names, types, nulls and values in row order, whatever the chunks or the library."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa


def table_digest(table: pa.Table) -> str:
    """Return 64 hexadecimal digits that two tables share exactly if they hold the same values in the same order.

    What stands beneath a null does not count; NaN counts bit by bit.
    """
    state = hashlib.sha256(f"rows={table.num_rows}".encode())
    for name in table.column_names:
        column = table.column(name)
        state.update(f"\n{len(name.encode())}:{name}:{column.type}:".encode())
        _add(state, _one_array(column))
    return state.hexdigest()


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)


def _add(state: hashlib._Hash, array: pa.Array) -> None:
    valid = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)
    state.update(np.packbits(valid).tobytes())
    if _is_text(array.type):
        _add_text(state, array.cast(pa.large_string()).fill_null(""))
    elif pa.types.is_boolean(array.type):
        state.update(np.packbits(array.fill_null(False).to_numpy(zero_copy_only=False)).tobytes())
    elif pa.types.is_primitive(array.type):
        state.update(_fixed_width(array, valid))
    else:
        _add_other(state, array)


def _is_text(of: pa.DataType) -> bool:
    return bool(pa.types.is_string(of) or pa.types.is_large_string(of) or pa.types.is_string_view(of))


def _add_text(state: hashlib._Hash, array: pa.Array) -> None:
    packed = pa.concat_arrays([array])
    offsets = np.frombuffer(packed.buffers()[1], dtype=np.int64)[packed.offset : packed.offset + len(packed) + 1]
    if not len(offsets):
        return
    state.update((offsets - offsets[0]).tobytes())
    data = packed.buffers()[2]
    if data is not None:
        state.update(memoryview(data)[int(offsets[0]) : int(offsets[-1])])


def _fixed_width(array: pa.Array, valid: np.ndarray) -> bytes:
    width = array.type.bit_width // 8
    buffer = array.buffers()[1]
    if buffer is None:
        return b""
    raw = np.frombuffer(buffer, dtype=np.uint8)[array.offset * width : (array.offset + len(array)) * width]
    if valid.all():
        return raw.tobytes()
    cells = raw.reshape(len(array), width).copy()
    cells[~valid] = 0
    return cells.tobytes()


def _add_other(state: hashlib._Hash, array: pa.Array) -> None:
    """Add values of nested, dictionary and binary types, one by one, in their Python form."""
    for value in array.to_pylist():
        state.update(f"{value!r}\n".encode())
