"""Which event a row is a version of, and whether two versions say the same: as bytes and as numbers.

An *identity* is the tuple of a row's identity columns. Its key is an injective byte string, so that two events never
share one; its number is what the logs of the online store can afford to carry per version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from featurestore.foundation.errors import SemanticsError
from featurestore.semantics.value import Column, Int64

LONGEST_KEY_BYTES = 400
"""A longer identity is known by its hash."""
_PLAIN, _HASHED = b"\x00", b"\x01"
_LENGTH = 4


def identity_keys(columns: Sequence[Column]) -> list[bytes]:
    """Return each row's identity as bytes: equal for equal identities, different for different ones.

    A text is its UTF-8 after its length, any other value its 8 bytes. What is longer than `LONGEST_KEY_BYTES` is
    replaced by its BLAKE2b-256, marked as such, so that it equals no shorter identity.

    Parameters
    ----------
    columns
        The identity columns in their order, at least one, of types Int64, Timestamp or String.

    Raises
    ------
    SemanticsError
        If a value is null: such a row is no event.
    """
    if any(of.nulls.any() for of in columns):
        raise SemanticsError("a row's identity is null", mend="give every row its identity")
    return [_shortened(b"".join(parts)) for parts in zip(*map(_encoded, columns), strict=True)]


def identity_numbers(columns: Sequence[Column]) -> NDArray[np.uint64]:
    """Return a number per row, equal for equal identities.

    A single Int64 column's numbers are its own bits and as distinct as they are. Others are 64 bits of BLAKE2b of
    the key: among a million events of one join key two share a number with a probability of 3e-8.
    """
    if len(columns) == 1 and columns[0].dtype == Int64:
        return columns[0].values.view(np.uint64)
    hashed = b"".join(hashlib.blake2b(key, digest_size=8).digest() for key in identity_keys(columns))
    return np.frombuffer(hashed, dtype=np.uint64)


def content_hashes(columns: Sequence[Column]) -> list[bytes]:
    """Return 8 bytes of BLAKE2b per row over its values, nulls told apart from all values.

    Rows that are equal bit for bit, NaN whatever its payload, have equal hashes; others share one with a probability
    of 2^-64. Zero and negative zero differ.
    """
    if not columns:
        raise SemanticsError("a row without columns has no content")
    fixed = [_fixed_cells(of) for of in columns if of.dtype.storage != np.object_]
    texts = [_text_cells(of) for of in columns if of.dtype.storage == np.object_]
    matrix = np.concatenate([np.stack([of.nulls for of in columns], axis=1).view(np.uint8), *fixed], axis=1)
    width, whole = matrix.shape[1], matrix.tobytes()
    heads = (whole[at : at + width] for at in range(0, len(whole), width))
    return [hashlib.blake2b(b"".join(row), digest_size=8).digest() for row in zip(heads, *texts, strict=True)]


def _encoded(of: Column) -> list[bytes]:
    if of.dtype.storage == np.object_:
        return _text_cells(of)
    cells = of.values.astype(">i8").tobytes()
    return [cells[at : at + 8] for at in range(0, len(cells), 8)]


def _text_cells(of: Column) -> list[bytes]:
    texts = [b"" if null else text.encode() for text, null in zip(of.values.tolist(), of.nulls.tolist(), strict=True)]
    return [len(text).to_bytes(_LENGTH) + text for text in texts]


def _fixed_cells(of: Column) -> NDArray[np.uint8]:
    """Return a column's values as bytes, a row per value, zeros at a null."""
    values = np.where(of.nulls, 0, of.values).astype(of.dtype.storage)
    if of.dtype.floating:
        values[np.isnan(values)] = np.nan
    return values.view(np.uint8).reshape(len(values), -1)


def _shortened(identity: bytes) -> bytes:
    if len(identity) < LONGEST_KEY_BYTES:
        return _PLAIN + identity
    return _HASHED + hashlib.blake2b(identity, digest_size=32).digest()
