"""Keep the predictor's endpoints at the registry's routes, from a thread, and say which could not be loaded."""

from __future__ import annotations

import asyncio
import logging

from featurestore.foundation.errors import UnskewError
from gateway.errors import ModelLoadError
from gateway.observability.metrics import ROUTE_FAILED, ROUTE_REVISION, Measures, Reading
from gateway.routing.follower import RouteFollower
from gateway.serving.endpoint import Endpoint
from gateway.serving.predict import Predictor
from gateway.serving.served_model import ServedModel

_logger = logging.getLogger(__name__)


class RouteWatch:
    """Follow the registry and compile what it says.

    A route that cannot be loaded or compiled leaves the older one answering.
    """

    def __init__(self, follower: RouteFollower[ServedModel], predictor: Predictor, measures: Measures) -> None:
        self._follower = follower
        self._predictor = predictor
        self._told: dict[str, str] = {}
        measures.watch(self._readings)

    async def run(self, interval_s: float) -> None:
        """Refresh for ever, waiting ``interval_s`` between; ends when it is cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Catch up with the registry; blocks while models load. One call at a time.

        A registry that cannot be read leaves everything as it is.
        """
        try:
            self._follower.poll()
        except UnskewError as error:
            self._tell("registry", str(error))
            return
        self._told.pop("registry", None)
        failures: dict[str, UnskewError] = {name: each.error for name, each in self._follower.failures.items()}
        endpoints = {}
        for model, live in self._follower.live.items():
            endpoint = self._predictor.endpoints.get(model)
            if endpoint is None or endpoint.live is not live:
                try:
                    endpoint = Endpoint(live)
                except ModelLoadError as error:
                    failures[model] = error
            if endpoint is not None:
                endpoints[model] = endpoint
        self._tell_changes(endpoints, failures)
        self._predictor.endpoints, self._predictor.unloadable = endpoints, failures

    def _tell_changes(self, endpoints: dict[str, Endpoint], failures: dict[str, UnskewError]) -> None:
        for model, endpoint in endpoints.items():
            if endpoint is not self._predictor.endpoints.get(model):
                route = endpoint.live.route
                variants = ", ".join(f"{each.name} version {each.version}" for each in route.variants)
                _logger.info("model %s: route revision %d answers: %s", model, route.revision, variants)
        for model in set(self._told) - set(failures):
            del self._told[model]
        for model, error in failures.items():
            self._tell(model, str(error))

    def _tell(self, about: str, error: str) -> None:
        """Log an error once, not at every poll."""
        if self._told.get(about) != error:
            _logger.error("%s: its route cannot be followed: %s", about, error)
            self._told[about] = error

    def _readings(self) -> list[Reading]:
        endpoints, failed = self._predictor.endpoints, self._predictor.unloadable
        revisions: list[Reading] = [
            (ROUTE_REVISION, (name,), float(endpoint.live.route.revision)) for name, endpoint in endpoints.items()
        ]
        return revisions + [(ROUTE_FAILED, (name,), float(name in failed)) for name in {*endpoints, *failed}]
