"""Keep a gateway's compiled routes at the registry's revision, and the old ones when the new cannot be loaded.

What the serving side does::

    follower = RouteFollower(registry, load)      # load(record) -> a warmed model, or raises an UnskewError
    follower.poll()                               # at the start, and then every second in a thread
    live = follower.live["next_week_spend"]       # on the event loop: one dict lookup
    variant, model = live.choose(routing_key([household_id]))

`RouteFollower.poll` blocks (SQLite, loading); ``live`` is replaced as a whole, so that a request which holds a
`LiveRoute` keeps one consistent revision to its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from featurestore.foundation.errors import UnskewError
from gateway.registry.record import ModelRecord
from gateway.registry.route import Route, Variant
from gateway.routing.slot_table import SlotTable

Model = TypeVar("Model")


class RouteSource(Protocol):
    """What a follower asks of the registry."""

    def head(self) -> int:
        """Return a number that grows with every change of anything."""
        ...

    def routes(self) -> dict[str, Route]:
        """Return the current route of every model that has one."""
        ...

    def get(self, model: str, selector: int | str) -> ModelRecord:
        """Return a version's record."""
        ...


@dataclass(frozen=True, slots=True)
class LiveRoute(Generic[Model]):
    """A route, its table compiled, its models loaded; ``records`` and ``models`` in the order of its variants."""

    route: Route
    table: SlotTable
    records: tuple[ModelRecord, ...]
    models: tuple[Model, ...]

    def choose(self, key: bytes) -> tuple[Variant, Model]:
        """Return the variant that answers for a routing key, and its model."""
        index = self.table.index(key)
        return self.route.variants[index], self.models[index]


@dataclass(frozen=True, slots=True)
class FollowFailure:
    """A revision that could not be loaded; the older one answers on."""

    route: Route
    error: UnskewError


class RouteFollower(Generic[Model]):
    """Follow the routes of all models in a registry.

    Parameters
    ----------
    registry
        Where the routes are.
    load
        Loads, verifies and warms the model of a record; called once per record while a route names it. An
        `UnskewError` from it keeps the model's old route, stands in ``failures``, and is tried again after
        ``retry_after_s``.
    """

    def __init__(
        self, registry: RouteSource, load: Callable[[ModelRecord], Model], *, retry_after_s: float = 5.0
    ) -> None:
        self._registry = registry
        self._load = load
        self._retry_after_s = retry_after_s
        self._head = -1
        self._retry_at = 0.0
        self.live: Mapping[str, LiveRoute[Model]] = {}
        self.failures: Mapping[str, FollowFailure] = {}

    def poll(self) -> tuple[str, ...]:
        """Catch up with the registry; return the models whose route was swapped, sorted.

        Costs one indexed read while nothing changes. One call at a time.
        """
        head = self._registry.head()
        if head == self._head and not self._retry_is_due():
            return ()
        routes = self._registry.routes()
        failures: dict[str, FollowFailure] = {}
        live = {model: self._follow(route, failures) for model, route in routes.items()}
        swapped = tuple(sorted(model for model, each in live.items() if each and each is not self.live.get(model)))
        self.live = {model: each for model, each in live.items() if each is not None}
        self.failures = failures
        self._head, self._retry_at = head, time.monotonic() + self._retry_after_s
        return swapped

    def _retry_is_due(self) -> bool:
        return bool(self.failures) and time.monotonic() >= self._retry_at

    def _follow(self, route: Route, failures: dict[str, FollowFailure]) -> LiveRoute[Model] | None:
        old = self.live.get(route.model)
        if old is not None and old.route == route:
            return old
        try:
            return self._compile(route, old)
        except UnskewError as error:
            failures[route.model] = FollowFailure(route, error)
            return old

    def _compile(self, route: Route, old: LiveRoute[Model] | None) -> LiveRoute[Model]:
        records = tuple(self._registry.get(route.model, variant.version) for variant in route.variants)
        loaded = dict(zip((record.record_hash for record in old.records), old.models, strict=True)) if old else {}
        models = tuple(
            loaded[record.record_hash] if record.record_hash in loaded else self._load(record) for record in records
        )
        return LiveRoute(route, SlotTable(route), records, models)
