"""Frames: how a segment tells a whole record from a torn one, and a torn one from a damaged one.

A segment is `MAGIC`, then frames: `MARK`, length of the payload and CRC-32 (each 4 bytes, little-endian; the CRC is
over the length and the payload), then the payload, whose first byte is its kind.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAGIC = b"unskewP\x01"
MARK = b"\xf5\xd1uF"
LAYOUT, ROWS, NOTE = b"L", b"R", b"N"
HEAD = struct.Struct("<4sII")


@dataclass(slots=True)
class Condition:
    """What was met in a segment besides whole frames.

    Attributes
    ----------
    torn_bytes
        After the last whole frame: a write that is under way, or was in a crash. Nothing of it was acknowledged.
    damaged_bytes
        Before a whole frame: bytes that are not those that were written.
    """

    torn_bytes: int = 0
    damaged_bytes: int = 0


def frame(payload: bytes) -> bytes:
    """Return a payload as a frame."""
    return HEAD.pack(MARK, len(payload), _check(payload)) + payload


def read_frames(handle: BinaryIO, condition: Condition) -> Iterator[bytes]:
    """Read the payloads of the whole frames of an open segment, in order, one at a time in memory.

    What is being written meanwhile is not seen, or is counted as torn. ``condition`` is filled in as the reading goes.
    """
    size = os.fstat(handle.fileno()).st_size
    known = len(MAGIC) if handle.read(len(MAGIC)) == MAGIC else 0
    at = known or _next_whole(handle, 0, size)
    while at is not None:
        condition.damaged_bytes += at - known
        handle.seek(at)
        payload = _whole(handle, at, size)
        if payload is not None:
            known = at = at + HEAD.size + len(payload)
            yield payload
        else:
            known, at = at, _next_whole(handle, at + 1, size)
    condition.torn_bytes = size - known


def _whole(handle: BinaryIO, at: int, size: int) -> bytes | None:
    """Return the payload of the frame at ``at``, where the handle is, None if there is no whole one."""
    if at + HEAD.size > size:
        return None
    mark, length, check = HEAD.unpack(handle.read(HEAD.size))
    if mark != MARK or at + HEAD.size + length > size:
        return None
    payload = handle.read(length)
    return payload if len(payload) == length and _check(payload) == check else None


def _next_whole(handle: BinaryIO, at: int, size: int) -> int | None:
    """Return where the next whole frame begins, from ``at`` on."""
    handle.seek(at)
    rest = handle.read(max(0, size - at))
    found = rest.find(MARK)
    while found >= 0:
        handle.seek(at + found)
        if _whole(handle, at + found, size) is not None:
            return at + found
        found = rest.find(MARK, found + 1)
    return None


def _check(payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(len(payload).to_bytes(4, "little")))
