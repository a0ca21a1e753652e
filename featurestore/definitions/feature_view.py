"""Features of an entity, computed from the rows of one source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

from featurestore.definitions.aggregation import Aggregation
from featurestore.definitions.definition import (
    Definition,
    check_dtype,
    check_instance,
    check_name,
    check_text,
    duration_us,
    nearest,
    shown,
)
from featurestore.definitions.entity import Entity
from featurestore.definitions.row_expression import RowExpression, parse, parse_condition
from featurestore.definitions.source import EventSource, Source, TableSource
from featurestore.foundation.canonical import digest
from featurestore.foundation.errors import DefinitionError
from featurestore.semantics.aggregate import Aggregate
from featurestore.semantics.value import DType


@dataclass(frozen=True)
class Derived:
    """A column computed from one row by DuckDB SQL, and its type.

    Attributes
    ----------
    expression
        SQL over the source's columns; see `featurestore.definitions.row_expression`.
    dtype
        The type the result is cast to.
    """

    expression: str
    dtype: DType


@dataclass(frozen=True)
class Feature:
    """A view's feature: its name and the aggregate that engines compute."""

    name: str
    aggregate: Aggregate

    @property
    def dtype(self) -> DType:
        """The value's type."""
        return self.aggregate.output


@dataclass(frozen=True)
class FeatureRef:
    """One feature of one view, as services, request features and labels refer to it."""

    view: FeatureView
    feature: Feature

    @property
    def name(self) -> str:
        """``view.feature``: the name it has in every answer and training set."""
        return f"{self.view.name}.{self.feature.name}"

    @property
    def dtype(self) -> DType:
        """The value's type."""
        return self.feature.dtype

    def describe(self) -> dict[str, Any]:
        """Return the feature and all of its view that it depends on as plain data."""
        view = self.view.describe_for(self.feature.aggregate.column, [self.feature])
        return {"feature": self.feature.name, "view": view}


@dataclass(frozen=True, init=False, eq=False)
class FeatureView(Definition):
    """Features of one entity from the rows of one source.

    Parameters
    ----------
    features
        Aggregations over the source's columns and the derived ones.
    derive
        Columns computed from a row, by name; they see the source's columns, not each other.
    where
        A condition over the source's columns; a row for which it is false or null counts for nothing, but as the
        newest version of its event it still replaces the ones before.
    ttl
        How old the latest event may be at a read, such as ``"30d"``; ``None`` for no limit.
    key
        The source's column that holds the entity's key; by default the entity's join key.

    Attributes
    ----------
    features
        The resolved features, in order.
    """

    noun: ClassVar[str] = "FeatureView"

    name: str
    entity: Entity
    source: EventSource | TableSource
    features: tuple[Feature, ...]
    derive: Mapping[str, Derived]
    where: str | None
    ttl: str | None
    key: str
    description: str
    owner: str
    derived_expressions: Mapping[str, RowExpression] = field(repr=False)
    where_expression: RowExpression | None = field(repr=False)
    ttl_us: int | None = field(repr=False)

    def __init__(
        self,
        name: str,
        entity: Entity,
        source: EventSource | TableSource,
        features: Sequence[Aggregation] = (),
        *,
        derive: Mapping[str, Derived] | None = None,
        where: str | None = None,
        ttl: str | None = None,
        key: str | None = None,
        description: str = "",
        owner: str = "",
    ) -> None:
        self._named(name)
        check_instance(self, "entity", entity, Entity, "give it an Entity")
        check_instance(self, "source", source, Source, "give it an EventSource or a TableSource")
        self._set(entity=entity, source=source, description=description, owner=owner)
        check_text(self, "description", description)
        check_text(self, "owner", owner)
        self._set(key=self._checked_key(entity.join_key if key is None else key))
        self._set(ttl=ttl, ttl_us=None if ttl is None else duration_us(self.label, "ttl", ttl))
        self._set_expressions({} if derive is None else derive, where)
        self._set(features=self._resolved(features))

    def __getitem__(self, name: str) -> FeatureRef:
        for feature in self.features:
            if feature.name == name:
                return FeatureRef(self, feature)
        raise self.refuse(f"no feature is called {name!r}", nearest(name, [feature.name for feature in self.features]))

    @cached_property
    def refs(self) -> tuple[FeatureRef, ...]:
        """All its features, in order."""
        return tuple(FeatureRef(self, feature) for feature in self.features)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns its aggregates need, sorted; derived ones by their own name."""
        return tuple(sorted({f.aggregate.column for f in self.features if f.aggregate.column is not None}))

    @cached_property
    def windows(self) -> tuple[int, ...]:
        """The distinct window lengths in µs, ascending; features without a window have none."""
        return tuple(sorted({f.aggregate.window_us for f in self.features if f.aggregate.window_us is not None}))

    def column_dtype(self, name: str) -> DType:
        """Return the type of a source column or a derived one.

        Raises
        ------
        DefinitionError
            If there is no such column.
        """
        if name in self.derive:
            return self.derive[name].dtype
        if name in self.source.schema:
            return self.source.schema[name]
        raise self.refuse(f"unknown column {name!r}", nearest(name, [*self.source.schema, *self.derive]))

    def describe(self) -> dict[str, Any]:
        """Return entity, source, key, expressions, TTL and features as plain data."""
        return self._described(self.source.describe(), self.derived_expressions, self.features)

    @cached_property
    def row_digest(self) -> str:
        """The digest that names its rows in an online store: of its features in order, and of what they are made from.

        Source columns and derived ones that no feature reads are no part of it, nor is the TTL, which is applied at the
        read: to change these leaves the stored rows in place.
        """
        derived = {name: self.derived_expressions[name] for name in self.columns if name in self.derive}
        read = {self.key, *(name for name in self.columns if name not in derived)}
        for parsed in (*derived.values(), *([] if self.where_expression is None else [self.where_expression])):
            read.update(parsed.columns)
        described = self._described(self.source.describe_columns(read), derived, self.features)
        return digest({name: part for name, part in described.items() if name != "ttl_us"})

    def describe_for(self, column: str | None, features: Sequence[Feature] = ()) -> dict[str, Any]:
        """Return what `describe` does, reduced to what an aggregate over ``column`` depends on, and ``features``.

        What is added to a view or its source so changes no service, request feature or label that does not use it.
        """
        derived = {name: parsed for name, parsed in self.derived_expressions.items() if name == column}
        read = {self.key} if column is None or column in derived else {self.key, column}
        for parsed in (*derived.values(), *([] if self.where_expression is None else [self.where_expression])):
            read.update(parsed.columns)
        return self._described(self.source.describe_columns(read), derived, features)

    def _described(
        self, source: dict[str, Any], derived: Mapping[str, RowExpression], features: Sequence[Feature]
    ) -> dict[str, Any]:
        return {
            "definition": self.noun,
            "name": self.name,
            "entity": self.entity.describe(),
            "source": source,
            "key": self.key,
            "derive": {
                name: {"sql": parsed.sql, "dtype": str(self.derive[name].dtype)} for name, parsed in derived.items()
            },
            "where": None if self.where_expression is None else self.where_expression.sql,
            "ttl_us": self.ttl_us,
            "features": [{"name": feature.name, **describe_aggregate(feature.aggregate)} for feature in features],
        }

    def _set(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _checked_key(self, key: object) -> str:
        schema = self.source.schema
        if not isinstance(key, str) or key not in schema:
            raise self.refuse(
                f"{self.source.label} has no column {key!r} to hold the key of {self.entity.label}",
                f"{nearest(key, schema)} (name it by key=...)",
            )
        if schema[key] != self.entity.dtype:
            raise self.refuse(
                f"key column {key!r} is {schema[key]}, the join key of {self.entity.label} is {self.entity.dtype}",
                "make the two types one",
            )
        if isinstance(self.source, TableSource) and key != self.source.key:
            raise self.refuse(
                f"key column {key!r} is not {self.source.key!r}, the key of {self.source.label}",
                "a view of a TableSource has its key; use an EventSource for another",
            )
        return key

    def _set_expressions(self, derive: Mapping[str, Derived], where: str | None) -> None:
        if not isinstance(derive, Mapping):
            raise self.refuse(
                f"derive is {shown(derive)}", 'give it as {"net": Derived("value - refunded", Decimal(2))}'
            )
        parsed = {name: self._derived(name, derived) for name, derived in derive.items()}
        condition = None if where is None else parse_condition(where, self.source.schema, f"{self.label} where")
        self._set(derive=MappingProxyType(dict(derive)), derived_expressions=MappingProxyType(parsed))
        self._set(where=where, where_expression=condition)

    def _derived(self, name: str, derived: object) -> RowExpression:
        check_name(name, f"{self.label} derive")
        field_name = f"derive[{name!r}]"
        check_instance(
            self, field_name, derived, Derived, f"write Derived({derived!r}, dtype): its type must be stated"
        )
        assert isinstance(derived, Derived)
        check_dtype(self, f"{field_name} dtype", derived.dtype)
        if name in {column.lower() for column in self.source.schema}:
            raise self.refuse(f"{field_name} has the name of a column of {self.source.label}", "call it otherwise")
        return parse(derived.expression, self.source.schema, f"{self.label} {field_name}")

    def _resolved(self, features: object) -> tuple[Feature, ...]:
        if not isinstance(features, Sequence) or isinstance(features, str) or not features:
            raise self.refuse(f"features is {shown(features)}", 'give a list such as [Sum("net", over="30d")]')
        resolved: dict[str, Feature] = {}
        for number, aggregation in enumerate(features):
            check_instance(self, f"features[{number}]", aggregation, Aggregation, 'write one as Sum("net", over="30d")')
            feature = self._feature(aggregation)
            if feature.name in resolved:
                raise self.refuse(f"two features are called {feature.name!r}", "name one of them by name=...")
            resolved[feature.name] = feature
        return tuple(resolved.values())

    def _feature(self, aggregation: Aggregation) -> Feature:
        aggregate = aggregation.resolve(self.column_dtype, self.label)
        try:
            check_name(aggregation.feature_name, self.label)
        except DefinitionError:
            raise self.refuse(
                f"{aggregation.written} would be called {aggregation.feature_name!r}, which is no feature name",
                'name it: name="..." of a-z, 0-9 and _',
            ) from None
        return Feature(aggregation.feature_name, aggregate)


def describe_aggregate(aggregate: Aggregate) -> dict[str, Any]:
    """Return an aggregate as plain data."""
    return {
        "kind": str(aggregate.kind),
        "column": aggregate.column,
        "input": None if aggregate.input is None else str(aggregate.input),
        "window_us": aggregate.window_us,
        "scale": aggregate.scale,
        "dtype": str(aggregate.output),
    }
