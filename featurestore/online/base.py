"""What every online store does, whoever keeps the bytes.

An online store is a map from bytes to bytes with one rule: *a put never replaces newer bytes by older ones*. The age is
in the bytes themselves: every stored value begins with an envelope (`featurestore.online.envelope`) that holds a
**stamp**, the pair (commit sequence s, as-of instant T), compared in that order. Values come in pairs, a **row** and
the **log** behind it, whose keys share a hash tag; a pair is replaced as a whole or not at all.

Stores do not look further into the bytes; `row_codec` and `event_log` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Put:
    """A row and the log behind it, to be stored together.

    Attributes
    ----------
    row_key, log_key
        Keys made by `featurestore.online.keys`, with the same hash tag.
    row
        A sealed row. Its stamp decides whether the pair is newer than what is stored.
    log
        A sealed log, or ``None`` to remove the stored one.
    """

    row_key: bytes
    row: bytes
    log_key: bytes
    log: bytes | None


@dataclass(frozen=True, slots=True)
class PutReport:
    """What a `put_many` did.

    Attributes
    ----------
    written
        Pairs that are stored now as given; a pair of equal stamp is written again.
    kept_newer
        Pairs left alone because the stored row has a greater stamp.
    """

    written: int
    kept_newer: int


class OnlineReader(Protocol):
    """Read for the prediction path; one event loop, many requests at once."""

    async def fetch(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of ``keys`` in order, ``None`` where there is none, all as of one moment.

        A caller that is cancelled disturbs no other caller. Embedded stores never suspend.

        Raises
        ------
        OnlineStoreUnavailable
            If the store cannot be reached or does not answer in time.
        """
        ...

    async def aclose(self) -> None:
        """Release what the reader holds; harmless when repeated."""
        ...


class OnlineStore(Protocol):
    """Read and write current values; safe for threads."""

    @property
    def name(self) -> str:
        """The store's URL without its password, as errors and reports name it."""
        ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of ``keys`` in order, ``None`` where there is none, all as of one moment."""
        ...

    def put_many(self, puts: Sequence[Put]) -> PutReport:
        """Store pairs; where several have one row key the greatest stamp stays.

        Each pair is atomic. When the call returns all are stored (LMDB: synced to disk; Redis: as durable as the
        server is configured). A crash before that leaves some pairs stored, each of them whole.
        """
        ...

    def remove_view(self, view_digest: str) -> None:
        """Remove all that is stored of a view, by its digest; harmless when there is nothing.

        Where this takes several steps, nobody's row goes first and the mark of the history last: a store that was left
        in between is one that was not materialised, and of which it is still known whose rows it has.
        """
        ...

    def ping(self) -> None:
        """Return if the store answers.

        Raises
        ------
        OnlineStoreUnavailable
            If it does not.
        """
        ...

    def risk(self) -> str:
        """Return what in the store's configuration may lose rows that it acknowledged; empty if nothing is known."""
        ...

    def reader(self) -> OnlineReader:
        """Return a reader over the same contents, for one event loop."""
        ...

    def close(self) -> None:
        """Release what the store holds; harmless when repeated."""
        ...
