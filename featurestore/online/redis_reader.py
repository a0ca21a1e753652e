"""Read from Redis on the prediction path: one connection, many reads under way at once.

Answers come in the order of the questions, so each read is a future in a queue. A caller that is cancelled leaves its
place in the queue to nobody: the answer is read and dropped, and no other caller gets it (redis-py's pooled
connections once did that: redis-py#2624). A read that stays unanswered too long ends the connection and every read on
it, as nothing behind an unanswered one can be answered.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

from featurestore.online.errors import OnlineStoreUnavailable
from featurestore.online.redis_address import RedisAddress
from featurestore.online.redis_connection import packed

_MEND = "check that the server runs and the URL is right"


class RedisReader:
    """Fetch values over one connection of one event loop, opened when first needed and again when lost.

    Parameters
    ----------
    address
        Where the server is; its ``socket_timeout`` bounds every read.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._connection: _Connection | None = None
        self._opening: asyncio.Task[_Connection] | None = None

    async def fetch(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of ``keys`` in order, as of one moment: one MGET, sent at once.

        A read whose connection is lost is asked once more on a new one.
        """
        if not keys:
            return []
        question = packed(b"MGET", *keys)
        connection = self._connection
        if connection is None or connection.lost:
            connection = await self._open()
        try:
            return await connection.ask(question)  # type: ignore[no-any-return]
        except _ConnectionLost:
            connection = await self._open()
        try:
            return await connection.ask(question)  # type: ignore[no-any-return]
        except _ConnectionLost as error:
            raise self._unavailable("the connection was lost twice") from error

    async def aclose(self) -> None:
        """Close the connection; reads under way fail."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()

    async def _open(self) -> _Connection:
        """Open a connection, once for all that wait for it; a caller that is cancelled does not end it."""
        if self._connection is not None and not self._connection.lost:
            return self._connection
        if self._opening is None:
            self._opening = asyncio.create_task(self._connect())
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)

    def _opened(self, task: asyncio.Task[_Connection]) -> None:
        self._opening = None
        if not task.cancelled() and task.exception() is None:
            self._connection = task.result()

    async def _connect(self) -> _Connection:
        address = self._address
        try:
            async with asyncio.timeout(address.socket_connect_timeout):
                connection = await self._transport()
                await connection.greet(address)
        except (OSError, TimeoutError, _ConnectionLost) as error:
            reason = str(error) or type(error).__name__
            raise self._unavailable(f"cannot connect to Redis: {reason}") from error
        return connection

    async def _transport(self) -> _Connection:
        loop, address = asyncio.get_running_loop(), self._address

        def protocol() -> _Connection:
            return _Connection(loop, address)

        if address.unix_path is not None:
            return (await loop.create_unix_connection(protocol, address.unix_path))[1]
        context = ssl.create_default_context(cafile=address.ssl_ca_certs) if address.tls else None
        return (await loop.create_connection(protocol, address.host, address.port, ssl=context))[1]

    def _unavailable(self, what: str) -> OnlineStoreUnavailable:
        return OnlineStoreUnavailable(what, where=self._address.name, mend=_MEND)


class _ConnectionLost(Exception):
    """The connection ended before the answer came; the question may be asked again."""


class _Connection(asyncio.Protocol):
    """A connection as a queue: questions out, answers in the same order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: RedisAddress) -> None:
        self.lost = False
        self._loop = loop
        self._name = address.name
        self._timeout_s = address.socket_timeout
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def ask(self, question: bytes) -> asyncio.Future[Any]:
        """Send a question now and return the future of its answer."""
        answer = self._loop.create_future()
        if self.lost or self._transport is None:
            answer.set_exception(_ConnectionLost())
            return answer
        self._waiting.append((answer, self._loop.time() + self._timeout_s))
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout_s, self._check_oldest)
        self._transport.write(question)
        return answer

    async def greet(self, address: RedisAddress) -> None:
        """Log in and choose the database; close when refused."""
        try:
            for question in address.greeting:
                await self.ask(packed(*question))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection at once."""
        self.lost = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; uvloop's is no subclass of `asyncio.Transport`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Give each whole answer to whoever waited longest."""
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not False:
                self._give(answer)
        except (hiredis.ProtocolError, IndexError):
            self._fail("the server does not speak Redis")

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail every read that waits."""
        self.lost = True
        if self._watch is not None:
            self._watch.cancel()
        reason = str(exc or "the server closed the connection")
        self._fail_all(lambda: _ConnectionLost(reason))

    def _give(self, answer: Any) -> None:
        waiting, _ = self._waiting.popleft()
        if waiting.done():
            return
        if isinstance(answer, hiredis.ReplyError):
            waiting.set_exception(self._unavailable(f"Redis says: {answer}"))
        else:
            waiting.set_result(answer)

    def _check_oldest(self) -> None:
        self._watch = None
        if not self._waiting:
            return
        _, deadline = self._waiting[0]
        if deadline > self._loop.time():
            self._watch = self._loop.call_at(deadline, self._check_oldest)
            return
        self._fail(f"Redis did not answer within {self._timeout_s:g} s")

    def _fail(self, what: str) -> None:
        self._fail_all(lambda: self._unavailable(what))
        self.close()

    def _fail_all(self, error: Callable[[], Exception]) -> None:
        """Give each its own error: a raised one collects the frames it passed."""
        while self._waiting:
            waiting, _ = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(error())

    def _unavailable(self, what: str) -> OnlineStoreUnavailable:
        return OnlineStoreUnavailable(what, where=self._name, mend=_MEND)
