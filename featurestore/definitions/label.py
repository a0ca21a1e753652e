"""What a model is to predict: an aggregate over the time after an instant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from featurestore.definitions.aggregation import Aggregation
from featurestore.definitions.definition import Definition, check_instance, check_text, duration_us, shown
from featurestore.definitions.entity import Entity
from featurestore.definitions.feature_view import FeatureRef, FeatureView, describe_aggregate
from featurestore.definitions.request_feature import RequestFeature, describe_input
from featurestore.definitions.written_value import stored_value, value_example
from featurestore.foundation.errors import DefinitionError
from featurestore.semantics.aggregate import COUNTING, Aggregate
from featurestore.semantics.value import Bool, DType


@dataclass(frozen=True, init=False, eq=False)
class Label(Definition):
    """An aggregate over the events of ``(t, t + over]``, which matures at ``t + over + lateness``.

    Before it matures a label is null, never 0.

    Parameters
    ----------
    aggregate
        An aggregation without a window of its own, such as ``Sum("net")``.
    of
        The view whose entity, rows, ``derive`` and ``where`` it is computed from.
    over
        The span after the instant.
    lateness
        How long after the span its events may still become available.
    empty
        The value if the span has no event; ``None`` for null. A count of nothing is 0 by itself.
    exceeds
        A feature: the label is then whether the aggregate is greater than the feature at the instant.

    Attributes
    ----------
    aggregate
        The resolved aggregate, its window being the span.
    over_us, lateness_us
        In microseconds.
    """

    noun: ClassVar[str] = "Label"

    name: str
    aggregate: Aggregate
    of: FeatureView
    over_us: int
    lateness_us: int
    empty: Any
    exceeds: FeatureRef | RequestFeature | None
    description: str
    owner: str
    stored_empty: Any = field(repr=False)

    def __init__(
        self,
        name: str,
        aggregate: Aggregation,
        of: FeatureView,
        *,
        over: str,
        lateness: str = "0s",
        empty: Any = None,
        exceeds: FeatureRef | RequestFeature | None = None,
        description: str = "",
        owner: str = "",
    ) -> None:
        self._named(name)
        self._set(description=description, owner=owner)
        check_text(self, "description", description)
        check_text(self, "owner", owner)
        check_instance(self, "aggregate", aggregate, Aggregation, 'write one as Sum("net")')
        check_instance(self, "of", of, FeatureView, "give it a FeatureView")
        self._set(of=of, over_us=duration_us(self.label, "over", over))
        self._set(lateness_us=duration_us(self.label, "lateness", lateness, zero=True))
        if aggregate.over_us is not None:
            raise self.refuse(
                f"{aggregate.written} has a window of its own", "leave its over out: the label's own counts"
            )
        self._set(aggregate=aggregate.resolve(self._column_dtype, self.label, self.over_us))
        self._set(empty=empty, stored_empty=self._checked_empty(empty))
        self._set(exceeds=exceeds)
        if exceeds is not None:
            self._check_exceeds(exceeds)

    @property
    def entity(self) -> Entity:
        """Whom it is about."""
        return self.of.entity

    @property
    def dtype(self) -> DType:
        """The label's type: ``Bool`` if it compares, else the aggregate's."""
        return self.aggregate.output if self.exceeds is None else Bool

    @property
    def matures_us(self) -> int:
        """How long after the instant the label is known, in microseconds."""
        return self.over_us + self.lateness_us

    def describe(self) -> dict[str, Any]:
        """Return the aggregate, what it needs of the view, the spans and the comparison as plain data."""
        return {
            "definition": self.noun,
            "name": self.name,
            "aggregate": describe_aggregate(self.aggregate),
            "of": self.of.describe_for(self.aggregate.column),
            "over_us": self.over_us,
            "lateness_us": self.lateness_us,
            "empty": self.stored_empty,
            "exceeds": None if self.exceeds is None else describe_input(self.exceeds),
        }

    def _set(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _column_dtype(self, name: str) -> DType:
        try:
            return self.of.column_dtype(name)
        except DefinitionError as error:
            raise self.refuse(f"{self.of.label}: {error.what}", error.mend) from None

    def _checked_empty(self, empty: object) -> Any:
        if empty is None:
            return None
        if self.aggregate.kind in COUNTING:
            raise self.refuse(f"empty is {empty!r} for a count", "leave it out: a count of nothing is 0")
        stored = stored_value(self.aggregate.output, empty)
        if stored is None:
            raise self.refuse(
                f"empty is {empty!r}, not a value of {self.aggregate.output}",
                f"give {value_example(self.aggregate.output)}",
            )
        return stored

    def _check_exceeds(self, exceeds: object) -> None:
        if not isinstance(exceeds, (FeatureRef, RequestFeature)):
            raise self.refuse(f"exceeds is {shown(exceeds)}", 'give a feature, as in exceeds=view["net_mean_30d"]')
        for role, dtype in (("the aggregate", self.aggregate.output), (f"exceeds {exceeds.name}", exceeds.dtype)):
            if not dtype.numeric:
                raise self.refuse(f"{role} is {dtype}, not a number", "compare numbers")
