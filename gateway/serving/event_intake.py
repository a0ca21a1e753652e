"""The path of events, without a transport: check, append to the stream, keep what was refused, answer.

Requests that wait at the same moment share one append, so one sync of the disk; it runs in a thread, and one at a time
for a source. Nothing is answered before the stream has synced what it took and the dead letters what was refused. What
may wait is bounded, in requests and in bytes: a disk that stalls makes requests fail, not memory grow.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from featurestore.ingestion.accept import EventForm
from featurestore.ingestion.dead_letter import DeadLetters
from featurestore.ingestion.errors import StreamUnavailable
from featurestore.ingestion.stream.base import EventStream
from gateway.errors import EventsRefused, Overloaded, ResourceUnknown
from gateway.observability.metrics import EVENT_BACKLOG, EVENTS, Measures, Reading
from gateway.serving.admission import Admission
from gateway.serving.append_round import AppendRound, Batch, Kept
from gateway.serving.event_request import EventRequest

INLINE_BYTES = 16_384
"""Bodies up to this size are read on the event loop; larger ones in a thread, so that predictions need not wait."""
BACKLOG_INTERVAL_S = 1.0
"""How often the backlog is looked at for the metrics."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a request's events.

    Attributes
    ----------
    accepted
        How many are in the stream, synced.
    rejected
        For each other one: ``row`` (from 0), ``pointer``, ``reason``, ``mend`` and ``dead_letter_id``, which is None
        where it was not kept, as the dead letters are full.
    unread
        Names that events had and the source's schema does not.
    without_key
        How many of those accepted no view has a key of: no feature will count them.
    """

    source: str
    accepted: int
    rejected: list[dict[str, Any]]
    unread: tuple[str, ...]
    without_key: int = 0

    def described(self) -> dict[str, Any]:
        """Return counts and rows for JSON; ``without_key`` where there are such."""
        told = {"accepted": self.accepted, "rejected": self.rejected, "unread": list(self.unread)}
        return {**told, "without_key": self.without_key} if self.without_key else told


class EventIntake:
    """Take events of any source.

    Parameters
    ----------
    forms
        How events of each source are read, by its name.
    open_stream
        Opens the stream of a source; called in a thread, once, at the first event.
    in_flight_limit_bytes
        Bytes of bodies that may be held at once.

    Attributes
    ----------
    held_bytes
        Bytes of bodies that are held now.
    """

    def __init__(
        self,
        forms: Mapping[str, EventForm],
        open_stream: Callable[[str], EventStream],
        dead_letters: DeadLetters,
        measures: Measures,
        *,
        in_flight_limit_requests: int,
        in_flight_limit_bytes: int,
    ) -> None:
        self.admission = Admission(in_flight_limit_requests)
        self._forms = forms
        self._measures = measures
        self._bytes_limit = in_flight_limit_bytes
        self.held_bytes = 0
        self._threads = ThreadPoolExecutor(len(forms) + 2, thread_name_prefix="events")
        self._reading = asyncio.Semaphore(1)
        self._rounds = {
            name: AppendRound(name, partial(open_stream, name), dead_letters, measures, self._threads) for name in forms
        }
        self._backlogs: dict[str, int] = {}
        measures.watch(self._readings)

    @contextmanager
    def admitted(self) -> Iterator[Callable[[int], None]]:
        """Let a request in; the function given holds room for so many more bytes of it, until the block ends.

        Raises
        ------
        Overloaded
            If there are too many requests, or, by the function, too many bytes.
        """
        held = 0

        def hold(more: int) -> None:
            nonlocal held
            if self.held_bytes + more > self._bytes_limit:
                raise Overloaded(
                    f"{self.held_bytes} bytes of events wait to be taken in, and {self._bytes_limit} may",
                    mend="send them again after a second; if it lasts, look at unskew_event_append_seconds: "
                    "the disk or Redis may be slow",
                    headers=(("retry-after", "1"), ("connection", "close")),
                )
            self.held_bytes += more
            held += more

        with self.admission:
            try:
                yield hold
            finally:
                self.held_bytes -= held

    def known(self, source: str) -> bool:
        """Return whether there is such a source."""
        return source in self._forms

    def check_source(self, source: str) -> None:
        """Raise `ResourceUnknown`, with the nearest name, if there is no such source."""
        self._form(source)

    async def take(self, source: str, size_bytes: int, decode: Callable[[], EventRequest]) -> Taken:
        """Take the events of one request; they are durable when this returns.

        Parameters
        ----------
        decode
            Reads the body, of ``size_bytes``; called in a thread if it is large.

        Raises
        ------
        ResourceUnknown
            If there is no such source.
        EventsRefused
            If none of the events was accepted.
        BacklogLimit, StreamFailed
            If none was appended because too many wait, or the stream failed; then it is unknown whether any is there.
        RequestError
            What ``decode`` raises.
        """
        form = self._form(source)
        if size_bytes <= INLINE_BYTES:
            batch = read_batch(form, decode)
        else:
            async with self._reading:
                loop = asyncio.get_running_loop()
                batch = await loop.run_in_executor(self._threads, read_batch, form, decode)
        kept = await self._rounds[source].submit(batch)
        return self._taken(source, batch, kept)

    async def watch_backlogs(self) -> None:
        """Look at the backlog of every open stream, again and again, until cancelled; one that fails is not shown."""
        loop = asyncio.get_running_loop()
        while True:
            for name, appends in self._rounds.items():
                rows = await loop.run_in_executor(self._threads, _backlog_rows, appends)
                if rows is None:
                    self._backlogs.pop(name, None)
                else:
                    self._backlogs[name] = rows
            await asyncio.sleep(BACKLOG_INTERVAL_S)

    def close(self) -> None:
        """Wait for what is being appended, and close the streams; blocks."""
        self._threads.shutdown()
        for appends in self._rounds.values():
            appends.close()

    def _form(self, source: str) -> EventForm:
        form = self._forms.get(source)
        if form is not None:
            return form
        near = difflib.get_close_matches(source, self._forms, n=1)
        known = f"there is {', '.join(sorted(self._forms))}" if self._forms else "define one, and run unskew apply"
        raise ResourceUnknown(f"no source is called {source!r}", mend=f"did you mean {near[0]}?" if near else known)

    def _taken(self, source: str, batch: Batch, kept: Kept) -> Taken:
        self._measures.add(EVENTS, (source, "accepted"), batch.rows)
        self._measures.add(EVENTS, (source, "refused"), len(batch.refused))
        rejected = [
            {
                "row": row.position,
                "pointer": batch.place.format(row.position) + row.pointer,
                "reason": row.reason,
                "mend": row.mend,
                "dead_letter_id": letter or None,
            }
            for row, letter in zip(batch.refused, kept.dead_letters, strict=True)
        ]
        taken = Taken(source, batch.rows, rejected, batch.unread, batch.without_key)
        if batch.rows == 0:
            raise _refused(taken)
        return taken

    def _readings(self) -> list[Reading]:
        return [(EVENT_BACKLOG, (name,), float(rows)) for name, rows in self._backlogs.items()]


def read_batch(form: EventForm, decode: Callable[[], EventRequest]) -> Batch:
    """Read a request's body and hold its events against their source."""
    request = decode()
    reading = form.read(request.rows)
    numbered = [replace(row, position=request.numbers[row.position]) for row in reading.refused]
    refused = sorted([*request.unreadable, *numbered], key=lambda row: row.position)
    return Batch(request.place, reading.payload, reading.rows, refused, reading.unread, reading.without_key)


def _refused(taken: Taken) -> EventsRefused:
    first = taken.rejected[0]
    count = len(taken.rejected)
    what = first["reason"] if count == 1 else f"none of {count} events was accepted; the first: {first['reason']}"
    return EventsRefused(
        what,
        where=f"source {taken.source}",
        mend=first["mend"],
        pointer=first["pointer"],
        members=taken.described(),
    )


def _backlog_rows(appends: AppendRound) -> int | None:
    try:
        return appends.backlog_rows()
    except StreamUnavailable:
        return None
