"""``POST /v1/events/{source}`` as a plain ASGI application, in front of the framework as predictions are."""

from __future__ import annotations

import logging

from gateway.api.event_wire import MEDIA_TYPES, decode_events, encode_taken
from gateway.api.exchange import (
    ClientGone,
    Receive,
    Scope,
    Send,
    check_post,
    media_type,
    named_between,
    read_body,
    respond,
)
from gateway.api.wire import JSON, PROBLEM_JSON, problem, unforeseen
from gateway.errors import BacklogLimit, Overloaded, RequestError
from gateway.observability.metrics import EVENT_REQUESTS, EVENTS_SHED, Measures
from gateway.serving.event_intake import EventIntake, Taken

_logger = logging.getLogger(__name__)
_TOO_LARGE = "send fewer events at once, or raise [ingestion] body_limit_bytes"


def event_source(path: str) -> str | None:
    """Return the source that a path takes events of, None if it is no such path."""
    return named_between(path, "/v1/events/")


class EventsRoute:
    """Answer events requests over ASGI."""

    def __init__(
        self, intake: EventIntake, measures: Measures, *, body_limit_bytes: int, request_limit_rows: int
    ) -> None:
        self._intake = intake
        self._measures = measures
        self._body_limit = body_limit_bytes
        self._row_limit = request_limit_rows

    async def answer(self, source: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens; 200 only once its accepted events are synced."""
        try:
            taken = await self._take(source, scope, receive)
        except RequestError as error:
            await self._refuse(error, source, scope, send)
        except ClientGone:
            return
        except Exception:
            _logger.exception("unforeseen error on %s", scope["path"])
            await self._refuse(unforeseen(f"POST {scope['path']}"), source, scope, send)
        else:
            self._measures.add(EVENT_REQUESTS, (source, "200"))
            await respond(send, 200, JSON, encode_taken(taken))

    async def _take(self, source: str, scope: Scope, receive: Receive) -> Taken:
        check_post(scope)
        self._intake.check_source(source)
        kind = media_type(scope, MEDIA_TYPES)
        with self._intake.admitted() as hold:
            body = await read_body(receive, self._body_limit, _TOO_LARGE, hold)
            return await self._intake.take(source, len(body), lambda: decode_events(kind, body, self._row_limit))

    async def _refuse(self, error: RequestError, source: str, scope: Scope, send: Send) -> None:
        known = source if self._intake.known(source) else ""
        self._measures.add(EVENT_REQUESTS, (known, str(error.status)))
        if isinstance(error, BacklogLimit | Overloaded):
            reason = "backlog" if isinstance(error, BacklogLimit) else "in_flight"
            self._measures.add(EVENTS_SHED, (known, reason))
        headers = [(name.encode(), value.encode()) for name, value in error.headers]
        await respond(send, error.status, PROBLEM_JSON, problem(error, scope["path"]), headers)
