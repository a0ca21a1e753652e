"""The body of an events request: JSON, or a line of JSON for each event; and its answer."""

from __future__ import annotations

import orjson

from featurestore.ingestion.event_lines import read_lines
from gateway.api.wire import JSON, decode
from gateway.serving.event_intake import Taken
from gateway.serving.event_request import EventRequest, of_json, of_lines, refuse_many

NDJSON = b"application/x-ndjson"
MEDIA_TYPES = (JSON, NDJSON, b"application/jsonl", b"application/ndjson")


def decode_events(media_type: bytes, body: bytes, limit_rows: int) -> EventRequest:
    """Read the events of a body.

    Of a body of lines, each is read by itself: one that is not JSON is a refused row, not a refused request.

    Raises
    ------
    RequestNotJson, RequestInvalid, RequestTooLarge
    """
    if media_type == JSON:
        return of_json(decode(body), limit_rows)
    lines = [line for line in body.split(b"\n") if line.strip()]
    refuse_many(len(lines), limit_rows)
    return of_lines(read_lines(enumerate(lines)))


def encode_taken(taken: Taken) -> bytes:
    """Write the answer to a request of which at least one event was accepted."""
    return orjson.dumps({"source": taken.source, **taken.described()})
