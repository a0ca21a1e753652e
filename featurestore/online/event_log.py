"""Pack a key's event versions into a log, and read it back.

A log is one or more **chunks**, each sealed in an envelope of its own that says how long it is, so that events can be
appended without rewriting what is there. A chunk's body::

    4         m, number of versions
    1         how availables are kept: 0 as int64 each, 1 equal to the event timestamps
    1         how leaves are kept: 0 as int64 each, 2 never
    2         zeros
    8 m       event timestamps, then availables and leaves where they are kept as int64
    per column, in the order given to the codec:
      ⌈m/8⌉   null bits
      ...     m values of 8 (int64, float64, timestamp, decimal), 4 (float32) or 1 byte (bool); of a string m lengths of
              4 bytes, then the UTF-8 bytes

Little-endian. The versions of a log are its chunks' in turn; its stamp is the last chunk's.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.online.envelope import HEAD_BYTES, LOG, STAMP, TAIL_BYTES, Stamp, head, refusal, seal, unpack_stamp
from featurestore.online.errors import RowFormatError
from featurestore.semantics.aggregate import EventLog
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import Column, DType

_EACH, _AS_EVENT, _NEVER = 0, 1, 2
_COUNTS = struct.Struct("<IBBxx")
_LENGTH = struct.Struct("<I")
_LENGTH_AT = 4


class LogCodec:
    """Pack and read the logs of one view.

    Parameters
    ----------
    view
        The view's name, for errors.
    digest
        The view's digest, 64 hexadecimal digits.
    columns
        Names and types of the columns that the view's aggregates are computed over, in a fixed order.
    """

    def __init__(self, view: str, digest: str, columns: Sequence[tuple[str, DType]]) -> None:
        self._where = f"online log of feature view {view!r}"
        self._digest = bytes.fromhex(digest[:16])
        self._columns = tuple(columns)

    def encode(self, log: EventLog, stamp: Stamp) -> bytes:
        """Return a log of one chunk."""
        availables = _AS_EVENT if np.array_equal(log.available_us, log.event_us) else _EACH
        leaves = _NEVER if (log.leave_us == NEVER_US).all() else _EACH
        parts = [_COUNTS.pack(len(log), availables, leaves), _int64(log.event_us)]
        parts += [_int64(log.available_us)] if availables == _EACH else []
        parts += [_int64(log.leave_us)] if leaves == _EACH else []
        for name, dtype in self._columns:
            parts += _pack_column(log.columns[name], dtype)
        body = b"".join(parts)
        return seal(head(LOG, 0, HEAD_BYTES + len(body) + TAIL_BYTES, self._digest, stamp) + body)

    def decode(self, stored: bytes) -> tuple[EventLog, Stamp]:
        """Return the log and its stamp.

        Raises
        ------
        RowFormatError
            If the bytes are not whole chunks of this view in this format.
        """
        chunks = self._chunks(stored)
        logs = [self._read_chunk(chunk) for chunk in chunks]
        return (logs[0] if len(logs) == 1 else _joined(logs)), unpack_stamp(chunks[-1][STAMP])

    def whole(self, stored: bytes | None, stamp: bytes) -> bool:
        """Tell whether a stored log is whole and has this packed stamp; its values are not looked at."""
        try:
            return stored is not None and self._chunks(stored)[-1][STAMP] == stamp
        except RowFormatError:
            return False

    def _chunks(self, stored: bytes) -> list[bytes]:
        at = 0
        chunks: list[bytes] = []
        while at < len(stored) or not chunks:
            length = _LENGTH.unpack_from(stored, at + _LENGTH_AT)[0] if len(stored) - at >= HEAD_BYTES else 0
            chunk = stored[at : at + length] if length else stored[at:]
            error = refusal(chunk, LOG, self._digest, self._where)
            if error is not None:
                raise error
            chunks.append(chunk)
            at += length
        return chunks

    def _read_chunk(self, chunk: bytes) -> EventLog:
        reader = _Reader(chunk, self._where)
        m, availables, leaves = _COUNTS.unpack(reader.take(_COUNTS.size))
        event_us = reader.array(np.dtype(np.int64), m)
        available_us = event_us if availables == _AS_EVENT else reader.array(np.dtype(np.int64), m)
        leave_us = np.full(m, NEVER_US) if leaves == _NEVER else reader.array(np.dtype(np.int64), m)
        columns = {name: _read_column(reader, dtype, m) for name, dtype in self._columns}
        reader.end()
        return EventLog(event_us, available_us, leave_us, columns)


class _Reader:
    """Take pieces of a chunk's body in turn; a piece that is not there is an error, never a short read."""

    def __init__(self, chunk: bytes, where: str) -> None:
        self._chunk, self._where = chunk, where
        self._at, self._end = HEAD_BYTES, len(chunk) - TAIL_BYTES

    def take(self, size: int) -> bytes:
        piece = self._chunk[self._at : min(self._at + size, self._end)]
        if len(piece) != size:
            raise self._mismatch()
        self._at += size
        return piece

    def array(self, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        return np.frombuffer(self.take(dtype.itemsize * count), dtype=dtype)

    def end(self) -> None:
        if self._at != self._end:
            raise self._mismatch()

    def _mismatch(self) -> RowFormatError:
        return RowFormatError(
            "a stored log's columns do not have the lengths it says",
            where=self._where,
            mend="run `unskew materialise` to write it anew",
        )


def _int64(values: NDArray[np.int64]) -> bytes:
    return values.astype("<i8", copy=False).tobytes()


def _pack_column(values: Column, dtype: DType) -> list[bytes]:
    nulls = np.packbits(values.nulls, bitorder="little").tobytes()
    if dtype.name != "string":
        filled = np.where(values.nulls, dtype.storage.type(0), values.values)
        return [nulls, filled.astype(dtype.storage, copy=False).tobytes()]
    texts = [b"" if text is None else text.encode() for text in values.to_pylist()]
    lengths = np.fromiter(map(len, texts), np.uint32, len(texts))
    return [nulls, lengths.tobytes(), *texts]


def _read_column(reader: _Reader, dtype: DType, m: int) -> Column:
    bits = reader.array(np.dtype(np.uint8), (m + 7) // 8)
    nulls = np.unpackbits(bits, count=m, bitorder="little").astype(np.bool_)
    if dtype.name != "string":
        return Column(dtype, reader.array(dtype.storage, m), nulls)
    lengths = reader.array(np.dtype(np.uint32), m)
    values = np.empty(m, dtype=np.object_)
    for i, length in enumerate(lengths.tolist()):
        values[i] = reader.take(length).decode()
    return Column(dtype, values, nulls)


def _joined(logs: Sequence[EventLog]) -> EventLog:
    columns = {
        name: Column(
            first.dtype,
            np.concatenate([log.columns[name].values for log in logs]),
            np.concatenate([log.columns[name].nulls for log in logs]),
        )
        for name, first in logs[0].columns.items()
    }
    return EventLog(
        np.concatenate([log.event_us for log in logs]),
        np.concatenate([log.available_us for log in logs]),
        np.concatenate([log.leave_us for log in logs]),
        columns,
    )
