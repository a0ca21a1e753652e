"""The events route as OpenAPI describes it, though FastAPI does not serve it."""

from __future__ import annotations

from typing import Any

from gateway.api.openapi import PROBLEM

EVENTS_PATH = "/v1/events/{source}"

_EVENT: dict[str, Any] = {
    "type": "object",
    "title": "One event",
    "description": "Value by column of the source's schema, as docs/http-api.md writes values. Identity, event "
    "timestamp and tombstone are required; other columns may be null or left out; names that the schema lacks are "
    "not read.",
    "additionalProperties": True,
}
_EVENTS: dict[str, Any] = {"type": "array", "title": "Several events", "minItems": 1, "items": _EVENT}
_WRAPPED: dict[str, Any] = {
    "type": "object",
    "title": "Several events, by name",
    "required": ["events"],
    "additionalProperties": False,
    "properties": {"events": _EVENTS},
}
_REJECTED: dict[str, Any] = {
    "type": "object",
    "required": ["row", "pointer", "reason", "mend", "dead_letter_id"],
    "properties": {
        "row": {"type": "integer", "minimum": 0, "description": "Which of the request's events; blank lines are none."},
        "pointer": {"type": "string", "description": "RFC 6901, into the body; into the line, of a body of lines."},
        "reason": {"type": "string"},
        "mend": {"type": "string"},
        "dead_letter_id": {
            "type": ["string", "null"],
            "description": "For `unskew dead-letters`; null where it was not kept, as there are too many of them.",
        },
    },
}
_COUNTS: dict[str, Any] = {
    "accepted": {"type": "integer", "minimum": 0, "description": "Events that are synced to the stream."},
    "rejected": {"type": "array", "items": _REJECTED},
    "unread": {"type": "array", "items": {"type": "string"}, "description": "Names that the schema lacks; 20 at most."},
    "without_key": {
        "type": "integer",
        "minimum": 1,
        "description": "Accepted events in which the key of every view is null, so that no feature counts them; left "
        "out if there are none.",
    },
}
_TAKEN: dict[str, Any] = {
    "type": "object",
    "title": "What became of the events",
    "required": ["source", "accepted", "rejected", "unread"],
    "properties": {"source": {"type": "string"}, **_COUNTS},
}
_NONE_TAKEN: dict[str, Any] = {
    "allOf": [
        PROBLEM,
        {"type": "object", "properties": _COUNTS, "description": "The counts and rows if each event was refused."},
    ]
}
EVENT_ERRORS = {
    400: "The body is not JSON.",
    404: "There is no such source.",
    405: "Not a POST.",
    413: "Too many bytes or events.",
    415: "Neither JSON nor lines of JSON in UTF-8, or encoded.",
    422: "There is no event in the body, or each of them was refused.",
    429: "Too many events wait for the ingest program, or requests are in work: none was kept. See Retry-After.",
    500: "The gateway met a bug.",
    503: "The stream or the dead letters cannot be written: send all again; or it is stopping.",
}


def with_events(openapi: dict[str, Any]) -> dict[str, Any]:
    """Add the events route to an OpenAPI document; return it."""
    problems = {
        str(status): {
            "description": meaning,
            "content": {"application/problem+json": {"schema": _NONE_TAKEN if status == 422 else PROBLEM}},
        }
        for status, meaning in EVENT_ERRORS.items()
    }
    lines = {"type": "string", "description": "An event on each line."}
    openapi.setdefault("paths", {})[EVENTS_PATH] = {
        "post": {
            "summary": "Send events",
            "description": "Answers when the accepted events are synced to disk. Events with one id are versions of "
            "one event: the one sent last counts. The newest version sent again changes nothing.",
            "operationId": "send_events",
            "tags": ["events"],
            "parameters": [{"name": "source", "in": "path", "required": True, "schema": {"type": "string"}}],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": {"oneOf": [_EVENT, _EVENTS, _WRAPPED]}},
                    "application/x-ndjson": {"schema": lines},
                },
            },
            "responses": {
                "200": {
                    "description": "At least one event was accepted; look whether some were rejected.",
                    "content": {"application/json": {"schema": _TAKEN}},
                },
                **problems,
            },
        }
    }
    return openapi
