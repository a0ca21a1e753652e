"""A model's route, compiled for requests: what they look like, and who answers which row."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from gateway.errors import ResourceUnknown
from gateway.routing.follower import LiveRoute
from gateway.routing.slot_table import routing_key
from gateway.serving.ask import Ask
from gateway.serving.request import PredictRequest, RequestShape, join_keys, request_inputs
from gateway.serving.served_model import Rounds, ServedModel
from gateway.serving.target import Target

Part = tuple[Rounds, Ask, Sequence[int]]
"""Where to submit an ask, the ask, and the positions of its rows in the request."""


class Endpoint:
    """One revision of a model's route.

    A row is routed by the champion's entity keys, ordered by the names of their join keys, so that neither the order of
    entities in a service nor its other features move a key to another variant.

    Raises
    ------
    ModelLoadError
        If champion and challenger cannot be served by one kind of request.
    """

    def __init__(self, live: LiveRoute[ServedModel]) -> None:
        self.live = live
        services = [served.service for served in live.models]
        self.shape = RequestShape(live.route.model, services)
        self._targets = [
            Target(variant.name, live.route.revision, served.loaded)
            for variant, served in zip(live.route.variants, live.models, strict=True)
        ]
        names = [field.name for field in self.shape.keys]
        self._routing = [names.index(name) for name in sorted(join_keys(services[0]))]
        self._picks = [self._pick(served) for served in live.models]

    def assign(self, request: PredictRequest, request_id: str | None) -> list[Part]:
        """Share a request's rows among the variants, by slot table or as ``options.version`` says."""
        rows = range(len(request.keys))
        if request.options.version is not None:
            return [self._part(self._named(request.options.version), rows, request, request_id)]
        if len(self._targets) == 1:
            return [self._part(0, rows, request, request_id)]
        members: dict[int, list[int]] = {}
        for row in rows:
            members.setdefault(self._choose(request.keys[row]), []).append(row)
        return [self._part(index, chosen, request, request_id) for index, chosen in members.items()]

    def _choose(self, keys: tuple[Any, ...]) -> int:
        key = routing_key([keys[at] for at in self._routing]) if self._routing else secrets.token_bytes(8)
        return self.live.table.index(key)

    def _part(self, index: int, rows: Sequence[int], request: PredictRequest, request_id: str | None) -> Part:
        keys = [request.keys[row] for row in rows]
        inputs = [request.inputs[row] for row in rows]
        picks = self._picks[index]
        if picks is not None:
            keys = [tuple(row[at] for at in picks[0]) for row in keys]
            inputs = [tuple(row[at] for at in picks[1]) for row in inputs]
        ask = Ask(self._targets[index], keys, inputs, request.options.explain, request_id)
        return self.live.models[index].rounds, ask, rows

    def _named(self, version: int) -> int:
        versions = [variant.version for variant in self.live.route.variants]
        if version in versions:
            return versions.index(version)
        raise ResourceUnknown(
            f"version {version} is not on the route",
            where=f"model {self.live.route.model}",
            mend=f"ask for {' or '.join(map(str, versions))}, or leave options.version out",
            pointer="/options/version",
        )

    def _pick(self, served: ServedModel) -> tuple[list[int], list[int]] | None:
        """Return which of the request's keys and inputs a variant takes, in its order; None if all, as they come."""
        keys = [field.name for field in self.shape.keys]
        inputs = [field.name for field in self.shape.inputs]
        wanted_keys, wanted_inputs = list(join_keys(served.service)), list(request_inputs(served.service))
        if (keys, inputs) == (wanted_keys, wanted_inputs):
            return None
        return [keys.index(name) for name in wanted_keys], [inputs.index(name) for name in wanted_inputs]
