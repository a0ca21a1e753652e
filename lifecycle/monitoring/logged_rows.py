"""Records of the prediction log as columns: what was asked, what was read at which (t, s), and what was used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.definitions import FeatureService
from featurestore.foundation.errors import SemanticsError
from featurestore.semantics.arrow_column import arrow_type, from_arrow
from featurestore.semantics.value import Bool, Column, Decimal, DType, Float32, Float64, Int64, String, Timestamp

UNLOGGED = 255
"""In place of a status where none was logged."""
NO_SEQUENCE = -1
_PLAIN = (Int64, Float64, Float32, Bool, String, Timestamp)


@dataclass(frozen=True, slots=True)
class LoggedRows:
    """Records of one model version.

    Attributes
    ----------
    instants_us
        t of each record, microseconds UTC.
    degraded
        Whether the prediction was answered without features.
    keys, requests, features
        Columns by entity, by request value, and by feature, without the prefix they have in the log.
    statuses
        uint8 of `Status` by view feature, `UNLOGGED` where there is none.
    sequences
        s by view, `NO_SEQUENCE` where the store gave none.
    """

    prediction_ids: pa.Array
    record_hashes: pa.Array
    instants_us: NDArray[np.int64]
    degraded: NDArray[np.bool_]
    keys: Mapping[str, Column]
    requests: Mapping[str, Column]
    features: Mapping[str, Column]
    statuses: Mapping[str, NDArray[np.uint8]]
    sequences: Mapping[str, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.instants_us)

    def take(self, index: NDArray[np.int64]) -> LoggedRows:
        """Return some of the records."""
        wanted = pa.array(index)
        return LoggedRows(
            self.prediction_ids.take(wanted),
            self.record_hashes.take(wanted),
            self.instants_us[index],
            self.degraded[index],
            {name: of.take(index) for name, of in self.keys.items()},
            {name: of.take(index) for name, of in self.requests.items()},
            {name: of.take(index) for name, of in self.features.items()},
            {name: of[index] for name, of in self.statuses.items()},
            {name: of[index] for name, of in self.sequences.items()},
        )


def wanted_columns(service: FeatureService) -> list[str]:
    """Return the columns of the log that an audit of a service reads."""
    used = [ref.name for ref in service.refs]
    used += [out.name for out in service.outputs if out.name not in used]
    names = ["prediction_id", "record_hash", "instant", "degraded"]
    names += [f"s.{view.name}" for view in service.views]
    names += [f"key.{entity}" for entity in sorted({view.entity.name for view in service.views})]
    names += [f"request.{request.name}" for request in service.requests]
    names += [f"feature.{name}" for name in used]
    return names + [f"status.{ref.name}" for ref in service.refs]


def in_pieces(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Join batches until there are at least ``rows``; the last piece has what is left."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        held.append(batch)
        count += batch.num_rows
        if count >= rows:
            yield _joined(held)
            held, count = [], 0
    if count:
        yield _joined(held)


def sampled(table: pa.Table, fraction: float) -> pa.Table:
    """Return the records whose prediction id falls into the fraction: the same ones at every audit."""
    if fraction >= 1:
        return table
    bound = fraction * 2**32
    kept = [crc32(each.encode()) < bound for each in table.column("prediction_id").to_pylist()]
    return table.filter(pa.array(kept, pa.bool_()))


def logged_rows(table: pa.Table) -> LoggedRows:
    """Read records of the log, each column in the type it was logged with."""
    return LoggedRows(
        prediction_ids=_whole(table.column("prediction_id")),
        record_hashes=_whole(table.column("record_hash")),
        instants_us=from_arrow(table.column("instant"), Timestamp).values,
        degraded=from_arrow(table.column("degraded"), Bool).values,
        keys=_group(table, "key."),
        requests=_group(table, "request."),
        features=_group(table, "feature."),
        statuses={name: _filled(of, UNLOGGED, np.uint8) for name, of in _named(table, "status.")},
        sequences={name: _filled(of, NO_SEQUENCE, np.int64) for name, of in _named(table, "s.")},
    )


def logged_type(found: pa.DataType) -> DType | None:
    """Return the type a column of the log was written with, ``None`` if no feature has it."""
    if pa.types.is_decimal(found):
        return Decimal(found.scale)
    if pa.types.is_large_string(found):
        return String
    return next((dtype for dtype in _PLAIN if arrow_type(dtype) == found), None)


def _joined(held: list[pa.RecordBatch]) -> pa.Table:
    tables = [pa.Table.from_batches([batch]) for batch in held]
    return pa.concat_tables(tables, promote_options="default").combine_chunks()


def _group(table: pa.Table, prefix: str) -> dict[str, Column]:
    return {name: _column(of, f"{prefix}{name}") for name, of in _named(table, prefix)}


def _named(table: pa.Table, prefix: str) -> Iterator[tuple[str, pa.ChunkedArray]]:
    for name in table.column_names:
        if name.startswith(prefix):
            yield name.removeprefix(prefix), table.column(name)


def _column(of: pa.ChunkedArray, name: str) -> Column:
    if pa.types.is_dictionary(of.type):
        of = of.cast(of.type.value_type)
    dtype = logged_type(of.type)
    if dtype is None:
        raise SemanticsError(f"column {name} of the log is {of.type}, which no feature is")
    return from_arrow(of, dtype)


def _filled(of: pa.ChunkedArray, absent: int, storage: type[np.generic]) -> NDArray[Any]:
    filled = pc.fill_null(of.cast(pa.from_numpy_dtype(storage)), pa.scalar(absent, pa.from_numpy_dtype(storage)))
    return np.asarray(filled.to_numpy(), dtype=storage)


def _whole(of: pa.ChunkedArray) -> pa.Array:
    found = of.cast(of.type.value_type) if pa.types.is_dictionary(of.type) else of
    joined = found.combine_chunks()
    return joined.chunk(0) if isinstance(joined, pa.ChunkedArray) and joined.num_chunks else joined
