"""Rows that were not committed, kept until somebody has looked at them: a folder of JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from featurestore.foundation.clock import Clock, SystemClock

Kind = Literal["refused", "failed", "beyond-retention"]


@dataclass(frozen=True, slots=True)
class DeadRow:
    """A row to be kept.

    Attributes
    ----------
    kind
        ``refused``: it never was acknowledged. ``failed``: it was, but the row SQL cannot compute it.
        ``beyond-retention``: it was committed, so late that online values may lack it.
    reason, pointer, mend
        As in `featurestore.ingestion.accept.RefusedRow`.
    row
        The row as JSON has it.
    id
        A name of its own, if adding it may be repeated: of letters of one id there is one. Empty to have one made.
    """

    kind: Kind
    reason: str
    pointer: str
    mend: str
    row: object
    id: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetter(DeadRow):
    """A row that is kept.

    Attributes
    ----------
    instant_us
        When it was added, microseconds UTC.
    """

    source: str = ""
    instant_us: int = 0


class DeadLetters:
    """The dead letters of a project, of all sources; safe for threads and processes."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.folder = folder
        self._clock = clock or SystemClock()

    def add(self, source: str, rows: Sequence[DeadRow]) -> list[str]:
        """Keep rows durably; return their ids in order."""
        raise NotImplementedError

    def list(self, source: str | None = None) -> list[DeadLetter]:
        """Return those of a source, or all, the oldest first."""
        raise NotImplementedError

    def get(self, letter_id: str) -> DeadLetter:
        """Return one."""
        raise NotImplementedError

    def remove(self, letter_ids: Iterable[str]) -> int:
        """Remove those that are there; return how many."""
        raise NotImplementedError
