"""A loaded model with the features it reads: checked against the definitions that are loaded here."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from featurestore.catalog.catalog import Catalog
from featurestore.definitions import FeatureService
from gateway.errors import ModelLoadError, RequestError
from gateway.inference.model_pool import LoadedModel, ModelPool
from gateway.registry.record import ModelRecord
from gateway.serving.ask import Answer, Ask
from gateway.serving.coalescer import Coalescer
from gateway.serving.prediction_round import PredictionRound

Rounds = Coalescer[Ask, Answer | RequestError]


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A model, its feature service, and the rounds in which requests for that service are answered."""

    loaded: LoadedModel
    service: FeatureService
    rounds: Rounds


class ModelLoader:
    """Load what a route names; `gateway.routing.follower.RouteFollower` calls it, outside the event loop.

    Parameters
    ----------
    open_round
        Makes the round of a service: `PredictionRound` over the open store and log. Models of one service share it.
    """

    def __init__(
        self, pool: ModelPool, catalog: Catalog, open_round: Callable[[FeatureService], PredictionRound]
    ) -> None:
        self._pool = pool
        self._catalog = catalog
        self._open_round = open_round
        self._rounds: dict[str, Rounds] = {}

    def load(self, record: ModelRecord) -> ServedModel:
        """Return the model of a record, ready to answer.

        Raises
        ------
        ModelLoadError
            If the service it was trained on is not among the loaded definitions, or is another revision of it, or the
            file does not fit the record.
        ArtifactChanged
            If the file is gone or altered.
        """
        service = self._service(record)
        loaded = self._pool.load(record)
        rounds = self._rounds.get(record.service_digest)
        if rounds is None:
            rounds = self._rounds[record.service_digest] = Coalescer(self._open_round(service).answer)
        return ServedModel(loaded, service, rounds)

    def _service(self, record: ModelRecord) -> FeatureService:
        where = f"model {record.model} version {record.version}"
        service = self._catalog.services.get(record.service)
        if service is None:
            near = difflib.get_close_matches(record.service, self._catalog.services, n=1)
            hint = f" (there is {near[0]})" if near else ""
            raise ModelLoadError(
                f"feature service {record.service}, which it reads, is not defined{hint}",
                where=where,
                mend="restart the gateway, if it was defined since it started; else define it again as it was, or "
                "promote a version trained on present definitions",
            )
        if service.digest != record.service_digest:
            raise ModelLoadError(
                f"it was trained on another revision of feature service {record.service}: "
                f"{record.service_digest[:12]}, and {service.digest[:12]} is defined now",
                where=where,
                mend="restart the gateway, if definitions were applied since it started; else run `unskew train` on "
                f"the present definitions, or restore those of {record.service_digest[:12]}",
            )
        return service
