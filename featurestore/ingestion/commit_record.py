"""What a source's online store remembers of its commits, so that any program can go on where one stopped.

================  =====================================================================================
``record``        the commit that was begun last (`CommitRecord`), written before its first change
``c:<s>``         the same of each commit s that history does not hold yet
``applied``       the commit that was finished last (`AppliedRecord`), written after its last change
================  =====================================================================================

While ``record`` is ahead of ``applied``, that one commit is half made: it is made again, from the same entries of the
stream, with the same s, the same instant and the same rows left out, so that every change of it is the change it was.
All values are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from featurestore.definitions.source import Source
from featurestore.foundation.canonical import canonical_bytes
from featurestore.offline.base import OfflineStore
from featurestore.online.base import OnlineStore
from featurestore.online.envelope import Stamp
from featurestore.online.keys import SourceKeys


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """One commit: which entries of the stream it is made of, and which of their rows it leaves out.

    Attributes
    ----------
    s, a_us
        Its sequence and its instant, from which on its rows can be seen, microseconds UTC.
    after, to
        Positions in the stream: the commit holds the entries after the one and up to the other.
    rows
        Rows of these entries, those left out included; a row's ordinal counts them from 0.
    duplicates, failed
        Ordinals of rows that equal the newest version of their event, and of rows on which a view's SQL fails.
    """

    s: int
    a_us: int
    after: str
    to: str
    rows: int
    duplicates: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()

    @property
    def stamp(self) -> Stamp:
        """What its rows and logs are stamped with."""
        return Stamp(self.s, self.a_us)

    def pack(self) -> bytes:
        """Return it as it is stored."""
        return canonical_bytes(asdict(self))


@dataclass(frozen=True, slots=True)
class AppliedRecord:
    """How far a source came, and what for.

    Attributes
    ----------
    s, a_us
        The last commit in the online store, and the last instant that was given out, microseconds UTC.
    to
        The position in the stream up to which its entries are in commits.
    views
        First 16 digits of the digests of the views that have every commit so far.
    index_columns, retention_us, filled_us
        The key columns that the event index holds, for how long an event stays correctable in it and in the views'
        logs, microseconds, and the instant at which it was filled; ``None`` while it is being filled.
    rows, duplicates, failed, beyond_retention
        How many rows were committed since the stream was opened, left out as duplicates or as failed, and were so
        late that a correction by them cannot be told; since the stream was opened, the last since the views were
        rebuilt.
    keys_cached, lag_us
        Logs held in memory, and how long the oldest row of the last commit had waited, microseconds.
    """

    s: int
    a_us: int
    to: str = ""
    views: tuple[str, ...] = ()
    index_columns: tuple[str, ...] = ()
    retention_us: int = 0
    filled_us: int | None = None
    rows: int = 0
    duplicates: int = 0
    failed: int = 0
    beyond_retention: int = 0
    keys_cached: int = 0
    lag_us: int = 0

    def pack(self) -> bytes:
        """Return it as it is stored."""
        return canonical_bytes(asdict(self))

    def after(
        self, commit: CommitRecord, *, views: tuple[str, ...], late: int, keys_cached: int, lag_us: int
    ) -> AppliedRecord:
        """Return what is applied once a commit is, of which these views have the rows, and no others."""
        left_out = len(commit.duplicates) + len(commit.failed)
        return replace(
            self,
            s=commit.s,
            a_us=commit.a_us,
            to=commit.to,
            views=views,
            rows=self.rows + commit.rows - left_out,
            duplicates=self.duplicates + len(commit.duplicates),
            failed=self.failed + len(commit.failed),
            beyond_retention=self.beyond_retention + late,
            keys_cached=keys_cached,
            lag_us=lag_us,
        )


@dataclass(frozen=True, slots=True)
class CommitterStatus:
    """Where the ingestion of a source stands.

    Attributes
    ----------
    s, a_us
        The last commit that can be read online, and its instant; 0 before the first.
    flushed_s
        The last commit that is in history.
    rows, duplicates, failed, beyond_retention, keys_cached, lag_us
        See `AppliedRecord`.
    """

    source: str
    s: int
    a_us: int
    flushed_s: int
    rows: int
    duplicates: int
    failed: int
    beyond_retention: int
    keys_cached: int
    lag_us: int


def read_commit(stored: bytes | None) -> CommitRecord | None:
    """Read a `CommitRecord` back."""
    return None if stored is None else CommitRecord(**_plain(stored))


def read_applied(stored: bytes | None) -> AppliedRecord | None:
    """Read an `AppliedRecord` back."""
    return None if stored is None else AppliedRecord(**_plain(stored))


def unflushed_commits(store: OnlineStore, keys: SourceKeys, first: int, last: int) -> list[CommitRecord]:
    """Return the commits from ``first`` to ``last`` that the store remembers, in order."""
    found = store.get_many([keys.commit(s) for s in range(first, last + 1)])
    return [commit for commit in map(read_commit, found) if commit is not None]


def read_status(source: Source, store: OnlineStore, offline: OfflineStore) -> CommitterStatus:
    """Return where the ingestion of a source stands, by what the stores say."""
    (stored,) = store.get_many([SourceKeys(source.name).applied])
    applied = read_applied(stored) or AppliedRecord(0, 0)
    return CommitterStatus(
        source.name,
        applied.s,
        applied.a_us,
        offline.latest_sequence(source),
        applied.rows,
        applied.duplicates,
        applied.failed,
        applied.beyond_retention,
        applied.keys_cached,
        applied.lag_us,
    )


def short_digests(digests: Sequence[str]) -> tuple[str, ...]:
    """Return digests as an `AppliedRecord` holds them."""
    return tuple(digest[:16] for digest in digests)


def _plain(stored: bytes) -> dict[str, Any]:
    """Return the fields; a list is a tuple here."""
    return {name: tuple(part) if isinstance(part, list) else part for name, part in json.loads(stored).items()}
