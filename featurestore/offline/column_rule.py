"""How a file's column is read as a declared type: a `Rule`, and the error where none can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Quick = Callable[[pa.Array], pa.Array | None]
"""Read a whole array at once, or return ``None`` where it cannot vouch for every value."""
Slow = Callable[[Any], Any]
"""Read one Python value into storage form; raises `featurestore.offline.text_value.Unfit` with the reason."""


class TypeMismatch(Exception):
    """A file's column has a type that no value of the declared one can be read from without a guess."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Rule:
    """The quick and the slow reading of one pair of types; they agree wherever the quick one answers."""

    quick: Quick
    slow: Slow


def cast_to(target: pa.DataType) -> Quick:
    """Return Arrow's checked cast to ``target`` as a quick reading."""

    def quick(array: pa.Array) -> pa.Array | None:
        try:
            return pc.cast(array, target)
        except pa.ArrowInvalid:
            return None

    return quick


def all_true(flags: pa.Array) -> bool:
    """Tell whether every non-null flag is true."""
    return bool(pc.all(flags, min_count=0).as_py())


def null_mask(array: pa.Array) -> NDArray[np.bool_]:
    """Return where ``array`` is null."""
    return np.asarray(array.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
