"""Types and columns: the values themselves, with their nulls beside them and never inside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.foundation.errors import SemanticsError


@dataclass(frozen=True, slots=True)
class DType:
    """A value's type.

    Attributes
    ----------
    name
        ``int64``, ``float64``, ``float32``, ``bool``, ``string``, ``timestamp`` or ``decimal``.
    scale
        Decimals after the point, for ``decimal`` only, 0 to 18. A decimal has at most 18 digits.
    """

    name: str
    scale: int | None = None

    def __str__(self) -> str:
        return self.name if self.scale is None else f"{self.name}({self.scale})"

    @property
    def storage(self) -> np.dtype[Any]:
        """The NumPy dtype a column's values are held in: timestamps in µs UTC, decimals as scaled integers."""
        return _STORAGE[self.name]

    @property
    def numeric(self) -> bool:
        """Whether sums and means are defined on it."""
        return self.name in ("int64", "float64", "float32", "decimal")

    @property
    def floating(self) -> bool:
        """Whether it is an IEEE 754 type, which may hold NaN and infinities."""
        return self.name in ("float64", "float32")


Int64 = DType("int64")
Float64 = DType("float64")
Float32 = DType("float32")
Bool = DType("bool")
String = DType("string")
Timestamp = DType("timestamp")


def Decimal(scale: int) -> DType:  # noqa: N802 - a type's name
    """Return the type of exact decimals with ``scale`` digits after the point and at most 18 digits in all."""
    if type(scale) is not int or not 0 <= scale <= 18:
        raise SemanticsError(
            f"a decimal's scale is a whole number from 0 to 18, not {scale!r}", mend="write Decimal(2) for cents"
        )
    return DType("decimal", scale)


_STORAGE: dict[str, np.dtype[Any]] = {
    "int64": np.dtype(np.int64),
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "bool": np.dtype(np.bool_),
    "string": np.dtype(np.object_),
    "timestamp": np.dtype(np.int64),
    "decimal": np.dtype(np.int64),
}


def parse_dtype(text: str) -> DType:
    """Read a type back from its text, the inverse of ``str``."""
    if text.startswith("decimal(") and text.endswith(")") and text[8:-1].isdigit():
        return Decimal(int(text[8:-1]))
    if text in _STORAGE and text != "decimal":
        return DType(text)
    raise SemanticsError(f"no type is called {text!r}", mend=f"use one of {', '.join(_STORAGE)}")


@dataclass(frozen=True, slots=True)
class Column:
    """Values and a null mask of equal length.

    Attributes
    ----------
    dtype
        The values' type.
    values
        Shape ``(n,)``, dtype ``dtype.storage``. What stands at a null is unspecified, and compared by nobody.
    nulls
        Shape ``(n,)``, bool; true where the value is null.
    """

    dtype: DType
    values: NDArray[Any]
    nulls: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, indices: NDArray[np.int64]) -> Column:
        """Return the rows at ``indices``; an index of -1 gives null."""
        if not len(self.values):
            return null_column(self.dtype, len(indices))
        absent = indices < 0
        safe = np.where(absent, 0, indices)
        return Column(self.dtype, self.values[safe], self.nulls[safe] | absent)

    def to_pylist(self) -> list[Any]:
        """Return Python values in storage form (µs for timestamps, scaled integers for decimals), None for null."""
        return [None if null else value for value, null in zip(self.values.tolist(), self.nulls.tolist(), strict=True)]


def column(dtype: DType, items: Sequence[Any]) -> Column:
    """Make a column from Python values in storage form, None for null."""
    nulls = np.array([item is None for item in items], dtype=np.bool_)
    filled = [_filler(dtype) if item is None else item for item in items]
    return Column(dtype, np.array(filled, dtype=dtype.storage), nulls)


def null_column(dtype: DType, length: int) -> Column:
    """Make a column of ``length`` nulls."""
    values = np.full(length, _filler(dtype), dtype=dtype.storage)
    return Column(dtype, values, np.ones(length, dtype=np.bool_))


def identical(left: Column, right: Column) -> NDArray[np.bool_]:
    """Tell per row whether two columns agree bit for bit; null equals null, NaN equals NaN whatever its payload.

    Zero and negative zero differ.
    """
    if left.dtype != right.dtype:
        return np.zeros(len(left), dtype=np.bool_)
    same = np.asarray(_bits(left) == _bits(right), dtype=np.bool_)
    return (left.nulls & right.nulls) | (~left.nulls & ~right.nulls & same)


def _bits(of: Column) -> NDArray[Any]:
    if not of.dtype.floating:
        return of.values
    canonical = np.where(np.isnan(of.values), of.values.dtype.type(np.nan), of.values)
    return canonical.view(np.int64 if of.dtype.name == "float64" else np.int32)


def _filler(dtype: DType) -> Any:
    return "" if dtype.name == "string" else 0
