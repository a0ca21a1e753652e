"""One request and its answer over plain ASGI: what the routes in front of the framework share."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from gateway.errors import MediaTypeUnsupported, MethodNotAllowed, RequestTooLarge

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]
Hold = Callable[[int], None]

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class ClientGone(Exception):
    """The client left before its request was whole."""


def named_between(path: str, prefix: str, suffix: str = "") -> str | None:
    """Return the one path segment between two fixed parts, None if the path is not of that form."""
    if not (path.startswith(prefix) and path.endswith(suffix)):
        return None
    name = path[len(prefix) : len(path) - len(suffix)]
    return name if name and "/" not in name else None


def check_post(scope: Scope) -> None:
    """Raise `MethodNotAllowed` unless the request is a POST."""
    if scope["method"] != "POST":
        raise MethodNotAllowed(
            f"{scope['method']} is not allowed here", mend="send a POST", headers=(("allow", "POST"),)
        )


def media_type(scope: Scope, accepted: Iterable[bytes]) -> bytes:
    """Return the body's media type, one of those accepted; the first of them where none is named.

    Raises
    ------
    MediaTypeUnsupported
        If it is another, not UTF-8, or encoded.
    """
    known = tuple(accepted)
    found = known[0]
    for name, value in scope["headers"]:
        if name == b"content-type":
            found = value if value in known else _plain_media_type(value, known)
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise MediaTypeUnsupported(
                f"content-encoding {value.decode('latin-1')} is not supported", mend="send the body as it is"
            )
    return found


def request_id(scope: Scope) -> str | None:
    """Return what the caller calls the request, if that is printable and of at most 128 characters."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            text: str = value.decode("ascii")
            return text
    return None


async def read_body(receive: Receive, limit_bytes: int, mend: str, hold: Hold | None = None) -> bytes:
    """Read a request's body.

    Parameters
    ----------
    mend
        What to do about a body that is larger than the limit.
    hold
        Told the bytes of each part when it has come, before the next is asked for; may raise `Overloaded`.

    Raises
    ------
    RequestTooLarge, ClientGone
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise RequestTooLarge(
                f"the body has more than {limit_bytes} bytes", mend=mend, headers=(("connection", "close"),)
            )
        if hold is not None:
            hold(len(part))
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def respond(send: Send, status: int, content_type: bytes, body: bytes, more: list[Header] | None = None) -> None:
    """Send a whole answer."""
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *(more or ())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _plain_media_type(value: bytes, known: tuple[bytes, ...]) -> bytes:
    """Return a media type without its parameters, which may only say UTF-8."""
    plain, _, parameters = value.lower().partition(b";")
    charset = parameters.replace(b" ", b"").replace(b'"', b"")
    plain = plain.strip()
    if plain not in known or charset not in (b"", b"charset=utf-8"):
        names = " or ".join(each.decode() for each in known)
        raise MediaTypeUnsupported(
            f"content-type {value.decode('latin-1')} is not supported",
            mend=f"send JSON in UTF-8, with content-type: {names}",
        )
    return plain
