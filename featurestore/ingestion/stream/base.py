"""What every event stream does, whoever keeps the bytes.

An event stream is the durable queue of one source. What is appended at once as one payload is an **entry**; a payload
is opaque here (`featurestore.ingestion.accept` makes and reads it), but its number of rows is known. Entries stand in
one order, that in which they were appended; a **position** names the place behind an entry. Positions of one stream
sort as texts in that order, and `""` stands before the first; their form is the stream's own.

An entry is *appended* until the program that owns the source says that it is in a commit (**committed**), and *trimmed*
once history holds it. What is appended and not yet committed is the **backlog**, counted in rows and bounded.

Whoever commits holds the source's **lease**: at most one at a time in the opinion of the stream, each with a greater
**epoch** than all before. A holder that was stopped for longer than its lease may still believe in it: what it
writes elsewhere is fenced by its epoch.

An append whose outcome is unknown (the connection broke, the process died) may have appended; sending it again may
append it twice. Events are told apart by their ids at the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

BEGINNING = ""
"""The position before the first entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A payload in its stream.

    Attributes
    ----------
    position
        The place behind it: reading after it gives the next entry.
    rows
        Rows in the payload, one or more.
    payload
        The bytes as they were appended.
    appended_us
        When they were, by the clock of who appended them; microseconds UTC. To measure a lag by, not to order by.
    """

    position: str
    rows: int
    payload: bytes
    appended_us: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """How far the committing is behind the appending; counts are since the stream began.

    Attributes
    ----------
    rows
        Rows appended and not yet committed.
    """

    rows: int
    appended_rows: int
    committed_rows: int


class Lease(Protocol):
    """The right to commit a source, until it is released or not renewed in time."""

    @property
    def epoch(self) -> int:
        """Greater than that of every earlier lease of the source."""
        ...

    def renew(self) -> bool:
        """Hold it for another ``ttl_s`` from now; false if it is lost, and then for good.

        Raises
        ------
        StreamUnavailable
            If the stream cannot say.
        """
        ...

    def release(self) -> None:
        """Give it up, so that another may have it at once; harmless when it is lost or released."""
        ...


class EventStream(Protocol):
    """The events of one source, between those who append them and the one who commits them; safe for threads."""

    @property
    def name(self) -> str:
        """What errors call it: the source, and where it is kept, without a password."""
        ...

    def append(self, payloads: Sequence[tuple[bytes, int]]) -> None:
        """Append payloads, each with its number of rows, in this order and with nothing between them.

        All are durable when it returns (Redis: as the server is configured, see `risk`). Payloads without rows are
        left out. A crash before it returns may leave the first few of them.

        Raises
        ------
        BacklogFull
            If they would make more rows wait than may: nothing was appended. The count is exact under races.
        StreamUnavailable
            If they could not be made durable; it is unknown whether they are there.
        """
        ...

    def read(self, after: str, rows_limit: int, wait_s: float) -> list[Entry]:
        """Return the durable entries after a position, in order, of at most ``rows_limit`` rows in all.

        An entry that is larger than the limit comes alone. Returns at once when there is one, else with nothing after
        ``wait_s`` seconds. Entries that are trimmed are passed over.

        Raises
        ------
        StreamReplaced
            If ``after`` is of another stream, which this one stands in the place of.
        StreamDamaged
            If the bytes of an entry are not those that were appended.
        StreamUnavailable
            If the stream cannot be read.
        """
        ...

    def commit(self, position: str) -> None:
        """Count the entries up to ``position`` as committed.

        For the backlog alone: whoever reads says where from. A repeat, and a position before the present one, change
        nothing.
        """
        ...

    def trim(self, position: str) -> None:
        """Forget entries up to ``position``, as history has them; a stream may keep some of them for a while."""
        ...

    def backlog(self) -> Backlog:
        """Return how many rows wait."""
        ...

    def acquire(self, owner: str, ttl_s: float, *, above: int = 0) -> Lease | None:
        """Take the source's lease for ``ttl_s`` seconds, or return ``None`` while somebody has it.

        Parameters
        ----------
        owner
            Who asks, for people to read.
        above
            The lease's epoch is greater than this too: the greatest known elsewhere, in case the stream began afresh.
        """
        ...

    def risk(self) -> str:
        """Return what in the stream's configuration may lose what it acknowledged; empty if nothing is known."""
        ...

    def close(self) -> None:
        """Release what the stream holds; harmless when repeated. A lease is released by itself."""
        ...
