"""What is missing in a log, by the numbers that every worker gave its records."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.predictionlog.segment import Note
from gateway.predictionlog.sequence_set import SequenceSet, Span


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequence numbers ``first`` to ``last`` of a worker, both included, that are not in the log.

    ``dropped`` tells that the worker said so itself: it had no room for them. Others were lost, or taken away.
    """

    worker: str
    first: int
    last: int
    dropped: bool = False

    def __len__(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What the log has of one run of a worker.

    Attributes
    ----------
    rows
        Records, each number counted once.
    doubled
        Records whose number was there already: there must be none.
    following
        The number after the greatest that is known of.
    ending
        ``closed``: it said that nothing follows. ``running``: more may follow. ``broken off``: it was killed, and what
        its durability lets it lose at its very end leaves no gap.
    """

    worker: str
    rows: int
    doubled: int
    following: int
    ending: str
    gaps: tuple[Gap, ...]

    @property
    def lost(self) -> int:
        """Records that are missing though their worker did not say so."""
        return sum(len(gap) for gap in self.gaps if not gap.dropped)

    @property
    def dropped(self) -> int:
        """Records that their worker dropped."""
        return sum(len(gap) for gap in self.gaps if gap.dropped)


def worker_states(
    numbers: Iterable[tuple[str, NDArray[np.int64]]], notes: Iterable[Note], running: frozenset[str]
) -> tuple[WorkerState, ...]:
    """Return the state of every worker, by name; needs an eighth of a byte per record at most.

    Parameters
    ----------
    numbers
        Sequence numbers by worker, in any order and in any number of parts.
    notes
        What workers said of themselves, each with its ``worker``; a note may be there twice.
    running
        Workers that live.
    """
    seen: dict[str, SequenceSet] = defaultdict(SequenceSet)
    for worker, part in numbers:
        seen[worker].add(part)
    dropped: dict[str, list[Span]] = defaultdict(list)
    closed: dict[str, int] = {}
    for note in notes:
        if "dropped" in note:
            dropped[note["worker"]].append((note["dropped"][0], note["dropped"][1]))
        if "closed" in note:
            closed[note["worker"]] = note["closed"]
    return tuple(
        _state(worker, seen[worker], _merged(dropped[worker]), closed.get(worker), running)
        for worker in sorted({*seen, *dropped, *closed})
    )


def _state(
    worker: str, seen: SequenceSet, dropped: list[Span], closed: int | None, running: frozenset[str]
) -> WorkerState:
    following = max(seen.following, dropped[-1][1] + 1 if dropped else 0, closed or 0)
    gaps = tuple(gap for span in seen.missing(following) for gap in _split(worker, span, dropped))
    rows = following - sum(map(len, gaps))
    ending = "closed" if closed is not None else "running" if worker in running else "broken off"
    return WorkerState(worker, rows, seen.doubled, following, ending, gaps)


def _split(worker: str, missing: Span, dropped: list[Span]) -> Iterator[Gap]:
    """Split what is missing where the worker's own word for it begins and ends."""
    at, last = missing
    for begin, end in dropped[max(0, bisect_right(dropped, missing) - 1) :]:
        if begin > last:
            break
        if end < at:
            continue
        if begin > at:
            yield Gap(worker, at, begin - 1)
        yield Gap(worker, max(begin, at), min(end, last), dropped=True)
        at = min(end, last) + 1
    if at <= last:
        yield Gap(worker, at, last)


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
