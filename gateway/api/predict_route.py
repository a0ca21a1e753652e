"""``POST /v1/models/{model}/predict`` as a plain ASGI application: no framework on the prediction path."""

from __future__ import annotations

import logging
import time

from gateway.api.exchange import (
    ClientGone,
    Receive,
    Scope,
    Send,
    check_post,
    media_type,
    named_between,
    read_body,
    request_id,
    respond,
)
from gateway.api.wire import JSON, PROBLEM_JSON, decode, encode, problem, unforeseen
from gateway.errors import RequestError
from gateway.observability.metrics import REQUEST_SECONDS, REQUESTS, Histogram, Measures
from gateway.serving.predict import Predictor

_logger = logging.getLogger(__name__)
_TOO_LARGE = "send fewer rows at once, or raise [gateway] body_limit_bytes"


def predicted_model(path: str) -> str | None:
    """Return the model that a path asks predictions of, None if it is no prediction path."""
    return named_between(path, "/v1/models/", "/predict")


class PredictRoute:
    """Answer predict requests over ASGI."""

    def __init__(self, predictor: Predictor, measures: Measures, *, body_limit_bytes: int) -> None:
        self._predictor = predictor
        self._measures = measures
        self._body_limit = body_limit_bytes
        self._durations: dict[str, Histogram] = {}

    async def answer(self, model: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens, with an answer or with problem details."""
        try:
            check_post(scope)
            media_type(scope, (JSON,))
            body = await read_body(receive, self._body_limit, _TOO_LARGE)
            began = time.perf_counter()
            answer = encode(await self._predictor.predict(model, decode(body), request_id(scope)))
        except RequestError as error:
            await self._refuse(error, model, scope, send)
        except ClientGone:
            return
        except Exception:
            _logger.exception("unforeseen error on %s", scope["path"])
            await self._refuse(unforeseen(f"POST {scope['path']}"), model, scope, send)
        else:
            self._count(model, time.perf_counter() - began)
            await respond(send, 200, JSON, answer)

    def _count(self, model: str, duration_s: float) -> None:
        histogram = self._durations.get(model)
        if histogram is None:
            histogram = self._durations[model] = self._measures.duration(REQUEST_SECONDS, (model,))
        histogram.observe(duration_s)
        self._measures.add(REQUESTS, (model, "200"))

    async def _refuse(self, error: RequestError, model: str, scope: Scope, send: Send) -> None:
        known = model if model in self._predictor.endpoints else ""
        self._measures.add(REQUESTS, (known, str(error.status)))
        headers = [(name.encode(), value.encode()) for name, value in error.headers]
        await respond(send, error.status, PROBLEM_JSON, problem(error, scope["path"]), headers)
