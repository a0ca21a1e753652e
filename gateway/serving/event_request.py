"""The events of one request, whichever of its forms it came in, and where each of them stood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from featurestore.ingestion.accept import RefusedRow
from featurestore.ingestion.event_lines import EventLines
from gateway.errors import RequestInvalid, RequestTooLarge

_LIST = "events"


@dataclass(frozen=True, slots=True)
class EventRequest:
    """The events of a request.

    Attributes
    ----------
    rows
        The events that could be read as JSON, in order.
    numbers
        Which of the request's rows each of them is, from 0.
    place
        RFC 6901 pointer to a row in the body, ``{}`` standing for its number; empty for lines, as each is a document.
    unreadable
        Rows that are not JSON.
    """

    rows: Sequence[Any]
    numbers: Sequence[int]
    place: str
    unreadable: Sequence[RefusedRow] = ()


def of_json(content: object, limit_rows: int) -> EventRequest:
    """Return the events of a JSON body: an object is one event, a list or ``{"events": [...]}`` several.

    Raises
    ------
    RequestInvalid, RequestTooLarge
    """
    if isinstance(content, list):
        return _listed(content, "/{}", limit_rows)
    if not isinstance(content, dict):
        raise RequestInvalid(
            "the body is no event", mend='send {"column": value, ...}, a list of such, or {"events": [...]}', pointer=""
        )
    if not isinstance(content.get(_LIST), list):
        return EventRequest([content], range(1), "")
    others = sorted(name for name in content if name != _LIST)
    if others:
        raise RequestInvalid(
            f"member {others[0]} beside {_LIST} is unknown", mend="leave it out", pointer=f"/{others[0]}"
        )
    return _listed(content[_LIST], f"/{_LIST}/{{}}", limit_rows)


def of_lines(lines: EventLines) -> EventRequest:
    """Return the events of a body of lines; blank lines are no rows.

    Raises
    ------
    RequestInvalid
        If there is no line at all.
    """
    if not lines.rows and not lines.unreadable:
        raise _empty()
    return EventRequest(lines.rows, lines.numbers, "", lines.unreadable)


def refuse_many(rows: int, limit_rows: int) -> None:
    """Raise `RequestTooLarge` if a request has more rows than it may."""
    if rows > limit_rows:
        raise RequestTooLarge(
            f"the request has {rows} events, and {limit_rows} are allowed",
            mend="send fewer at once, or raise [ingestion] request_limit_rows",
        )


def _listed(rows: list[Any], place: str, limit_rows: int) -> EventRequest:
    if not rows:
        raise _empty()
    refuse_many(len(rows), limit_rows)
    return EventRequest(rows, range(len(rows)), place)


def _empty() -> RequestInvalid:
    return RequestInvalid("there is no event in the body", mend="send at least one", pointer="")
