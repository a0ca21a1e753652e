"""Aggregates as a view's author writes them; `Aggregation.resolve` turns one into what engines compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from featurestore.definitions.definition import check_name, duration_us
from featurestore.foundation.clock import format_duration
from featurestore.foundation.errors import DefinitionError
from featurestore.semantics.aggregate import SUMMING, Aggregate, Kind
from featurestore.semantics.value import DType

LARGEST_SCALE = 15


@dataclass(frozen=True)
class Aggregation:
    """One aggregate as written; made by `Count`, `Sum`, `Mean` and the other functions of this module.

    Attributes
    ----------
    over_us
        The window's length in microseconds; ``None`` for none, or for a label to give it.
    name
        The feature's name; ``None`` for the default, such as ``net_sum_30d``.
    """

    kind: Kind
    column: str | None
    over_us: int | None
    scale: int | None
    name: str | None

    @property
    def written(self) -> str:
        """How an error shows it."""
        over = "" if self.over_us is None else f', over="{format_duration(self.over_us)}"'
        column = "" if self.column is None else repr(self.column)
        return f"{_CALLED[self.kind]}({(column + over).removeprefix(', ')})"

    @property
    def feature_name(self) -> str:
        """The given name, or the default: column, what is computed, window."""
        if self.name is not None:
            return self.name
        window = None if self.over_us is None else format_duration(self.over_us)
        return "_".join(part for part in (self.column, str(self.kind), window) if part)

    def resolve(self, column_dtype: Callable[[str], DType], where: str, over_us: int | None = None) -> Aggregate:
        """Return the aggregate, checked against the columns it is computed over.

        Parameters
        ----------
        column_dtype
            Gives a column's type, or raises `DefinitionError` for one that does not exist.
        where
            What errors name as the place.
        over_us
            The window if the aggregation itself has none.
        """
        dtype = None if self.column is None else column_dtype(self.column)
        window_us = over_us if self.over_us is None else self.over_us
        if window_us is None and self.kind is not Kind.LAST:
            raise DefinitionError(f"{self.written} has no window", where=where, mend='give one: over="30d"')
        if self.kind in SUMMING and dtype is not None:
            self._check_summed(dtype, where)
        if self.scale is not None and (self.kind not in SUMMING or dtype is None or not dtype.floating):
            raise DefinitionError(
                f"{self.written} has scale={self.scale} but sums no float column", where=where, mend="leave scale out"
            )
        return Aggregate(self.kind, self.column, dtype, window_us, self.scale)

    def _check_summed(self, dtype: DType, where: str) -> None:
        if not dtype.numeric:
            raise DefinitionError(
                f"{self.written}: column {self.column!r} is {dtype}, not a number",
                where=where,
                mend="sum a number, or derive one",
            )
        if dtype.floating and self.scale is None:
            raise DefinitionError(
                f"{self.written}: column {self.column!r} is {dtype}, which has no exact sum",
                where=where,
                mend="say how many decimals count, as in scale=2 for cents",
            )


_CALLED = {
    Kind.COUNT: "Count",
    Kind.SUM: "Sum",
    Kind.MEAN: "Mean",
    Kind.MIN: "Min",
    Kind.MAX: "Max",
    Kind.STD: "StdDev",
    Kind.LAST: "Last",
    Kind.DISTINCT: "DistinctCount",
}


def _aggregation(
    kind: Kind, column: str | None, over: str | None, scale: int | None = None, name: str | None = None
) -> Aggregation:
    called = _CALLED[kind]
    if not (column is None and kind is Kind.COUNT) and (not isinstance(column, str) or not column):
        raise DefinitionError(f"column is {column!r}", where=called, mend=f'name a column: {called}("column", ...)')
    where = f"{called}({column!r})"
    if scale is not None and (type(scale) is not int or not 0 <= scale <= LARGEST_SCALE):
        raise DefinitionError(f"scale is {scale!r}", where=where, mend=f"a scale is 0 to {LARGEST_SCALE} decimals")
    if name is not None:
        check_name(name, f"name of {where}")
    return Aggregation(kind, column, None if over is None else duration_us(where, "over", over), scale, name)


def Count(column: str | None = None, over: str | None = None, *, name: str | None = None) -> Aggregation:  # noqa: N802 - a type's name
    """Count the window's events, or with a column those where it is not null; nothing counts 0."""
    return _aggregation(Kind.COUNT, column, over, name=name)


def Sum(column: str, over: str | None = None, *, scale: int | None = None, name: str | None = None) -> Aggregation:  # noqa: N802 - a type's name
    """Sum a number exactly, null beyond 64 bits; a float column says by ``scale`` how many of its decimals count."""
    return _aggregation(Kind.SUM, column, over, scale, name)


def Mean(column: str, over: str | None = None, *, scale: int | None = None, name: str | None = None) -> Aggregation:  # noqa: N802 - a type's name
    """Average a number, correctly rounded; ``scale`` as for `Sum`."""
    return _aggregation(Kind.MEAN, column, over, scale, name)


def StdDev(column: str, over: str | None = None, *, scale: int | None = None, name: str | None = None) -> Aggregation:  # noqa: N802 - a type's name
    """Take the sample standard deviation (n - 1), null below two values; ``scale`` as for `Sum`."""
    return _aggregation(Kind.STD, column, over, scale, name)


def Min(column: str, over: str | None = None, *, name: str | None = None) -> Aggregation:  # noqa: N802 - a type's name
    """Take the smallest value; strings go by code point, NaN ranks above infinity."""
    return _aggregation(Kind.MIN, column, over, name=name)


def Max(column: str, over: str | None = None, *, name: str | None = None) -> Aggregation:  # noqa: N802 - a type's name
    """Take the greatest value; strings go by code point, NaN ranks above infinity."""
    return _aggregation(Kind.MAX, column, over, name=name)


def Last(column: str, over: str | None = None, *, name: str | None = None) -> Aggregation:  # noqa: N802 - a type's name
    """Take the value of the latest event, null if it is null there; without ``over`` however old."""
    return _aggregation(Kind.LAST, column, over, name=name)


def DistinctCount(column: str, over: str | None = None, *, name: str | None = None) -> Aggregation:  # noqa: N802 - a type's name
    """Count the distinct non-null values."""
    return _aggregation(Kind.DISTINCT, column, over, name=name)


def Attribute(column: str, *, name: str | None = None) -> Aggregation:  # noqa: N802 - a type's name
    """Take a column's latest value, under the column's own name: for `TableSource`."""
    return _aggregation(Kind.LAST, column, None, name=column if name is None else name)
