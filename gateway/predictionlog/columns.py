"""From batches to the columns of a file: the only place where the log touches Arrow on its way in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.semantics.arrow_column import to_arrow
from featurestore.semantics.value import Column, null_column
from gateway.predictionlog.layout import Constants
from gateway.predictionlog.record import PredictionBatch

INSTANT = pa.timestamp("us", tz="UTC")
"""Type of the column ``instant``."""
CHUNK_ROWS = 1_000
"""Rows that are joined in one go: joining holds the interpreter lock, and the event loop waits for it."""
PAUSE_S = 0.000_05
"""How long the lock is left to others between two columns."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """A batch with the sequence number of its first row."""

    first: int
    batch: PredictionBatch

    @property
    def last(self) -> int:
        """The sequence number of its last row."""
        return self.first + len(self.batch) - 1


@dataclass(frozen=True, slots=True)
class Rows:
    """Joined rows: what they have in common, the least and greatest sequence number, and the columns that vary."""

    constants: Constants
    first: int
    last: int
    varying: pa.RecordBatch


def warm_arrow() -> None:
    """Make one array, so that what Arrow does at its first is done: it imports pandas, where that is installed.

    That holds the interpreter lock for a third of a second: better at the start than beside a busy event loop.
    """
    pa.array([0])


def join_rows(numbered: Sequence[Numbered], *, pause_s: float = 0.0) -> Iterator[Rows]:
    """Join batches of equal constants, at most about `CHUNK_ROWS` rows at a time.

    A column that one of the joined batches does not have is null in its rows.

    Parameters
    ----------
    pause_s
        How long the interpreter lock is left to others after each column: `PAUSE_S` beside a busy event loop.

    Raises
    ------
    ValueError, TypeError
        If the batches do not go together: arrays of other lengths, a column of two types.
    """
    groups: dict[Constants, list[Numbered]] = {}
    for each in numbered:
        groups.setdefault(Constants.of(each.batch), []).append(each)
    for constants, members in groups.items():
        for part in _parts(members):
            yield Rows(constants, part[0].first, part[-1].last, _joined(part, pause_s))


def _parts(numbered: Sequence[Numbered]) -> Iterator[Sequence[Numbered]]:
    begin = rows = 0
    for end, each in enumerate(numbered):
        rows += len(each.batch)
        if rows >= CHUNK_ROWS:
            yield numbered[begin : end + 1]
            begin, rows = end + 1, 0
    if begin < len(numbered):
        yield numbered[begin:]


def _joined(numbered: Sequence[Numbered], pause_s: float) -> pa.RecordBatch:
    batches = [each.batch for each in numbered]
    lengths = [len(batch) for batch in batches]
    columns: dict[str, pa.Array] = {}
    for name, (field, make) in _FIXED.items():
        columns[name] = make(list(map(attrgetter(field), batches)), lengths)
        _leave_the_lock(pause_s)
    columns["sequence"] = pa.array(np.concatenate([_numbers(each) for each in numbered]))
    for prefix, group, join in _GROUPS:
        for name, parts in _by_name(list(map(attrgetter(group), batches))):
            columns[prefix + name] = join(parts, lengths)
            _leave_the_lock(pause_s)
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _leave_the_lock(pause_s: float) -> None:
    if pause_s:
        time.sleep(pause_s)


def _numbers(numbered: Numbered) -> NDArray[np.int64]:
    return np.arange(numbered.first, numbered.first + len(numbered.batch), dtype=np.int64)


def _by_name(mappings: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Give each name with its part of every batch, None where a batch does not have it."""
    layouts = dict.fromkeys(map(tuple, mappings))
    for name in dict.fromkeys(name for layout in layouts for name in layout):
        yield name, [mapping.get(name) for mapping in mappings]


def _spread(values: Sequence[Any], lengths: Sequence[int]) -> list[Any]:
    """Return one value per row from one value, or a sequence of values, per batch."""
    rows: list[Any] = []
    for value, length in zip(values, lengths, strict=True):
        if isinstance(value, list | tuple | np.ndarray):
            _check_length(len(value), length)
            rows.extend(value)
        else:
            rows.extend([value] * length)
    return rows


def _strings(values: Sequence[Any], lengths: Sequence[int]) -> pa.Array:
    return pa.array(_spread(values, lengths), pa.string())


def _integers(values: Sequence[Any], lengths: Sequence[int]) -> pa.Array:
    return pa.array(_spread(values, lengths), pa.int64())


def _booleans(values: Sequence[Any], lengths: Sequence[int]) -> pa.Array:
    return pa.array(_spread(values, lengths), pa.bool_())


def _instants(values: Sequence[Any], lengths: Sequence[int]) -> pa.Array:
    return _integers(values, lengths).cast(INSTANT)


def _columns(parts: Sequence[Column | None], lengths: Sequence[int]) -> pa.Array:
    dtype = next(part.dtype for part in parts if part is not None)
    full = [null_column(dtype, n) if part is None else part for part, n in zip(parts, lengths, strict=True)]
    if len({id(part.dtype) for part in full}) > 1 and len({part.dtype for part in full}) > 1:
        raise TypeError(f"a column is of several types: {sorted({str(part.dtype) for part in full})}")
    return to_arrow(
        Column(
            dtype,
            _join(list(map(attrgetter("values"), full)), lengths),
            _join(list(map(attrgetter("nulls"), full)), lengths),
        )
    )


def _statuses(parts: Sequence[NDArray[np.uint8] | None], lengths: Sequence[int]) -> pa.Array:
    if all(part is not None for part in parts):
        return pa.array(_join(cast("Sequence[NDArray[np.uint8]]", parts), lengths))
    wide = _join(_filled(parts, lengths, np.int64(-1)), lengths)
    return pa.array(np.where(wide < 0, 0, wide).astype(np.uint8), mask=_mask(wide))


def _sequences(parts: Sequence[NDArray[np.int64] | None], lengths: Sequence[int]) -> pa.Array:
    wide = _join(_filled(parts, lengths, np.int64(-1)), lengths).astype(np.int64)
    return pa.array(wide, mask=_mask(wide))


def _filled(parts: Sequence[NDArray[Any] | None], lengths: Sequence[int], absent: np.int64) -> list[NDArray[Any]]:
    return [np.full(n, absent) if part is None else part for part, n in zip(parts, lengths, strict=True)]


def _mask(wide: NDArray[Any]) -> NDArray[np.bool_] | None:
    mask = wide < 0
    return mask if mask.any() else None


def _outputs(parts: Sequence[NDArray[Any] | None], lengths: Sequence[int]) -> pa.Array:
    present = [part for part in parts if part is not None]
    shapes = {(part.dtype, part.shape[1:]) for part in present}
    if len(shapes) != 1:
        raise TypeError(f"an output is of several types: {sorted(map(str, shapes))}")
    if len(present) == len(parts):
        return _output(_join(present, lengths))
    nothing = pa.nulls(1, _output(present[0]).type)
    arrays = [
        pa.concat_arrays([nothing] * n) if part is None else _output(_join([part], [n]))
        for part, n in zip(parts, lengths, strict=True)
    ]
    return pa.concat_arrays(arrays)


def _output(joined: NDArray[Any]) -> pa.Array:
    text = joined.dtype.kind in "OUS"
    flat = pa.array(joined.reshape(-1), pa.string() if text else None, from_pandas=False)
    if joined.ndim == 1:
        return flat
    ends = np.arange(len(joined) + 1, dtype=np.int32) * (joined.size // len(joined))
    return pa.ListArray.from_arrays(ends, flat)


def _join(parts: Sequence[NDArray[Any]], lengths: Sequence[int]) -> NDArray[Any]:
    if list(map(len, parts)) != lengths:
        raise ValueError("a batch holds an array of another length than its prediction_ids")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _check_length(found: int, wanted: int) -> None:
    if found != wanted:
        raise ValueError(f"a batch of {wanted} predictions holds {found} values")


_Join = Callable[[Sequence[Any], Sequence[int]], pa.Array]
_FIXED: dict[str, tuple[str, _Join]] = {
    "prediction_id": ("prediction_ids", _strings),
    "request_id": ("request_id", _strings),
    "instant": ("instant_us", _instants),
    "degraded": ("degraded", _booleans),
}
_GROUPS: tuple[tuple[str, str, _Join], ...] = (
    ("s.", "sequences", _sequences),
    ("key.", "keys", _columns),
    ("request.", "requests", _columns),
    ("feature.", "features", _columns),
    ("status.", "statuses", _statuses),
    ("output.", "outputs", _outputs),
)
