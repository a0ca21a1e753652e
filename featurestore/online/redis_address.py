"""Read a Redis URL: ``redis://[user:password@]host[:port][/db]``, ``rediss://`` for TLS, ``unix:///path?db=``.

Options behind ``?``: ``socket_timeout`` and ``socket_connect_timeout`` in seconds, ``ssl_ca_certs`` (a file), and
``db`` for a Unix socket. An option that is not known is refused, not ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from featurestore.online.errors import OnlineUrlError

SCHEMES = ("redis", "rediss", "unix")
_SETTING = "setting online.url"
_EXAMPLE = "write it as redis://host:6379/0"
_OPTIONS: dict[str, Callable[[str], Any]] = {
    "socket_timeout": float,
    "socket_connect_timeout": float,
    "ssl_ca_certs": str,
    "db": int,
}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis server is, and how to speak to it; durations in seconds."""

    host: str = "127.0.0.1"
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = None
    tls: bool = False
    ssl_ca_certs: str | None = None
    unix_path: str | None = None
    socket_timeout: float = 2.0
    socket_connect_timeout: float = 2.0

    @property
    def name(self) -> str:
        """The URL without user and password."""
        if self.unix_path is not None:
            return f"unix://{self.unix_path}?db={self.db}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}/{self.db}"

    @property
    def greeting(self) -> list[tuple[str, ...]]:
        """The commands by which a connection begins: log in, choose the database, see that it answers."""
        questions: list[tuple[str, ...]] = []
        if self.password is not None:
            user = () if self.username is None else (self.username,)
            questions.append(("AUTH", *user, self.password))
        return [*questions, ("SELECT", str(self.db)), ("PING",)]


def parse_redis_url(url: str) -> RedisAddress:
    """Read a URL; errors do not repeat its password.

    Raises
    ------
    OnlineUrlError
        If it is not one, or has an option that is not known.
    """
    parts = urlsplit(url)
    try:
        port = parts.port or 6379
    except ValueError:
        raise OnlineUrlError(
            "the port of the Redis URL is not a number up to 65535", where=_SETTING, mend=_EXAMPLE
        ) from None
    given = _options(parts.query)
    credentials: dict[str, Any] = {
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
    }
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise OnlineUrlError(
                "the Redis URL names no socket", where=_SETTING, mend="write it as unix:///run/redis.sock?db=0"
            )
        return RedisAddress(unix_path=unquote(parts.path), **credentials, **given)
    if not parts.hostname:
        raise OnlineUrlError("the Redis URL names no host", where=_SETTING, mend=_EXAMPLE)
    database = _database(parts)
    if "db" in given:
        raise OnlineUrlError(
            "the Redis URL has an option 'db'", where=_SETTING, mend="write the database behind the port: " + _EXAMPLE
        )
    return RedisAddress(
        host=parts.hostname, port=port, db=database, tls=parts.scheme == "rediss", **credentials, **given
    )


def _database(parts: SplitResult) -> int:
    text = parts.path.strip("/")
    if text and not text.isdecimal():
        raise OnlineUrlError(f"the Redis URL's database {text!r} is not a number", where=_SETTING, mend=_EXAMPLE)
    return int(text or 0)


def _options(query: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for option, value in parse_qsl(query, keep_blank_values=True):
        if option not in _OPTIONS:
            raise OnlineUrlError(
                f"the Redis URL has an option {option!r}, which is not known",
                where=_SETTING,
                mend=f"use one of {', '.join(_OPTIONS)}",
            )
        try:
            given[option] = _OPTIONS[option](value)
        except ValueError:
            raise OnlineUrlError(
                f"option {option!r} of the Redis URL is {value!r}", where=_SETTING, mend="give a number"
            ) from None
    return given
