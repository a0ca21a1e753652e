"""``POST /v1/models/{model}/predict`` as a plain ASGI application: no framework on the prediction path."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.api.wire import JSON, PROBLEM_JSON, decode, encode, problem, unforeseen
from gateway.errors import MediaTypeUnsupported, MethodNotAllowed, RequestError, RequestTooLarge
from gateway.observability.metrics import REQUEST_SECONDS, REQUESTS, Histogram, Measures
from gateway.serving.predict import Predictor

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

_logger = logging.getLogger(__name__)
_PREFIX, _SUFFIX = "/v1/models/", "/predict"
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


def predicted_model(path: str) -> str | None:
    """Return the model that a path asks predictions of, None if it is no prediction path."""
    if not (path.startswith(_PREFIX) and path.endswith(_SUFFIX)):
        return None
    model = path[len(_PREFIX) : -len(_SUFFIX)]
    return model if model and "/" not in model else None


class ClientGone(Exception):
    """The client left before its request was whole."""


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
            request_id = _checked(scope)
            body = await self._body(receive)
            began = time.perf_counter()
            answer = encode(await self._predictor.predict(model, decode(body), request_id))
        except RequestError as error:
            await self._refuse(error, model, scope, send)
        except ClientGone:
            return
        except Exception:
            _logger.exception("unforeseen error on %s", scope["path"])
            await self._refuse(unforeseen(f"POST {scope['path']}"), model, scope, send)
        else:
            self._count(model, time.perf_counter() - began)
            await _respond(send, 200, JSON, answer)

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
        await _respond(send, error.status, PROBLEM_JSON, problem(error, scope["path"]), headers)

    async def _body(self, receive: Receive) -> bytes:
        message = await receive()
        body: bytes = message.get("body", b"")
        while message["type"] != "http.disconnect":
            if len(body) > self._body_limit:
                raise RequestTooLarge(
                    f"the body has more than {self._body_limit} bytes",
                    mend="send fewer rows at once, or raise [gateway] body_limit_bytes",
                    headers=(("connection", "close"),),
                )
            if not message.get("more_body", False):
                return body
            message = await receive()
            body += message.get("body", b"")
        raise ClientGone


def _checked(scope: Scope) -> str | None:
    """Check method and headers; return the request id if there is a printable one of at most 128 characters."""
    if scope["method"] != "POST":
        raise MethodNotAllowed(
            f"{scope['method']} is not allowed here", mend="send a POST", headers=(("allow", "POST"),)
        )
    request_id = None
    for name, value in scope["headers"]:
        if name == b"content-type":
            _check_content_type(value)
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise MediaTypeUnsupported(
                f"content-encoding {value.decode('latin-1')} is not supported", mend="send the body as it is"
            )
        elif name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            request_id = value.decode("ascii")
    return request_id


def _check_content_type(value: bytes) -> None:
    if value == JSON:
        return
    media_type, _, parameters = value.lower().partition(b";")
    charset = parameters.replace(b" ", b"").replace(b'"', b"")
    if media_type.strip() != JSON or charset not in (b"", b"charset=utf-8"):
        raise MediaTypeUnsupported(
            f"content-type {value.decode('latin-1')} is not supported",
            mend="send JSON in UTF-8, with content-type: application/json",
        )


async def _respond(send: Send, status: int, content_type: bytes, body: bytes, more: list[Header] | None = None) -> None:
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *(more or ())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
