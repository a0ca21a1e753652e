"""One column of a file as a column of its declared type: unchanged, or refused row by row with a reason.

Where the quick reading of a `Rule` does not vouch for an array, the array is halved until the values in the way are
found, so that a bad row among millions costs little.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from featurestore.offline.column_rule import Rule, Slow, TypeMismatch
from featurestore.offline.instant_rule import instant_rule
from featurestore.offline.text_rule import text_rule
from featurestore.offline.text_value import Unfit
from featurestore.offline.typed_rule import typed_rule
from featurestore.semantics.arrow_column import arrow_type, to_arrow
from featurestore.semantics.value import DType, Timestamp, column

SMALL_ENOUGH = 256
"""Rows that are read one by one where the quick reading of all of them fails."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A column in the declared type's Arrow type, null where a value was refused, and why, by row index."""

    array: pa.Array
    reasons: dict[int, str]


def check_column(array: pa.Array, dtype: DType, zone: str | None, *, text: bool = False) -> Checked:
    """Read a file's column as ``dtype``.

    Parameters
    ----------
    array
        As the file has it; nulls stay nulls.
    zone
        How to read instants without a zone; ``None`` refuses them.
    text
        Whether the column is bytes of a text file, to be parsed.

    Raises
    ------
    TypeMismatch
        If the types do not go together, whatever the values.
    """
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_null(array.type):
        return Checked(pa.nulls(len(array), arrow_type(dtype)), {})
    reading = _Reading(text_rule(dtype, zone) if text else _rule(array.type, dtype, zone), dtype)
    reading.read(array, 0)
    whole = reading.parts[0] if len(reading.parts) == 1 else pa.concat_arrays(reading.parts)
    return Checked(whole, reading.reasons)


def _rule(found: pa.DataType, dtype: DType, zone: str | None) -> Rule:
    rule = instant_rule(found, zone) if dtype == Timestamp else typed_rule(found, dtype)
    if rule is None:
        raise TypeMismatch(
            f"the file has {found} where {dtype} is declared", "declare the type the file has, or write the file so"
        )
    return rule


@dataclass
class _Reading:
    """The halving: parts in row order, and the reasons found on the way."""

    rule: Rule
    dtype: DType
    parts: list[pa.Array] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)

    def read(self, array: pa.Array, offset: int) -> None:
        taken = self.rule.quick(array)
        if taken is not None:
            self.parts.append(taken)
        elif len(array) <= SMALL_ENOUGH:
            self.parts.append(self._one_by_one(array, offset, self.rule.slow))
        else:
            half = len(array) // 2
            self.read(array.slice(0, half), offset)
            self.read(array.slice(half), offset + half)

    def _one_by_one(self, array: pa.Array, offset: int, slow: Slow) -> pa.Array:
        values: list[Any] = []
        for index, scalar in enumerate(array):
            value = None
            if scalar.is_valid:
                try:
                    value = slow(_plain(scalar))
                except Unfit as unfit:
                    self.reasons[offset + index] = str(unfit)
            values.append(value)
        return to_arrow(column(self.dtype, values))


def _plain(scalar: pa.Scalar) -> Any:
    """Return a Python value; of a timestamp its integer, for Python's own datetime cannot hold them all."""
    return scalar.value if pa.types.is_timestamp(scalar.type) else scalar.as_py()
