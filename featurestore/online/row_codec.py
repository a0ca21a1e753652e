"""Pack the finalised features of one entity key into a row, and read rows back, many in one step.

::

    offset  bytes
     0      32        envelope (`featurestore.online.envelope`); flag bit 0: there is a latest event
     32     8         valid_from: first instant at which the values are exact
     40     8         next_change: first instant after it at which they may not be
     48     8         event timestamp of the latest visible event
     56     ⌈F/8⌉     null bits, feature 0 lowest; then as many missing bits; zeros up to a multiple of 8
     ...    8 F       a slot per feature: int64, float64, float32, bool, timestamp or decimal in its first bytes, zeros
                      after; a string as (uint32 offset, uint32 length) into the tail
     ...              the strings, UTF-8
     -4     4         checksum

All little-endian but for the stamp. Instants are microseconds UTC. A value is null where its status is not
``PRESENT``; its slot is then zero. Every NaN is the same NaN. Equal values give equal bytes.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.online.envelope import HEAD_BYTES, ROW, STAMP, TAIL_BYTES, WHOLE, Stamp, refusal, seal
from featurestore.online.errors import RowFormatError
from featurestore.semantics.status import Status
from featurestore.semantics.value import Column, DType

_HAS_LATEST = 1
_TIMES_AT = HEAD_BYTES
_TIMES = struct.Struct("<qq")
_OBJECT = np.dtype(np.object_)
_SLOTS = {
    "int64": "<i8",
    "float64": "<f8",
    "float32": "<f4",
    "bool": "?",
    "timestamp": "<i8",
    "decimal": "<i8",
    "string": "<u8",
}


@dataclass(frozen=True, slots=True)
class FinalisedRows:
    """What is packed: the features of a view for n entity keys, TTL not applied.

    Attributes
    ----------
    columns
        Values in the order of the codec's features.
    statuses
        `Status` of each feature, shape ``(n,)`` each, never ``EXPIRED``; null exactly where not ``PRESENT``.
    latest_event_us, has_latest
        Event timestamp of the latest visible event, where there is one.
    valid_from_us, next_change_us
        The half-open interval in which the values are exact.
    """

    columns: Sequence[Column]
    statuses: Sequence[NDArray[np.uint8]]
    latest_event_us: NDArray[np.int64]
    has_latest: NDArray[np.bool_]
    valid_from_us: NDArray[np.int64]
    next_change_us: NDArray[np.int64]


class RowCodec:
    """Pack and read the rows of one view.

    Parameters
    ----------
    view
        The view's name, for errors.
    digest
        The view's digest, 64 hexadecimal digits.
    features
        Names and types, in the order of the slots.
    """

    def __init__(self, view: str, digest: str, features: Sequence[tuple[str, DType]]) -> None:
        self.view = view
        self.names = tuple(name for name, _ in features)
        self._dtypes = tuple(dtype for _, dtype in features)
        self._digest = bytes.fromhex(digest[:16])
        self._bitmap_bytes = (len(features) + 7) // 8
        self._bitmaps_end = 56 + 2 * self._bitmap_bytes
        self._slots_at = (self._bitmaps_end + 7) // 8 * 8
        self._fixed_bytes = self._slots_at + 8 * len(features)
        self._fixed = self._fixed_dtype()
        self._stored = tuple(dtype.storage for dtype in self._dtypes)
        self._storages = frozenset(self._stored) - {_OBJECT}
        self._texts = [i for i, dtype in enumerate(self._dtypes) if dtype.name == "string"]
        self._statuses = lru_cache(4096)(self._unpack_statuses)

    def encode(self, rows: FinalisedRows, stamp: Stamp | Sequence[Stamp]) -> list[bytes]:
        """Return one sealed row per entity key, of one stamp for all or one for each.

        Raises
        ------
        RowFormatError
            If the columns are not those of the view, or a null and its status contradict one another.
        """
        stamps = [stamp.pack()] if isinstance(stamp, Stamp) else [each.pack() for each in stamp]
        return [seal(row) for row in self.pack(rows, stamps)]

    def pack(self, rows: FinalisedRows, stamps: Sequence[bytes]) -> list[bytes]:
        """Return the rows without their checksums, for this process alone, of one packed stamp for all or one for each.

        Raises
        ------
        RowFormatError
            If the columns are not those of the view, or a null and its status contradict one another.
        """
        self._check_types(rows)
        n = len(rows.latest_event_us)
        fixed = np.zeros(n, dtype=self._fixed)
        tails = self._put_values(fixed, rows, self._put_statuses(fixed, rows))
        fixed["flags"] = rows.has_latest
        fixed["latest_event"] = np.where(rows.has_latest, rows.latest_event_us, 0)
        fixed["valid_from"] = rows.valid_from_us
        fixed["next_change"] = rows.next_change_us
        fixed["length"] = self._fixed_bytes + TAIL_BYTES + np.fromiter(map(len, tails), np.int64, n)
        fixed["form"] = np.frombuffer(ROW, dtype=np.uint8)
        fixed["digest"] = np.frombuffer(self._digest, dtype=np.uint64)[0]
        fixed["stamp"] = np.frombuffer(b"".join(stamps), dtype=np.uint64).reshape(-1, 2)
        packed, size = fixed.tobytes(), self._fixed_bytes
        if not self._texts:
            return [packed[start : start + size] for start in range(0, n * size, size)]
        return [packed[i * size : (i + 1) * size] + tails[i] for i in range(n)]

    def decode(self, rows: Sequence[bytes]) -> DecodedRows:
        """Read rows.

        Raises
        ------
        RowFormatError
            If one of them is not a whole row of this view in this format.
        """
        for row in rows:
            self.check(row)
        return self.decode_checked(rows)

    def decode_checked(self, rows: Sequence[bytes]) -> DecodedRows:
        """Read rows that `check` has let pass, or that `pack` made."""
        return DecodedRows(self, rows, self.fixed_parts(rows))

    def fixed_parts(self, rows: Sequence[bytes]) -> NDArray[Any]:
        """Return the fixed parts of rows as one structured array."""
        size = self._fixed_bytes
        joined = rows[0] if len(rows) == 1 else b"".join([row[:size] for row in rows])
        return np.frombuffer(joined, self._fixed, len(rows)) if rows else np.empty(0, self._fixed)

    def check(self, row: bytes) -> None:
        """Raise `RowFormatError` unless the bytes are a whole row of this view in this format."""
        if crc32(row) != WHOLE or row[:3] != ROW or row[8:16] != self._digest or len(row) < self._fixed_bytes:
            self._refuse(row)

    def whole(self, row: bytes | None, stamp: bytes) -> bool:
        """Tell whether a stored row can be read and has the packed stamp or a newer one."""
        if row is None or refusal(row, ROW, self._digest, self.view) is not None:
            return False
        return row[STAMP] >= stamp

    def columns(self, decoded: DecodedRows, nulls: NDArray[np.bool_]) -> list[Column]:
        """Return all features' values; ``nulls`` has shape (F, n), true where a value is null."""
        slots = np.ascontiguousarray(decoded.fixed["slots"].T)
        read: dict[Any, Any] = {}
        for stored in self._storages:
            read[stored] = list(slots.view(stored)[:, :: 8 // stored.itemsize])
        if self._texts:
            read[_OBJECT] = {i: self._strings(decoded, slots[i]) for i in self._texts}
        return [
            Column(dtype, read[stored][i], null)
            for i, (dtype, stored, null) in enumerate(zip(self._dtypes, self._stored, nulls, strict=True))
        ]

    def statuses(self, decoded: DecodedRows) -> NDArray[np.uint8]:
        """Return the statuses, shape (n, F), TTL not applied; not to be written to."""
        if len(decoded.rows) == 1:
            return self._statuses(decoded.rows[0][56 : self._bitmaps_end])
        return self._unpack_statuses(decoded.fixed["bitmaps"].tobytes(), len(decoded.rows))

    def _unpack_statuses(self, bitmaps: bytes, n: int = 1) -> NDArray[np.uint8]:
        pairs = np.array(bytearray(bitmaps), dtype=np.uint8).reshape(n, 2, self._bitmap_bytes)
        bits = np.unpackbits(pairs, axis=2, bitorder="little", count=len(self.names))
        statuses = bits[:, 0] * np.uint8(Status.NULL) + bits[:, 1] * np.uint8(Status.MISSING)
        statuses.flags.writeable = False
        return statuses

    def _check_types(self, rows: FinalisedRows) -> None:
        if tuple(values.dtype for values in rows.columns) != self._dtypes:
            raise RowFormatError(
                f"columns of types {[str(c.dtype) for c in rows.columns]} for features of types "
                f"{[str(dtype) for dtype in self._dtypes]}",
                where=f"feature view {self.view!r}",
            )

    def _put_statuses(self, fixed: NDArray[Any], rows: FinalisedRows) -> NDArray[np.bool_]:
        """Write the bits of null and missing values; return which are null, shape (F, n)."""
        statuses = np.array(rows.statuses, dtype=np.uint8).reshape(len(self.names), len(fixed))
        nulls = np.array([values.nulls for values in rows.columns], dtype=np.bool_).reshape(statuses.shape)
        if not statuses.any() and not nulls.any():
            return nulls
        if (nulls != (statuses != Status.PRESENT)).any() or (statuses > Status.MISSING).any():
            raise RowFormatError("a value and its status contradict one another", where=f"feature view {self.view!r}")
        bits = np.stack([(statuses == Status.NULL).T, (statuses == Status.MISSING).T], axis=1)
        fixed["bitmaps"] = np.packbits(bits, axis=2, bitorder="little").reshape(len(fixed), -1)
        return nulls

    def _put_values(self, fixed: NDArray[Any], rows: FinalisedRows, nulls: NDArray[np.bool_]) -> list[bytes]:
        n = len(fixed)
        slots = np.zeros((len(self._dtypes), n), dtype=np.int64)
        for slot, values, storage in zip(slots, rows.columns, self._stored, strict=True):
            if storage is not _OBJECT:
                slot.view(storage)[:: 8 // storage.itemsize] = _one_nan(values)
        slots[nulls] = 0
        fixed["slots"] = slots.T
        if not self._texts:
            return [b""] * n
        return self._put_texts(fixed, rows, n)

    def _put_texts(self, fixed: NDArray[Any], rows: FinalisedRows, n: int) -> list[bytes]:
        tails = [b""] * n
        for i in self._texts:
            spans = np.zeros(n, dtype=np.uint64)
            for row, text in enumerate(rows.columns[i].to_pylist()):
                encoded = b"" if text is None else text.encode()
                spans[row] = len(tails[row]) | len(encoded) << 32
                tails[row] += encoded
            fixed[f"f{i}"] = spans
        return tails

    def _strings(self, decoded: DecodedRows, slots: NDArray[np.int64]) -> NDArray[np.object_]:
        texts = np.empty(len(slots), dtype=np.object_)
        for i, (row, span) in enumerate(zip(decoded.rows, slots.tolist(), strict=True)):
            start = self._fixed_bytes + (span & 0xFFFFFFFF)
            texts[i] = row[start : start + (span >> 32)].decode()
        return texts

    def _fixed_dtype(self) -> np.dtype[Any]:
        named: list[tuple[str, Any, int]] = [
            ("form", ("u1", 3), 0), ("flags", "u1", 3), ("length", "<u4", 4), ("digest", "u8", 8),
            ("stamp", ("u8", 2), 16), ("sequence", ">u8", 16), ("as_of", ">u8", 24), ("valid_from", "<i8", 32),
            ("next_change", "<i8", 40), ("latest_event", "<i8", 48), ("bitmaps", ("u1", 2 * self._bitmap_bytes), 56),
        ]  # fmt: skip
        named += [("slots", ("<i8", len(self._dtypes)), self._slots_at)]
        named += [(f"f{i}", _SLOTS[dtype.name], self._slots_at + 8 * i) for i, dtype in enumerate(self._dtypes)]
        names, formats, offsets = zip(*named, strict=True)
        return np.dtype(
            {"names": list(names), "formats": list(formats), "offsets": list(offsets), "itemsize": self._fixed_bytes}
        )

    def _refuse(self, row: bytes) -> None:
        where = f"online row of feature view {self.view!r}"
        error = refusal(row, ROW, self._digest, where)
        raise error or RowFormatError(f"a stored row of {len(row)} bytes is too short for the features", where=where)


class DecodedRows:
    """Rows that were checked; values are read from their bytes when they are asked for.

    Attributes
    ----------
    rows
        The stored bytes, one per row.
    fixed
        Their fixed parts as one structured array.
    """

    __slots__ = ("_codec", "_statuses", "fixed", "rows")

    def __init__(self, codec: RowCodec, rows: Sequence[bytes], fixed: NDArray[Any]) -> None:
        self._codec = codec
        self.rows = rows
        self.fixed = fixed
        self._statuses: NDArray[np.uint8] | None = None

    @property
    def statuses(self) -> NDArray[np.uint8]:
        """`Status` per row and feature, shape ``(n, F)``, TTL not applied; not to be written to."""
        if self._statuses is None:
            self._statuses = self._codec.statuses(self)
        return self._statuses

    def columns(self, statuses: NDArray[np.uint8]) -> list[Column]:
        """Return all features' values, null where the status, shape (n, F), is not ``PRESENT``."""
        return self._codec.columns(self, np.ascontiguousarray(statuses.T != Status.PRESENT))

    def exact_at(self, t_us: int) -> bool:
        """Tell whether every row is exact at an instant."""
        if len(self.rows) == 1:
            valid_from, next_change = times(self.rows[0])
            return valid_from <= t_us < next_change
        return bool((self.fixed["valid_from"] <= t_us).all() and (t_us < self.fixed["next_change"]).all())

    def inexact_at(self, t_us: int) -> list[int]:
        """Return which rows are not exact at an instant, ascending."""
        if len(self.rows) == 1:
            return [] if self.exact_at(t_us) else [0]
        inexact = (self.fixed["valid_from"] > t_us) | (t_us >= self.fixed["next_change"])
        return np.flatnonzero(inexact).tolist()

    def replaced(self, places: Sequence[int], rows: Sequence[bytes]) -> DecodedRows:
        """Return these rows with others in some places."""
        changed, whole = list(self.rows), np.dtype((np.void, self.fixed.itemsize))
        for place, row in zip(places, rows, strict=True):
            changed[place] = row
        fixed = self.fixed.view(whole).copy()  # not field by field
        fixed[places] = self._codec.fixed_parts(rows).view(whole)
        return DecodedRows(self._codec, changed, fixed.view(self.fixed.dtype))

    @property
    def sequence(self) -> NDArray[np.int64]:
        """Commit sequence s that each row is of."""
        return self.fixed["sequence"].astype(np.int64)

    @property
    def as_of_us(self) -> NDArray[np.int64]:
        """Instant that each row was materialised as of."""
        return (self.fixed["as_of"].astype(np.uint64) ^ np.uint64(2**63)).view(np.int64)

    @property
    def latest_event_us(self) -> NDArray[np.int64]:
        """Event timestamp of the latest visible event, 0 where `has_latest` is false."""
        return self.fixed["latest_event"].astype(np.int64)

    @property
    def has_latest(self) -> NDArray[np.bool_]:
        """Whether there is a visible event."""
        return self.fixed["flags"] & _HAS_LATEST != 0  # type: ignore[no-any-return]


def times(row: bytes) -> tuple[int, int]:
    """Return (valid_from, next_change) of one checked row."""
    valid_from, next_change = _TIMES.unpack_from(row, _TIMES_AT)
    return valid_from, next_change


def exact_at(row: bytes, t_us: int) -> bool:
    """Tell whether one checked row is exact at an instant."""
    valid_from, next_change = _TIMES.unpack_from(row, _TIMES_AT)
    return bool(valid_from <= t_us < next_change)


def _one_nan(values: Column) -> NDArray[Any]:
    if not values.dtype.floating or not (nan := np.isnan(values.values)).any():
        return values.values
    return np.where(nan, values.dtype.storage.type(np.nan), values.values)
