"""Speak to Redis over one connection that waits: many commands in one go, answers in their order.

For the writer of commits, which sends hundreds of script calls that are already packed, and must know which connection
they went by. redis-py's pipeline takes several times as long to pack and to read them.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from itertools import islice
from typing import Any, cast

import hiredis

from featurestore.online.errors import OnlineStoreUnavailable
from featurestore.online.redis_address import RedisAddress

SEND_BYTES = 2**20
"""Commands sent before their answers are read: it bounds what waits on either side."""
TOGETHER_BYTES = 2**16
"""Commands in one transaction, which the server does without answering anybody else: about a millisecond of work."""
_RECEIVE_BYTES = 2**16
_MEND = "check that the server runs and the URL is right"


def packed(*command: str | bytes) -> bytes:
    """Write a command as Redis reads it; the driver's stub wants a tuple of one."""
    return cast("bytes", hiredis.pack_command(command))  # type: ignore[arg-type]


_MULTI, _EXEC = packed(b"MULTI"), packed(b"EXEC")


class RedisConnection:
    """One connection, opened when made; for one thread at a time.

    Parameters
    ----------
    address
        Where the server is; its ``socket_timeout`` bounds every send and receive.

    Raises
    ------
    OnlineStoreUnavailable
        If the server cannot be reached or refuses the password or database.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._reader = hiredis.Reader()
        try:
            self._socket = _connected(address)
        except OSError as error:
            raise self._unavailable(f"cannot connect to Redis: {error}") from error
        for answer in self.ask([packed(*command) for command in address.greeting]):
            if isinstance(answer, Exception):
                self.close()
                raise self._unavailable(f"cannot connect to Redis: {answer}")

    def ask(self, commands: Sequence[bytes]) -> list[Any]:
        """Send packed commands and return their answers; an answer that is an error is one of them.

        Raises
        ------
        OnlineStoreUnavailable
            If the connection is lost or an answer does not come in time. It is closed then, and the server may still
            do what it was sent.
        """
        answers: list[Any] = []
        try:
            for part in parted(commands, SEND_BYTES):
                self._socket.sendall(b"".join(part))
                answers += self._answers(len(part))
        except TimeoutError as error:
            self.close()
            raise self._unavailable(f"Redis did not answer within {self._address.socket_timeout:g} s") from error
        except (OSError, hiredis.ProtocolError) as error:
            self.close()
            raise self._unavailable(f"the connection to Redis was lost: {error}") from error
        return answers

    def ask_together(self, commands: Sequence[bytes]) -> list[Any]:
        """Send commands as `ask` does, in transactions of up to `TOGETHER_BYTES`.

        A server that syncs its log does so once for a transaction, and not once for each bit of it that it receives.
        A transaction that the server discards answers each of its commands with the reason.
        """
        groups = parted(commands, TOGETHER_BYTES)
        told = iter(self.ask([command for group in groups for command in (_MULTI, *group, _EXEC)]))
        return [answer for group in groups for answer in _executed(list(islice(told, len(group) + 2)))]

    def close(self) -> None:
        """End the connection; harmless when repeated."""
        self._socket.close()

    def _answers(self, count: int) -> list[Any]:
        answers: list[Any] = []
        while len(answers) < count:
            answer = self._reader.gets()
            if answer is not False:
                answers.append(answer)
                continue
            received = self._socket.recv(_RECEIVE_BYTES)
            if not received:
                raise ConnectionResetError("the server closed it")
            self._reader.feed(received)
        return answers

    def _unavailable(self, what: str) -> OnlineStoreUnavailable:
        return OnlineStoreUnavailable(what, where=self._address.name, mend=_MEND)


def _executed(told: list[Any]) -> list[Any]:
    """Return the answers to the commands of a transaction, from those to it and all that is in it."""
    if isinstance(told[-1], list):
        return told[-1]
    reason = next(answer for answer in told if isinstance(answer, hiredis.ReplyError))
    return [reason] * (len(told) - 2)


def _connected(address: RedisAddress) -> socket.socket:
    if address.unix_path is not None:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(address.socket_connect_timeout)
        connection.connect(address.unix_path)
    else:
        connection = socket.create_connection((address.host, address.port), address.socket_connect_timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if address.tls:
        context = ssl.create_default_context(cafile=address.ssl_ca_certs)
        connection = context.wrap_socket(connection, server_hostname=address.host)
    connection.settimeout(address.socket_timeout)
    return connection


def parted(commands: Sequence[bytes], part_bytes: int) -> list[list[bytes]]:
    """Part commands, in their order; no part has more than ``part_bytes`` but one of a single command."""
    parts: list[list[bytes]] = []
    room = 0
    for command in commands:
        if len(command) > room:
            parts.append([])
            room = part_bytes
        parts[-1].append(command)
        room -= len(command)
    return parts
