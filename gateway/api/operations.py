"""Everything but predictions and events: health, metrics, documentation, what is registered and routed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from featurestore.definitions import FeatureService
from featurestore.foundation.clock import format_instant
from featurestore.foundation.errors import OnlineStoreError, UnskewError
from gateway.api.event_openapi import with_events
from gateway.api.openapi import with_predict
from gateway.api.wire import JSON, PROBLEM_JSON, as_request_error, problem, unforeseen
from gateway.errors import MethodNotAllowed, NotReady, RequestError, RequestInvalid, ResourceUnknown
from gateway.observability.metrics import CONTENT_TYPE, Measures
from gateway.registry.record import ModelRecord
from gateway.registry.registry import Registry
from gateway.registry.route import Route
from gateway.serving.predict import Predictor

_PATHS = "/livez, /readyz, /metrics, /docs, /openapi.json, /v1/models, /v1/models/{model}, /v1/routes/{model}"


def operations(
    predictor: Predictor,
    measures: Measures,
    registry: Callable[[], Registry],
    ping_store: Callable[[], None],
    refuse_still: Callable[[FeatureService], None],
) -> FastAPI:
    """Make the application of all routes but those of predictions and events.

    Parameters
    ----------
    registry
        Returns the open registry; `NotReady` before it is open.
    ping_store
        Returns if the online store answers, else raises `OnlineStoreError`; may block.
    refuse_still
        Raises `ViewNotFollowed` if a view of a service lacks commits of its source.
    """
    app = FastAPI(
        title="unskew",
        version=version("unskew"),
        summary="A prediction gateway over a feature store that cannot disagree with training",
    )
    _add_health(app, predictor, measures, ping_store, refuse_still)
    _add_registry(app, predictor, registry)
    _add_errors(app)
    made = app.openapi
    app.openapi = lambda: with_events(with_predict(made()))  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _add_health(
    app: FastAPI,
    predictor: Predictor,
    measures: Measures,
    ping_store: Callable[[], None],
    refuse_still: Callable[[FeatureService], None],
) -> None:
    @app.get("/livez", tags=["health"], summary="The process runs")
    async def livez() -> Response:
        return _json({"live": True})

    @app.get("/readyz", tags=["health"], summary="Models are loaded, and what the online store says")
    def readyz() -> Response:
        _refuse_unready(predictor)
        for service in [served.service for each in predictor.endpoints.values() for served in each.live.models]:
            refuse_still(service)
        revisions = {model: each.live.route.revision for model, each in sorted(predictor.endpoints.items())}
        told = {"ready": True, "route_revisions": revisions, "online_store": _store_says(ping_store)}
        return _json({**told, "stale": _stale(predictor)})

    @app.get("/metrics", tags=["health"], summary="Metrics in Prometheus' text format")
    async def metrics() -> Response:
        return Response(measures.exposition(), headers={"content-type": CONTENT_TYPE})


def _refuse_unready(predictor: Predictor) -> None:
    if predictor.admission.closed:
        raise NotReady("the gateway is stopping", mend="ask another gateway, or wait for the restart")
    lost = sorted(set(predictor.unloadable) - set(predictor.endpoints))
    if lost:
        raise NotReady(
            f"the route of model {lost[0]} cannot be loaded: {predictor.unloadable[lost[0]]}",
            mend="train on the definitions in force and promote that version; or restore the definitions, "
            "`unskew apply` and restart: `unskew doctor` names what differs",
        )
    if not predictor.endpoints:
        raise NotReady("no model has a route", mend="promote a version: unskew promote MODEL VERSION")


def _stale(predictor: Predictor) -> dict[str, str]:
    """Return why, for each model that answers by an older route than the registry's, the newer cannot be loaded."""
    failed, endpoints = predictor.unloadable, predictor.endpoints
    return {model: str(failed[model]) for model in sorted(failed) if model in endpoints}


def _store_says(ping_store: Callable[[], None]) -> str:
    try:
        ping_store()
    except OnlineStoreError as error:
        return str(error)
    return "ok"


def _add_registry(app: FastAPI, predictor: Predictor, registry: Callable[[], Registry]) -> None:
    @app.get("/v1/models", tags=["registry"], summary="Every registered model")
    def models() -> Response:
        return _json({"models": [_summary(registry(), model) for model in registry().models()]})

    @app.get("/v1/models/{model}", tags=["registry"], summary="A model: its route, its requests, its versions")
    def model_details(model: str) -> Response:
        route = registry().route(model)
        endpoint = predictor.endpoints.get(model)
        return _json(
            {
                "model": model,
                "route": None if route is None else _route(route),
                "served_revision": None if endpoint is None else endpoint.live.route.revision,
                "request": None if endpoint is None else endpoint.shape.describe(),
                "versions": [_record(record) for record in registry().versions(model)],
            }
        )

    @app.get("/v1/routes/{model}", tags=["registry"], summary="A model's route: variants, weights and shares")
    def route_details(model: str) -> Response:
        route = registry().route(model)
        if route is None:
            raise ResourceUnknown(f"model {model} has no route", mend=f"promote a version: unskew promote {model}")
        endpoint = predictor.endpoints.get(model)
        served = None if endpoint is None else endpoint.live.route.revision
        return _json({**_route(route), "served_revision": served}, {"etag": f'"{route.etag}"'})


def _summary(registry: Registry, model: str) -> dict[str, Any]:
    versions, route = registry.versions(model), registry.route(model)
    challenger = None if route is None else route.challenger
    return {
        "model": model,
        "owner": versions[-1].owner,
        "versions": len(versions),
        "latest": versions[-1].version,
        "champion": None if route is None else route.champion.version,
        "challenger": None if challenger is None else challenger.version,
    }


def _route(route: Route) -> dict[str, Any]:
    described = route.describe()
    del described["runs"], described["salt"]
    return {**described, "shares": route.shares()}


def _record(record: ModelRecord) -> dict[str, Any]:
    described = record.describe()
    described["created_at"] = format_instant(described.pop("created_at_us"))
    return {**described, "record_hash": record.record_hash}


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(UnskewError)
    def known(request: Request, error: UnskewError) -> Response:
        return _problem(as_request_error(error), request)

    @app.exception_handler(HTTPException)
    def framework(request: Request, error: HTTPException) -> Response:
        return _problem(_of_framework(request, error), request)

    @app.exception_handler(Exception)
    def unknown(request: Request, _error: Exception) -> Response:
        return _problem(unforeseen(f"{request.method} {request.url.path}"), request)


def _of_framework(request: Request, error: HTTPException) -> RequestError:
    path = request.url.path
    if error.status_code == 405:
        allowed = (error.headers or {}).get("allow", "GET")
        return MethodNotAllowed(
            f"{request.method} is not allowed on {path}", mend=f"use {allowed}", headers=(("allow", allowed),)
        )
    if error.status_code == 404:
        return ResourceUnknown(
            f"there is nothing at {path}",
            mend=f"use {_PATHS}, or POST to /v1/models/{{model}}/predict or /v1/events/{{source}}",
        )
    return RequestInvalid(str(error.detail), where=path, mend="see /docs")


def _problem(error: RequestError, request: Request) -> Response:
    headers = {"content-type": PROBLEM_JSON.decode(), **dict(error.headers)}
    return Response(problem(error, request.url.path), status_code=error.status, headers=headers)


def _json(content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), headers={"content-type": JSON.decode(), **(headers or {})})
