"""Read a whole log, and tell what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gateway.predictionlog.completeness import Gap, WorkerState
from gateway.predictionlog.contents import Contents, opened
from gateway.predictionlog.frame import Condition
from gateway.predictionlog.reader import PredictionReader
from gateway.predictionlog.segment import Segment


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found.

    Attributes
    ----------
    workers
        Every run of a worker, by name.
    damage
        Files that hold other bytes than were written, and what is wrong with each.
    """

    workers: tuple[WorkerState, ...]
    damage: tuple[tuple[str, str], ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, doubled or damaged, as far as a log can tell: see `PredictionReader.gaps`."""
        return not self.damage and not any(each.gaps or each.doubled for each in self.workers)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What is missing, by worker and number."""
        return tuple(gap for each in self.workers for gap in each.gaps)

    def describe(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "whole": self.whole,
            "records": sum(each.rows for each in self.workers),
            "lost": sum(each.lost for each in self.workers),
            "dropped": sum(each.dropped for each in self.workers),
            "doubled": sum(each.doubled for each in self.workers),
            "workers": [
                {"worker": each.worker, "records": each.rows, "following": each.following, "ending": each.ending}
                for each in self.workers
            ],
            "gaps": [
                {"worker": gap.worker, "first": gap.first, "last": gap.last, "dropped": gap.dropped}
                for gap in self.gaps
            ],
            "damage": [{"file": path, "what": what} for path, what in self.damage],
        }


def verify(root: Path) -> Verification:
    """Check every checksum and every worker's numbers; in bounded memory, while gateways write and compactions run."""
    with opened(root) as contents:
        damage = tuple(_damage(contents))
        bad = {path for path, _ in damage}
        files = tuple(path for path in contents.files if str(path) not in bad)
        return Verification(PredictionReader(root).workers_in(Contents(contents.segments, files)), damage)


def _damage(contents: Contents) -> Iterator[tuple[str, str]]:
    for path in contents.files:
        wrong = _wrong_in_file(path)
        if wrong:
            yield str(path), wrong
    for segment in contents.segments:
        wrong = _wrong_in_segment(segment)
        if wrong:
            yield str(segment.path), wrong


def _wrong_in_file(path: Path) -> str:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for _ in file.iter_batches(32_768):
                pass
    except (pa.ArrowException, OSError) as error:
        return str(error)
    return ""


def _wrong_in_segment(segment: Segment) -> str:
    condition = Condition()
    for _ in segment.rows(lambda _: True, condition):
        pass
    return f"{condition.damaged_bytes} bytes before a whole record are none" if condition.damaged_bytes else ""
