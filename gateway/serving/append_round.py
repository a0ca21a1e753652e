"""The events of all requests that wait for one source, appended at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from featurestore.foundation.errors import UnskewError
from featurestore.ingestion.accept import RefusedRow
from featurestore.ingestion.dead_letter import DeadLetters, DeadRow
from featurestore.ingestion.errors import BacklogFull
from featurestore.ingestion.stream.base import EventStream
from gateway.errors import BacklogLimit, RequestError, StreamFailed
from gateway.observability.metrics import EVENT_APPEND_SECONDS, Measures
from gateway.serving.coalescer import Coalescer


@dataclass(frozen=True, slots=True)
class Batch:
    """A request's events, held against their source.

    Attributes
    ----------
    place
        See `gateway.serving.event_request.EventRequest`.
    payload
        The accepted ones, as the stream keeps them.
    rows
        How many they are.
    refused
        The others, numbered as the request has them.
    unread
        Names that the source's schema does not have.
    without_key
        How many of the accepted ones no view has a key of.
    """

    place: str
    payload: bytes
    rows: int
    refused: Sequence[RefusedRow]
    unread: tuple[str, ...]
    without_key: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """A batch that is durable: its accepted rows in the stream, its refused ones under these ids."""

    dead_letters: Sequence[str]


class AppendRound:
    """Append to the stream of one source.

    Parameters
    ----------
    open_stream
        Called in a thread, at the first round and after one that could not open it.
    threads
        Where blocking calls run.
    """

    def __init__(
        self,
        source: str,
        open_stream: Callable[[], EventStream],
        dead_letters: DeadLetters,
        measures: Measures,
        threads: Executor,
    ) -> None:
        self._source = source
        self._open_stream = open_stream
        self._stream: EventStream | None = None
        self._dead_letters = dead_letters
        self._threads = threads
        self._seconds = measures.duration(EVENT_APPEND_SECONDS, (source,))
        self._rounds: Coalescer[Batch, Kept | RequestError] = Coalescer(self._run)

    async def submit(self, batch: Batch) -> Kept:
        """Put a batch into the next round; it is durable when this returns.

        Raises
        ------
        BacklogLimit
            If too many rows wait already; nothing of the batch was appended.
        StreamFailed
            If the stream or the dead letters could not be written; what was sent may be there.
        """
        outcome = await self._rounds.submit(batch)
        if isinstance(outcome, RequestError):
            raise outcome
        return outcome

    def backlog_rows(self) -> int | None:
        """Return how many rows wait for the ingest program, None if the stream was not opened; blocks."""
        return None if self._stream is None else self._stream.backlog().rows

    def close(self) -> None:
        """Close the stream."""
        if self._stream is not None:
            self._stream.close()

    async def _run(self, batches: Sequence[Batch]) -> Sequence[Kept | RequestError]:
        began = time.perf_counter()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._keep, batches)
        finally:
            self._seconds.observe(time.perf_counter() - began)

    def _keep(self, batches: Sequence[Batch]) -> list[Kept | RequestError]:
        """Append what fits, then keep what was refused of it; of what does not fit nothing is kept: it comes again."""
        try:
            if self._stream is None:
                self._stream = self._open_stream()
            full = append_what_fits(self._stream, batches)
            staying = [batch for batch, error in zip(batches, full, strict=True) if error is None]
            letters = iter(self._keep_refused([row for batch in staying for row in batch.refused]))
        except UnskewError as error:
            raise StreamFailed(error.what, where=error.where, mend=error.mend) from error
        return [
            Kept([next(letters) for _ in batch.refused]) if error is None else error
            for batch, error in zip(batches, full, strict=True)
        ]

    def _keep_refused(self, rows: Sequence[RefusedRow]) -> Sequence[str]:
        dead = [DeadRow("refused", row.reason, row.pointer, row.mend, row.raw) for row in rows]
        return self._dead_letters.add(self._source, dead) if dead else ()


def append_what_fits(stream: EventStream, batches: Sequence[Batch]) -> list[BacklogLimit | None]:
    """Append as many of the first batches as the backlog has room for; return what is wrong with each other one.

    At first all at once; where they do not fit, the first half, and the other half only if that one fitted: a round of
    n batches costs about log n appends at worst.
    """
    payloads = [(batch.payload, batch.rows) for batch in batches if batch.rows]
    if not payloads:
        return [None] * len(batches)
    try:
        stream.append(payloads)
    except BacklogFull as error:
        if len(batches) == 1:
            return [_limit(error)]
        middle = len(batches) // 2
        first = append_what_fits(stream, batches[:middle])
        if any(first):
            return [*first, *([_limit(error)] * (len(batches) - middle))]
        return [*first, *append_what_fits(stream, batches[middle:])]
    return [None] * len(batches)


def _limit(error: BacklogFull) -> BacklogLimit:
    return BacklogLimit(error.what, where=error.where, mend=error.mend, headers=(("retry-after", "1"),))
