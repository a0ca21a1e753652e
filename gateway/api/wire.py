"""Bytes to JSON and back, and errors as RFC 9457 problem details."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson

from featurestore.foundation.errors import UnskewError
from gateway.errors import ModelUnknown, RequestError, RequestNotJson, ResourceUnknown
from gateway.serving.predict import Prediction

JSON = b"application/json"
PROBLEM_JSON = b"application/problem+json"


def decode(body: bytes) -> Any:
    """Read a body as JSON, UTF-8.

    Of a name that an object holds twice the last value counts. More than 1,024 levels are refused.

    Raises
    ------
    RequestNotJson
        Naming line and column.
    """
    if not body:
        raise RequestNotJson("the body is empty", mend="send a JSON object, with content-type application/json")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestNotJson(
            f"the body is not JSON: {error.msg}: line {error.lineno} column {error.colno}",
            mend="mend the body there; names and texts stand in double quotes, in UTF-8",
        ) from None


def encode(prediction: Prediction) -> bytes:
    """Write an answer: the row itself for a single request, ``{"model", "predictions"}`` for a batch."""
    if prediction.single:
        return orjson.dumps(prediction.rows[0])
    return orjson.dumps({"model": prediction.model, "predictions": prediction.rows})


def problem(error: RequestError, instance: str) -> bytes:
    """Write an error as problem details.

    ``detail``, ``where`` and ``mend`` are what it says in parts, ``error`` the whole in one string; ``pointer`` is
    there when one part of the body is at fault, and what the kind of error has beside these.
    """
    details: dict[str, Any] = {
        "type": f"urn:unskew:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.what,
        "instance": instance,
        "code": error.code,
        "error": str(error),
        "where": error.where,
        "pointer": error.pointer,
        "mend": error.mend,
        **error.members,
    }
    return orjson.dumps({name: value for name, value in details.items() if value is not None})


def as_request_error(error: UnskewError) -> RequestError:
    """Return an error of a lower room as one with a status."""
    if isinstance(error, RequestError):
        return error
    kind = ResourceUnknown if isinstance(error, ModelUnknown) else _Internal
    return kind(error.what, where=error.where, mend=error.mend)


def unforeseen(request: str) -> RequestError:
    """Return what a client is told of a bug: that it happened, and where the details are."""
    return _Internal(
        "the gateway met an error that it did not foresee",
        where=request,
        mend="look for the traceback in the gateway's log, and report it",
    )


class _Internal(RequestError):
    """Something failed that is not the request's fault."""

    code = "internal"
    status = 500
    title = HTTPStatus.INTERNAL_SERVER_ERROR.phrase
