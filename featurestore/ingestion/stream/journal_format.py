"""The bytes of a journal: segments of records, places in them, and what is known of them all.

A segment is a file ``<start>.events``: a head, then records. Offsets count bytes of the whole journal, heads included;
``start`` is that of the file's first byte. A record is a head of 32 bytes and a payload; its checksum covers both. The
last record of a segment that is full is a **seal** without payload; the next segment begins right behind it.

::

    segment   "unskewJ1"  generation u32  start u64  rows before it u64  CRC-32
    record    CRC-32  payload bytes u32  rows u32  0 u32  rows up to and with it u64  appended_us i64  payload

All little-endian. The **generation** is drawn when a journal is begun, so that a place in one that was deleted is not
taken for a place in the one that followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from zlib import crc32

from featurestore.ingestion.errors import StreamDamaged, StreamReplaced
from featurestore.ingestion.stream.base import Entry

SUFFIX = ".events"
_MAGIC = b"unskewJ1"
_SEGMENT = Struct("<8sIQQI")
_RECORD = Struct("<IIIIQq")
SEGMENT_HEAD_BYTES = _SEGMENT.size
RECORD_HEAD_BYTES = _RECORD.size
CHUNK_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class Place:
    """A place behind an entry.

    Attributes
    ----------
    offset
        In bytes.
    total
        Rows before it, since the journal began.
    """

    offset: int
    total: int
    generation: int

    def __str__(self) -> str:
        return f"{self.offset:016x}.{self.total:016x}.{self.generation:08x}"


def parse_place(position: str, where: str) -> Place:
    """Read a place back from its text.

    Raises
    ------
    StreamReplaced
        If it is not one, but a position of a stream of another kind.
    """
    parts = position.split(".")
    if [len(part) for part in parts] != [16, 16, 8]:
        raise replaced(position, where)
    return Place(*(int(part, 16) for part in parts))


def replaced(position: str, where: str) -> StreamReplaced:
    """Return the error for a position that is not of this stream."""
    return StreamReplaced(
        f"position {position} is of another stream, which was removed or lost",
        where=where,
        mend="bring the former stream back, or begin the source anew: `unskew backfill --rebuild`",
    )


@dataclass(frozen=True, slots=True)
class Segment:
    """What the head of a segment says."""

    generation: int
    start: int
    total: int

    def encoded(self) -> bytes:
        """Return the head's bytes."""
        head = _SEGMENT.pack(_MAGIC, self.generation, self.start, self.total, 0)[:-4]
        return head + crc32(head).to_bytes(4, "little")


def read_segment(descriptor: int, path: Path) -> Segment:
    """Read the head of a segment.

    Raises
    ------
    StreamDamaged
        If it is none; a segment gets its name only with a whole head.
    """
    head = os.pread(descriptor, SEGMENT_HEAD_BYTES, 0)
    if len(head) < SEGMENT_HEAD_BYTES or not head.startswith(_MAGIC) or _SEGMENT.unpack(head)[4] != crc32(head[:-4]):
        raise damaged(path, 0)
    _, generation, start, total, _ = _SEGMENT.unpack(head)
    return Segment(generation, start, total)


def damaged(path: Path, offset: int) -> StreamDamaged:
    """Return the error for a file that is not what was written and synced."""
    return StreamDamaged(
        f"the bytes from {offset} on are not what was synced",
        where=str(path),
        mend="check the disk and bring the file back from a copy; keep the folder as it is meanwhile",
    )


@dataclass(frozen=True, slots=True)
class Record:
    """A whole record that stands in a file; ``end`` is where the next one begins. A seal has no rows."""

    end: int
    rows: int
    total: int
    appended_us: int
    payload: bytes

    def entry(self, segment: Segment) -> Entry:
        """Return it as the stream's readers know it."""
        position = str(Place(segment.start + self.end, self.total, segment.generation))
        return Entry(position, self.rows, self.payload, self.appended_us)


def record_bytes(payload: bytes, rows: int, total: int, appended_us: int) -> tuple[bytes, bytes]:
    """Return the head of a record, and its payload."""
    rest = _RECORD.pack(0, len(payload), rows, 0, total, appended_us)[4:]
    return crc32(payload, crc32(rest)).to_bytes(4, "little") + rest, payload


def seal_bytes(total: int) -> bytes:
    """Return the record that ends a full segment."""
    return record_bytes(b"", 0, total, 0)[0]


def records(descriptor: int, begin: int, end: int) -> Iterator[Record]:
    """Yield the whole records of a file between two offsets, up to the first that is not whole."""
    chunk, at = b"", begin  # chunk holds the bytes from `begin` on
    wanted = CHUNK_BYTES
    while begin < end:
        chunk = os.pread(descriptor, min(wanted, end - begin), begin)
        at = begin
        while (record := _record(chunk, at - begin, at)) is not None:
            yield record
            at = record.end
        if at == begin:
            wanted = _length(chunk)
            if wanted <= len(chunk) or wanted > end - begin:
                return
        else:
            begin, wanted = at, CHUNK_BYTES


def _length(chunk: bytes) -> int:
    """Return the bytes of the record that a chunk begins with; 0 if it is too short to say."""
    if len(chunk) < RECORD_HEAD_BYTES:
        return 0
    return RECORD_HEAD_BYTES + int(_RECORD.unpack_from(chunk)[1])


def _record(chunk: bytes, at: int, offset: int) -> Record | None:
    """Return the record at a place of a chunk, which stands at ``offset`` of its file; ``None`` if it is not whole."""
    if len(chunk) - at < RECORD_HEAD_BYTES:
        return None
    checksum, length, rows, _, total, appended_us = _RECORD.unpack_from(chunk, at)
    behind = at + RECORD_HEAD_BYTES + length
    if behind > len(chunk):
        return None
    payload = chunk[at + RECORD_HEAD_BYTES : behind]
    if crc32(payload, crc32(chunk[at + 4 : at + RECORD_HEAD_BYTES])) != checksum:
        return None
    return Record(offset + RECORD_HEAD_BYTES + length, rows, total, appended_us, payload)
