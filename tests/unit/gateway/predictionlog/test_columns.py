import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.semantics.arrow_column import from_arrow
from featurestore.semantics.value import Float32, Float64, Int64, column, identical
from gateway.predictionlog import record
from gateway.predictionlog.columns import CHUNK_ROWS, Numbered, join_rows
from gateway.predictionlog.layout import Layout
from gateway.predictionlog.record import ServiceDigests


def to_table(numbered, worker):
    """Join batches, and give them the columns they have in a file."""
    joined = list(join_rows(numbered))
    full = [Layout(each.constants, each.varying.schema).full(each.varying, worker) for each in joined]
    return pa.concat_tables(map(pa.Table.from_batches, ([each] for each in full)), promote_options="default")


def test_every_value_survives_the_trip_through_a_file_bit_for_bit(make_batch, tmp_path: Path):
    batches = [make_batch(0, 3), make_batch(3, 2)]
    pq.write_table(to_table([Numbered(0, batches[0]), Numbered(3, batches[1])], "w"), tmp_path / "t.parquet")
    read = pq.read_table(tmp_path / "t.parquet")
    for prefix, mapping in (("key.", "keys"), ("request.", "requests"), ("feature.", "features")):
        for name, first in getattr(batches[0], mapping).items():
            second = getattr(batches[1], mapping)[name]
            back = from_arrow(read[prefix + name], first.dtype)
            assert identical(back.take(np.arange(3)), first).all()
            assert identical(back.take(np.arange(3, 5)), second).all()
    assert read["sequence"].to_pylist() == [0, 1, 2, 3, 4]
    assert read["s.spending"].to_pylist() == [0, 1, 2, 3, 4]
    assert read["s.profile"].to_pylist() == [None] * 5
    assert read["status.spending.none"].to_pylist() == [2] * 5
    assert read["output.probabilities"].to_pylist() == [[0.25, 0.75]] * 5
    assert read["feature.profile.price"].to_pylist()[0] == Decimal("-123.45")


def test_null_is_not_nan_is_not_zero(make_batch):
    table = to_table([Numbered(0, make_batch())], "w")
    assert table["feature.spending.none"].to_pylist() == [None]
    assert math.isnan(table["feature.spending.nan"].to_pylist()[0])
    assert math.copysign(1, table["feature.spending.zero"].to_pylist()[0]) == -1


def test_the_columns_are_those_of_the_documentation(make_batch):
    digests = ServiceDigests("inputs", "d" * 64, (("spending", "e" * 64),), (("share", "f" * 64),))
    fields = {field.name: field.type for field in to_table([Numbered(0, make_batch(definitions=digests))], "w").schema}
    named = {name: str(kind) for name, kind in fields.items() if "." not in name}
    assert named == {
        "prediction_id": "string",
        "request_id": "string",
        "instant": "timestamp[us, tz=UTC]",
        "model": "string",
        "version": "int64",
        "record_hash": "string",
        "variant": "string",
        "route_revision": "int64",
        "degraded": "bool",
        "worker": "string",
        "sequence": "int64",
        "service": "string",
        "service_digest": "string",
    }
    assert fields["status.spending.sum"] == pa.uint8()
    assert fields["view_digest.spending"] == fields["function_digest.share"] == pa.string()
    assert fields["s.spending"] == pa.int64()
    assert fields["output.name"] == pa.string()
    assert fields["output.probabilities"] == pa.list_(pa.float32())
    for name in fields:
        stands = name if "." not in name else name.split(".")[0] + ".<"
        assert f"``{stands}" in str(record.__doc__)


def test_what_is_constant_may_be_per_row_too(make_batch):
    several = make_batch(0, 2, instant_us=[1, np.int64(2)], request_id=["a", None], degraded=[True, False])
    table = to_table([Numbered(0, several), Numbered(2, make_batch(2, 1))], "w")
    assert table["instant"].cast(pa.int64()).to_pylist()[:2] == [1, 2]
    assert table["request_id"].to_pylist() == ["a", None, "r-1"]
    assert table["degraded"].to_pylist() == [True, False, False]


def test_a_column_that_a_batch_has_not_is_null_there(make_batch):
    bare = make_batch(1, 2, features={}, statuses={}, sequences={}, outputs={}, requests={}, degraded=True)
    table = to_table([Numbered(0, make_batch()), Numbered(1, bare), Numbered(3, make_batch(3))], "w")
    for name in (
        "feature.spending.sum",
        "feature.profile.name",
        "s.spending",
        "output.probabilities",
        "request.basket",
    ):
        assert [value is None for value in table[name].to_pylist()] == [False, True, True, False]
    assert table["status.spending.none"].to_pylist() == [2, None, None, 2]
    alone = to_table([Numbered(0, bare)], "w")
    assert alone["degraded"].to_pylist() == [True, True]


def test_many_batches_are_joined_by_chunks(make_batch):
    rows = 2 * CHUNK_ROWS + 7
    numbered = [Numbered(at, make_batch(at, 1)) for at in range(rows)]
    numbered.append(Numbered(rows, make_batch(rows, 3, features={})))
    table = to_table(numbered, "w")
    assert table["key.household"].to_pylist() == list(range(rows + 3))
    assert table["feature.spending.some"].to_pylist()[:4] == [0, None, 2, None]
    assert table["feature.spending.sum"].null_count == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"features": {"a": column(Float64, [1.0, 2.0])}},
        {"statuses": {"a": np.zeros(2, np.uint8)}},
        {"outputs": {"a": np.zeros((2, 1))}},
        {"instant_us": [1, 2]},
        {"request_id": ["a", "b"]},
    ],
)
def test_arrays_of_another_length_are_refused(make_batch, changes):
    with pytest.raises(ValueError, match="batch"):
        to_table([Numbered(0, make_batch(0, 3, **changes))], "w")


def test_a_column_of_two_types_is_refused(make_batch):
    one = make_batch(features={"a": column(Float64, [1.0])}, outputs={"y": np.ones(1)})
    for other in (column(Float32, [1.0]), column(Int64, [1])):
        with pytest.raises(TypeError, match="several types"):
            to_table([Numbered(0, one), Numbered(1, make_batch(features={"a": other}))], "w")
    with pytest.raises(TypeError, match="several types"):
        to_table([Numbered(0, one), Numbered(1, make_batch(outputs={"y": np.ones((1, 2))}))], "w")
