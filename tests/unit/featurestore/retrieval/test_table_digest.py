from __future__ import annotations

import pyarrow as pa
import pytest

from featurestore.retrieval.table_digest import table_digest

TABLE = pa.table(
    {
        "i": pa.array([1, None, 3]),
        "s": pa.array(["a", None, "ü"]),
        "b": pa.array([True, None, False]),
        "l": pa.array([[1], None, []]),
        "d": pa.array(["x", "y", None]).dictionary_encode(),
    }
)


def test_chunks_slices_and_what_lies_beneath_a_null_do_not_count() -> None:
    chunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)])
    twice = pa.concat_tables([TABLE, TABLE]).slice(3)
    masked = TABLE.set_column(0, "i", pa.Array.from_buffers(pa.int64(), 3, [pa.py_buffer(b"\x05"), _words(1, 99, 3)]))
    assert {table_digest(table) for table in (chunked, twice, masked)} == {table_digest(TABLE)}


def _words(*values: int) -> pa.Buffer:
    return pa.py_buffer(b"".join(value.to_bytes(8, "little") for value in values))


@pytest.mark.parametrize(
    "other",
    [
        TABLE.slice(1),
        TABLE.rename_columns(["j", "s", "b", "l", "d"]),
        TABLE.set_column(0, "i", pa.array([1, 0, 3])),
        TABLE.set_column(0, "i", pa.array([1, None, 3], pa.int32())),
        TABLE.set_column(1, "s", pa.array(["a", "", "ü"])),
        TABLE.set_column(1, "s", pa.array(["", None, "aü"])),
        TABLE.set_column(2, "b", pa.array([True, False, False])),
        TABLE.set_column(3, "l", pa.array([[1], [], []])),
        TABLE.select(["s", "i", "b", "l", "d"]),
        TABLE.take([1, 0, 2]),
    ],
)
def test_names_types_nulls_values_and_order_count(other: pa.Table) -> None:
    assert table_digest(other) != table_digest(TABLE)


def test_an_empty_table_has_a_digest() -> None:
    assert table_digest(TABLE.slice(0, 0)) != table_digest(pa.table({}))
