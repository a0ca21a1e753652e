"""The envelope around every stored value: what it is, whose, which version, and whether it is whole.

::

    offset  bytes
     0      3     form: b"uR" a row, b"uL" a chunk of a log, b"uT" an index of its tiles or b"uH" a history's mark,
                  and the format's version
     3      1     flags, the form's own
     4      4     length of the whole, envelope and checksum included; little-endian
     8      8     first eight bytes of the view's digest
    16      16    stamp: commit sequence s (uint64) and as-of instant T (int64 + 2^63), big-endian
    32      ...   body
    -4      4     CRC-32 of all before it, little-endian

Stamps compare as bytes in the order of (s, T), so a store compares them without decoding, in Lua too. A CRC-32 that
follows the data it covers makes the CRC of the whole a constant, so checking is one call without a copy.
"""

from __future__ import annotations

import struct
from binascii import crc32
from dataclasses import dataclass

from featurestore.online.errors import RowFormatError

ROW = b"uR\x01"
LOG = b"uL\x02"
TILES = b"uT\x01"
HISTORY = b"uH\x01"
HEAD_BYTES = 32
TAIL_BYTES = 4
STAMP = slice(16, 32)
WHOLE = 0x2144DF1C
"""The CRC-32 of any data followed by its own CRC-32."""

_NAMES = {b"uR": "row", b"uL": "log", b"uT": "index of tiles", b"uH": "mark of a history"}
_HEAD = struct.Struct("<3sBI8s16s")
OLDEST = bytes(16)
"""A packed stamp that no other one is less than."""
_STAMP = struct.Struct(">QQ")
_BIAS = 2**63


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """The version of stored bytes: of two, the one of the greater (sequence, as_of_us) is newer."""

    sequence: int
    as_of_us: int

    def pack(self) -> bytes:
        """Return 16 bytes that sort as the stamp does."""
        return _STAMP.pack(self.sequence, self.as_of_us + _BIAS)


def unpack_stamp(packed: bytes) -> Stamp:
    """Read the inverse of `Stamp.pack`."""
    sequence, biased = _STAMP.unpack(packed)
    return Stamp(sequence, biased - _BIAS)


def stored_stamp(stored: bytes | None) -> bytes:
    """Return the packed stamp of stored bytes; of none, or of what is no value of ours, the least one."""
    if stored is None or len(stored) < HEAD_BYTES or stored[:2] not in _NAMES:
        return OLDEST
    return stored[STAMP]


def head(form: bytes, flags: int, length: int, digest: bytes, stamp: Stamp) -> bytes:
    """Return the first 32 bytes of a value of a form such as `ROW`; ``length`` is that of the whole."""
    return _HEAD.pack(form, flags, length, digest, stamp.pack())


def seal(content: bytes) -> bytes:
    """Append the checksum to head and body."""
    return content + crc32(content).to_bytes(4, "little")


def refusal(stored: bytes, form: bytes, digest: bytes, where: str) -> RowFormatError | None:
    """Tell why bytes cannot be read as a ``form`` for the view of ``digest``; ``None`` if they can."""
    noun = _NAMES[form[:2]]
    if len(stored) < HEAD_BYTES + TAIL_BYTES or stored[:2] != form[:2]:
        begin = stored[:8].hex(" ") or "nothing"
        return _refusal(f"stored bytes begin with {begin}: not a whole {noun} of unskew", where)
    found, _, length, found_digest, _ = _HEAD.unpack_from(stored)
    if length != len(stored):
        return _refusal(f"a stored {noun} has {len(stored)} bytes, but says it has {length}", where)
    if crc32(stored) != WHOLE:
        return _refusal(f"a stored {noun} does not match its checksum", where)
    if found != form:
        return RowFormatError(
            f"a stored {noun} has format {found[2]}, and this version of unskew reads {form[2]}",
            where=where,
            mend="serve with the version of unskew that materialised, or materialise again",
        )
    if found_digest != digest:
        return _refusal(f"a stored {noun} is of view digest {found_digest.hex()}, not {digest.hex()}", where)
    return None


def _refusal(what: str, where: str) -> RowFormatError:
    return RowFormatError(what, where=where, mend="run `unskew materialise` to write it anew")
