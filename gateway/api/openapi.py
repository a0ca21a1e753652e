"""The prediction route as OpenAPI describes it, though FastAPI does not serve it."""

from __future__ import annotations

from typing import Any

PATH = "/v1/models/{model}/predict"

_MEMBERS: dict[str, Any] = {
    "keys": {
        "type": "object",
        "description": "Join key by name, one for each entity of the model's features.",
        "additionalProperties": {"type": ["integer", "string"]},
    },
    "inputs": {
        "type": "object",
        "description": "Request value by name; null where there is none.",
        "additionalProperties": {"type": ["number", "string", "boolean", "null"]},
    },
}
_OPTIONS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "explain": {"type": "boolean", "default": False, "description": "Add each feature's value, status and age."},
        "version": {"type": "integer", "minimum": 1, "description": "Ask this version, which must be on the route."},
    },
}
_ROW: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": _MEMBERS}
_SINGLE: dict[str, Any] = {
    "type": "object",
    "title": "One row",
    "additionalProperties": False,
    "properties": {**_MEMBERS, "options": _OPTIONS},
}
_BATCH: dict[str, Any] = {
    "type": "object",
    "title": "A batch",
    "additionalProperties": False,
    "required": ["rows"],
    "properties": {"rows": {"type": "array", "minItems": 1, "items": _ROW}, "options": _OPTIONS},
}
_FEATURE: dict[str, Any] = {
    "type": "object",
    "required": ["value", "status", "age_seconds"],
    "properties": {
        "value": {"description": "As read or computed; null where there is none."},
        "status": {"enum": ["present", "null", "missing", "expired"]},
        "age_seconds": {
            "type": ["number", "null"],
            "description": "From the latest event of the feature's view to as_of.",
        },
        "default": {"description": "What the model was given in place of the null."},
    },
}
_PREDICTION: dict[str, Any] = {
    "type": "object",
    "title": "A prediction",
    "required": [
        "prediction_id",
        "model",
        "version",
        "variant",
        "route_revision",
        "as_of",
        "outputs",
        "degraded",
    ],
    "properties": {
        "prediction_id": {"type": "string", "format": "uuid", "description": "UUIDv7"},
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "variant": {"enum": ["champion", "challenger"]},
        "route_revision": {"type": "integer"},
        "as_of": {"type": "string", "format": "date-time", "description": "The instant the features were read at."},
        "outputs": {"type": "object", "description": "The row's part of each output of the model."},
        "degraded": {"type": "boolean", "description": "The online store failed; every feature counted as missing."},
        "features": {"type": "object", "additionalProperties": _FEATURE},
    },
}
_PREDICTIONS: dict[str, Any] = {
    "type": "object",
    "title": "The predictions of a batch, in its order",
    "required": ["model", "predictions"],
    "properties": {"model": {"type": "string"}, "predictions": {"type": "array", "items": _PREDICTION}},
}
PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "error"],
    "properties": {
        "type": {"type": "string", "description": "urn:unskew:problem:<code>"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string"},
        "error": {"type": "string", "description": "where, detail and mend in one"},
        "where": {"type": "string"},
        "pointer": {"type": "string", "description": "RFC 6901"},
        "mend": {"type": "string"},
    },
}
ERRORS = {
    400: "The body is not JSON.",
    404: "No such model has a route, or no such version is on it.",
    405: "Not a POST.",
    413: "Too many bytes or rows.",
    415: "Not JSON in UTF-8, or encoded.",
    422: "A member is unknown, absent or of the wrong type; or features have no value and the service refuses that.",
    429: "Too many requests in work; see Retry-After.",
    500: "The model or a request feature failed, or the gateway met a bug.",
    503: "The online store does not answer or cannot give the features, the route cannot be loaded, or it is stopping.",
}


def with_predict(openapi: dict[str, Any]) -> dict[str, Any]:
    """Add the prediction route to an OpenAPI document; return it."""
    openapi.setdefault("paths", {})[PATH] = {
        "post": {
            "summary": "Predict",
            "description": "Answers one row, or a batch of rows in their order. All rows are answered, or none.",
            "operationId": "predict",
            "tags": ["predictions"],
            "parameters": [
                {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}},
                {
                    "name": "X-Request-Id",
                    "in": "header",
                    "required": False,
                    "description": "Logged with the predictions; other than 1 to 128 printable characters is ignored.",
                    "schema": {"type": "string"},
                },
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"oneOf": [_SINGLE, _BATCH]}}},
            },
            "responses": {
                "200": {
                    "description": "Answered.",
                    "content": {"application/json": {"schema": {"oneOf": [_PREDICTION, _PREDICTIONS]}}},
                }
            }
            | {
                str(status): {"description": meaning, "content": {"application/problem+json": {"schema": PROBLEM}}}
                for status, meaning in ERRORS.items()
            },
        }
    }
    return openapi
