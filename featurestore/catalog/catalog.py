"""The definition set as a whole: what a module of definitions holds, by kind and name, with one digest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar

from featurestore.definitions import (
    Definition,
    Entity,
    FeatureRef,
    FeatureService,
    FeatureView,
    Label,
    RequestFeature,
    Source,
)
from featurestore.definitions.definition import nearest
from featurestore.foundation.canonical import digest
from featurestore.foundation.errors import CatalogError

FORMAT = 1
KINDS: Mapping[str, type[Definition]] = MappingProxyType(
    {
        "entities": Entity,
        "sources": Source,
        "views": FeatureView,
        "request_features": RequestFeature,
        "services": FeatureService,
        "labels": Label,
    }
)
"""The kinds of definition, those that others refer to first."""

D = TypeVar("D", bound=Definition)


@dataclass(frozen=True)
class Catalog:
    """All definitions of a project by kind and name, those included that others merely refer to."""

    entities: Mapping[str, Entity] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    views: Mapping[str, FeatureView] = field(default_factory=dict)
    request_features: Mapping[str, RequestFeature] = field(default_factory=dict)
    services: Mapping[str, FeatureService] = field(default_factory=dict)
    labels: Mapping[str, Label] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every definition's digest: what the set means, 64 hexadecimal digits."""
        return described_digest(self.describe())

    def __iter__(self) -> Iterator[Definition]:
        """Give every definition, those that others refer to first, by name within a kind."""
        for kind in KINDS:
            yield from getattr(self, kind).values()

    def entity(self, name: str) -> Entity:
        """Return an entity by name, or raise `CatalogError` naming the nearest."""
        return _found("entity", name, self.entities)

    def source(self, name: str) -> Source:
        """Return a source by name, or raise `CatalogError` naming the nearest."""
        return _found("source", name, self.sources)

    def view(self, name: str) -> FeatureView:
        """Return a feature view by name, or raise `CatalogError` naming the nearest."""
        return _found("feature view", name, self.views)

    def service(self, name: str) -> FeatureService:
        """Return a feature service by name, or raise `CatalogError` naming the nearest."""
        return _found("feature service", name, self.services)

    def label(self, name: str) -> Label:
        """Return a label by name, or raise `CatalogError` naming the nearest."""
        return _found("label", name, self.labels)

    def view_keys(self, source: str) -> frozenset[str]:
        """Return the columns that hold the keys of the views over a source."""
        return frozenset(view.key for view in self.views.values() if view.source.name == source)

    def describe(self) -> dict[str, Any]:
        """Return the set as plain data: each definition with its digest, referring to others by name.

        ``{"format": 1, kind: {name: {"digest", "definition", "about"}}}``; ``about`` holds what is no part of the
        meaning, such as the owner.
        """
        kinds = {kind: {name: _entry(part) for name, part in getattr(self, kind).items()} for kind in KINDS}
        return {"format": FORMAT, **kinds}


def catalog_of(definitions: Iterable[Definition]) -> Catalog:
    """Make a catalog of definitions and all they refer to.

    Raises
    ------
    CatalogError
        If two different definitions of a kind have one name.
    DefinitionError
        If the meaning of a request feature's function cannot be pinned down.
    """
    found: dict[str, dict[str, Definition]] = {kind: {} for kind in KINDS}
    for part in with_referred(definitions):
        kind = next(kind for kind, cls in KINDS.items() if isinstance(part, cls))
        other = found[kind].setdefault(part.name, part)
        if other is not part and other != part:
            raise CatalogError(
                f"two different definitions are called {part.label}, at {other.site} and {part.site}",
                where=part.site,
                mend="rename one of them",
            )
    return Catalog(**{kind: MappingProxyType(dict(sorted(parts.items()))) for kind, parts in found.items()})  # type: ignore[arg-type]


def described_digest(description: Mapping[str, Any]) -> str:
    """Return the digest of a catalog from its description."""
    return digest({kind: {name: entry["digest"] for name, entry in description[kind].items()} for kind in KINDS})


def with_referred(definitions: Iterable[Definition]) -> Iterator[Definition]:
    """Give definitions and what they refer to, the latter first, each object once."""
    given: dict[int, Definition] = {}

    def visit(part: Definition) -> Iterator[Definition]:
        if id(part) in given:
            return
        given[id(part)] = part
        for other in _referred(part):
            yield from visit(other)
        yield part

    for definition in definitions:
        yield from visit(definition)


def _referred(part: Definition) -> tuple[Definition, ...]:
    if isinstance(part, FeatureView):
        return (part.entity, part.source)
    if isinstance(part, Label):
        return (part.of, *_definitions_in([part.exceeds]))
    if isinstance(part, RequestFeature):
        return _definitions_in(part.inputs)
    if isinstance(part, FeatureService):
        return _definitions_in(output.source for output in part.outputs)
    return ()


def _definitions_in(parts: Iterable[object]) -> tuple[Definition, ...]:
    views = (part.view if isinstance(part, FeatureRef) else part for part in parts)
    return tuple(part for part in views if isinstance(part, Definition))


def _entry(part: Definition) -> dict[str, Any]:
    return {"digest": part.digest, "definition": _by_name(part.describe(), outermost=True), "about": part.about()}


def _by_name(value: Any, *, outermost: bool = False) -> Any:
    """Return a description in which every definition within it is replaced by its name."""
    if isinstance(value, dict):
        if not outermost and "definition" in value:
            return value["name"]
        return {key: _by_name(item) for key, item in value.items()}
    return [_by_name(item) for item in value] if isinstance(value, list) else value


def _found(noun: str, name: str, among: Mapping[str, D]) -> D:
    if name not in among:
        raise CatalogError(f"no {noun} is called {name!r}", mend=nearest(name, among))
    return among[name]
