"""Where a view's row and log of an entity key are stored.

``unskew:{<bucket>}:<r or l>:<view digest>:<entity key>``: the bucket, three hexadecimal digits of the entity key's
CRC-32, is a Redis hash tag, so that all a write touches lives in one slot, and all views of a key in one bucket. Views
are named by the first 16 hexadecimal digits of their digest: revisions of a view live side by side.

An entity key is written ``i:<decimal>`` (Int64) or ``s:<UTF-8>`` (String). A whole key has at most 511 bytes, LMDB's
limit, kept on every store so that a project can move between them. A string has at most 465 of them, which leaves room
for the number of a tile behind the key of a log: a longer one is written ``x:<BLAKE2b-256 of its UTF-8>``, of which
nobody can find two alike.

What a source has of its own is named by the first 16 hexadecimal digits of the BLAKE2b of its name:

==============================================  ==========================================================
``unskew:{<bucket>}:s:<source>:<what>``         values of the ingest program, all in one bucket
``unskew:{<bucket>}:e:<source>:<identity>``     the event index, by the bytes of `semantics.identity`
``unskew:{<bucket>}:f:<source>``                fences, one in each bucket
==============================================  ==========================================================

The index lies in 64 of the buckets: a commit's entries then need few calls, and in an embedded store those of ids that
follow each other lie side by side.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from featurestore.online.errors import EntityKeyError
from featurestore.semantics.value import DType

BUCKETS = 4096
MAX_KEY_BYTES = 511
NOBODY = b"n:"
"""Stands for every entity key that has no row of its own; no entity key is written so."""
HISTORY = b"h:"
"""In place of an entity key: where it is said of which history a view's rows are."""

TAG_BYTES = len(b"unskew:{000}:")
VIEW_PREFIX_BYTES = len(b"unskew:{000}:r:0123456789abcdef:")
TILE_SUFFIX_BYTES = 12
"""Room behind the key of a log for ``#`` and the number of a tile."""
MAX_PLAIN_BYTES = MAX_KEY_BYTES - VIEW_PREFIX_BYTES - 2 - TILE_SUFFIX_BYTES
INDEX_BUCKETS = 64
_TAGS = [b"unskew:{%03x}:" % bucket for bucket in range(BUCKETS)]
_INDEX_TAGS = _TAGS[:: BUCKETS // INDEX_BUCKETS]
_INDEX = b"e:"
_INT64 = range(-(2**63), 2**63)


class ViewKeys:
    """The keys of one view.

    Parameters
    ----------
    view_digest
        The view's digest, 64 hexadecimal digits.
    """

    def __init__(self, view_digest: str) -> None:
        self._row = b"r:" + view_digest[:16].encode() + b":"
        self._log = b"l:" + view_digest[:16].encode() + b":"

    def row(self, key: bytes) -> bytes:
        """Return where the row of an encoded entity key is."""
        return _TAGS[crc32(key) & 4095] + self._row + key

    def log(self, key: bytes) -> bytes:
        """Return where the log of an encoded entity key is."""
        return _TAGS[crc32(key) & 4095] + self._log + key


class SourceKeys:
    """The keys of what one source has of its own.

    Parameters
    ----------
    source_name
        The source's name.

    Attributes
    ----------
    short_name
        The 16 hexadecimal digits that stand for the source in keys.
    record, applied, holder
        Where the ingest program keeps the commit it began last, how far it came, and who it is.
    """

    def __init__(self, source_name: str) -> None:
        self.short_name = blake2b(source_name.encode()).hexdigest()[:16].encode()
        self._own = _TAGS[bucket(self.short_name)] + b"s:" + self.short_name + b":"
        self.record = self._own + b"record"
        self.holder = self._own + b"holder"
        self.applied = self._own + b"applied"
        self._index = [prefix + self.short_name + b":" for prefix in index_prefixes()]

    def commit(self, sequence: int) -> bytes:
        """Return where the ingest program keeps one commit that is not in history yet."""
        return self._own + b"c:%d" % sequence

    def index(self, identity_key: bytes) -> bytes:
        """Return where the event index has the event of an encoded identity, of at most 400 bytes."""
        return self._index[crc32(identity_key) & (INDEX_BUCKETS - 1)] + identity_key

    def fence(self, stored_key: bytes) -> bytes:
        """Return the fence that stands for a stored key: the one of its bucket.

        Its value begins with the owner's epoch in decimal digits, up to a blank or the end. Stores that need one fence
        only have the one of `record`.
        """
        return stored_key[:TAG_BYTES] + b"f:" + self.short_name

    def fences(self) -> list[bytes]:
        """Return the fences of all buckets."""
        return [tag + b"f:" + self.short_name for tag in _TAGS]


def bucket(key: bytes) -> int:
    """Return the bucket of an encoded entity key, 0 to 4095; the same on every machine, for good."""
    return crc32(key) & (BUCKETS - 1)


def bucket_of(stored_key: bytes) -> bytes:
    """Return the three digits in the hash tag of a stored key."""
    return stored_key[8:11]


def view_prefixes(view_digest: str) -> list[bytes]:
    """Return how stored keys of a view begin: rows, then logs, of each bucket."""
    name = view_digest[:16].encode() + b":"
    return [tag + kind + name for kind in (b"r:", b"l:") for tag in _TAGS]


def view_pattern(view_digest: str) -> bytes:
    """Return the pattern, in the way of Redis, of all stored keys of a view."""
    return b"unskew:{???}:[rl]:" + view_digest[:16].encode() + b":*"


def is_index_key(stored_key: bytes) -> bool:
    """Tell whether a stored key is of an event index."""
    return stored_key[TAG_BYTES : TAG_BYTES + 2] == _INDEX and stored_key.startswith(b"unskew:{")


def index_prefixes() -> list[bytes]:
    """Return how stored keys of event indexes begin, whatever the source, in the order of bytes."""
    return [tag + _INDEX for tag in _INDEX_TAGS]


def key_encoder(dtype: DType, entity: str) -> Callable[[Any], bytes]:
    """Return the function that writes keys of one entity as bytes.

    It raises `EntityKeyError` for a value of another type, out of range, or not UTF-8.
    """

    def integer(value: Any) -> bytes:
        if type(value) is int and value in _INT64:
            return b"i:%d" % value
        return _unusual_integer(value, entity)

    def text(value: Any) -> bytes:
        if not isinstance(value, str):
            raise _wrong_type(value, entity, "a string")
        try:
            encoded = value.encode()
        except UnicodeEncodeError as error:
            raise EntityKeyError(
                f"key {value!r} is not valid Unicode ({error.reason})", where=f"entity {entity!r}"
            ) from None
        return b"s:" + encoded if len(encoded) <= MAX_PLAIN_BYTES else _digested(encoded)

    return integer if dtype.name == "int64" else text


def _digested(encoded: bytes) -> bytes:
    return b"x:" + blake2b(encoded, digest_size=32).hexdigest().encode()


def _unusual_integer(value: Any, entity: str) -> bytes:
    """Write NumPy's integers too; a bool is no key."""
    if isinstance(value, (bool, str, float)) or not hasattr(value, "__index__"):
        raise _wrong_type(value, entity, "an integer")
    number = value.__index__()
    if number not in _INT64:
        raise EntityKeyError(f"key {number} is outside the range of Int64", where=f"entity {entity!r}")
    return b"i:%d" % number


def _wrong_type(value: Any, entity: str, wanted: str) -> EntityKeyError:
    return EntityKeyError(
        f"key {value!r} is {type(value).__name__}, not {wanted}", where=f"entity {entity!r}", mend=f"give {wanted}"
    )
