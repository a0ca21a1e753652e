"""The prediction path, without a transport: admit, parse, assign, ask, answer."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import NotReady, RequestError, ResourceUnknown
from gateway.observability.metrics import DEGRADED, IN_FLIGHT, PREDICTIONS, Measures, Reading
from gateway.serving.admission import Admission
from gateway.serving.ask import Answer
from gateway.serving.endpoint import Endpoint, Part


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to a request: an entry per row, in the request's order, as JSON has them."""

    model: str
    single: bool
    rows: list[dict[str, Any]]


class Predictor:
    """Answer predict requests.

    Attributes
    ----------
    endpoints
        The compiled routes by model; replaced as a whole, so that a request keeps one revision to its end.
    unloadable
        Models that have a route which could not be loaded, with the reason.
    """

    def __init__(self, *, batch_limit_rows: int, in_flight_limit_requests: int, measures: Measures) -> None:
        self.endpoints: Mapping[str, Endpoint] = {}
        self.unloadable: Mapping[str, Exception] = {}
        self.admission = Admission(in_flight_limit_requests)
        self._row_limit = batch_limit_rows
        self._measures = measures
        measures.watch(self._readings)

    async def predict(self, model: str, body: object, request_id: str | None = None) -> Prediction:
        """Answer one request.

        Parameters
        ----------
        model
            The model's name.
        body
            The request as JSON gives it, in either form of `gateway.serving.request`.
        request_id
            What the caller calls the request, for the log.

        Raises
        ------
        RequestError
            If it is not answered; all of its rows are, or none.
        """
        with self.admission:
            endpoint = self._endpoint(model)
            request = endpoint.shape.parse(body, self._row_limit)
            parts = endpoint.assign(request, request_id)
            waiting = [rounds.submit(ask) for rounds, ask, _ in parts]
            rows: list[dict[str, Any]] = [{}] * len(request.keys)
            for future, part in zip(waiting, parts, strict=True):
                answer = await future
                self._place(answer, part, rows)
                if isinstance(answer, Answer) and answer.logged is not None:
                    await asyncio.shield(answer.logged)
            return Prediction(model, request.single, rows)

    def _place(self, answer: Answer | RequestError, part: Part, rows: list[dict[str, Any]]) -> None:
        if isinstance(answer, RequestError):
            raise answer
        for position, entry in zip(part[2], _entries(answer), strict=True):
            rows[position] = entry
        record = answer.target.model.record
        self._measures.add(PREDICTIONS, (record.model, str(record.version), answer.target.variant), len(part[2]))
        if answer.degraded:
            self._measures.add(DEGRADED, (record.model,), len(part[2]))

    def _endpoint(self, model: str) -> Endpoint:
        endpoint = self.endpoints.get(model)
        if endpoint is not None:
            return endpoint
        if model in self.unloadable:
            raise NotReady(
                f"model {model} has a route that cannot be loaded: {self.unloadable[model]}",
                mend=f"train {model} on the definitions in force and promote that; `unskew doctor` names what differs",
            )
        near = difflib.get_close_matches(model, self.endpoints, n=1)
        known = f"there is {', '.join(sorted(self.endpoints))}" if self.endpoints else "promote one: unskew promote"
        raise ResourceUnknown(
            f"no model called {model!r} has a route here", mend=f"did you mean {near[0]}?" if near else known
        )

    def _readings(self) -> list[Reading]:
        return [(IN_FLIGHT, (), float(self.admission.in_flight))]


def _entries(answer: Answer) -> list[dict[str, Any]]:
    record = answer.target.model.record
    entries = [
        {
            "prediction_id": each,
            "model": record.model,
            "version": record.version,
            "variant": answer.target.variant,
            "route_revision": answer.target.revision,
            "as_of": answer.as_of,
            "outputs": {name: values[row] for name, values in answer.outputs.items()},
            "degraded": answer.degraded,
        }
        for row, each in enumerate(answer.prediction_ids)
    ]
    if answer.features is not None:
        for entry, features in zip(entries, answer.features, strict=True):
            entry["features"] = features
    return entries
