"""What every online store does, whoever keeps the bytes.

An online store is a map from bytes to bytes with one rule: *a put never replaces newer bytes by older ones*. The age is
in the bytes themselves: every stored value begins with an envelope (`featurestore.online.envelope`) that holds a
**stamp**, the pair (commit sequence s, as-of instant T), compared in that order. Values come in pairs, a **row** and
the **log** behind it, whose keys share a hash tag; a pair is replaced as a whole or not at all.

What a source's events do to current values is written by `OnlineStore.apply`, one **commit** at a time. A commit has a
stamp; each key it changes names the stamp it expects to find, so that no change is made twice, nor on top of something
else, and a repeat of the whole is harmless. Who may commit is decided by **epochs**: each owner of a source has a
greater one than the owner before. A **fence** in the store holds the owner's epoch, and what comes with a lesser one is
refused, so that an owner that was slow to notice its end changes nothing any more.

Stores do not look further into the bytes; `row_codec`, `event_log` and `index_value` do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

NO_PARTS: Mapping[bytes, bytes | None] = MappingProxyType({})


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


class KeyChange(NamedTuple):
    """What a commit does to one entity key of one view; stored whole or not at all.

    A tuple, as a commit makes hundreds: a frozen dataclass takes three times as long to build.

    Attributes
    ----------
    row_key, log_key
        Keys made by `featurestore.online.keys`, with the same hash tag.
    row
        The sealed row after the commit, with the commit's stamp.
    log
        A sealed log, or with ``append`` the sealed chunks to put behind the stored log.
    append
        Whether ``log`` is put behind what is stored, or replaces it.
    expected
        The packed stamp that the stored row must have; `featurestore.online.envelope.OLDEST` where there must be none.
    parts
        Further values of the log (`featurestore.online.tiles`), by keys of the same hash tag; ``None`` removes one.
    """

    row_key: bytes
    row: bytes
    log_key: bytes
    log: bytes
    append: bool
    expected: bytes
    parts: Mapping[bytes, bytes | None] = NO_PARTS


@dataclass(frozen=True, slots=True)
class CommitWrite:
    """One commit of a source, as `OnlineStore.apply` stores it.

    Attributes
    ----------
    source
        The source's name.
    epoch
        The writer's epoch: at least 1, greater for each owner of the source.
    stamp
        The commit's packed stamp, which all its rows have.
    before
        Values of the source's own (`featurestore.online.keys.SourceKeys`) stored before any change.
    changes
        The changes, of different keys.
    index
        Entries of the event index: key, value (`featurestore.online.index_value`), and for how many milliseconds the
        entry must be kept at least, 0 for ever.
    after
        Values of the source's own, stored when all the rest is; ``None`` removes one.
    """

    source: str
    epoch: int
    stamp: bytes
    before: Sequence[tuple[bytes, bytes]]
    changes: Sequence[KeyChange]
    index: Sequence[tuple[bytes, bytes, int]]
    after: Sequence[tuple[bytes, bytes | None]]


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

    def apply(self, write: CommitWrite) -> int:
        """Store a commit, and return how many changes were made now rather than by an earlier try.

        The order is that of the fields: ``before``, ``changes``, ``index``, ``after``; the last two only if every
        change was made, now or earlier. When the call returns all is stored (LMDB: in one synced transaction; Redis:
        as durable as the server is configured). A crash or an error before that leaves nothing of the commit (LMDB,
        memory), or a beginning of that order (Redis), each key in it whole with its row, log and parts. The same call
        again completes it, so a caller that does not know how a call ended repeats it.

        Raises
        ------
        CommitConflict
            If a stored row has neither the stamp its change expects nor that of the commit. Nothing of those keys is
            changed; others may be. Neither ``index`` nor ``after`` is stored.
        OwnershipLost
            If a greater epoch than the writer's is in a fence: nothing is stored where it stands.
        OnlineStoreUnavailable
            If the store cannot be reached, does not answer in time, or is full.
        """
        ...

    def raise_fence(self, source: str, epoch: int) -> None:
        """Let no lesser epoch than this write to a source's keys from the moment this returns; harmless when repeated.

        Raises
        ------
        OwnershipLost
            If a greater one is there already.
        OnlineStoreUnavailable
            If the store cannot be reached: some of the fences may stand.
        """
        ...

    def put_values(self, pairs: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Store values under keys as they are, ``None`` removing one: no stamps, no fences.

        For what has one writer by other means. Stored when it returns, as by `put_many`; a crash before that leaves
        nothing (LMDB, memory) or a beginning (Redis).
        """
        ...

    def sweep(self, now_us: int, limit: int) -> int:
        """Remove entries of event indexes that expired by ``now_us``, and return how many.

        Looks at up to ``limit`` entries, of any source, and goes on there the next time, round and round. Redis expires
        entries by itself: there it does nothing.
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
