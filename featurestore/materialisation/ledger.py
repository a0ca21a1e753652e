"""The ledger of materialisation: which batches of which run a store has acknowledged.

One file per run, ``<root>/<view digest>/<sequence>-<as of>.jsonl``: a first line that says what the run is, a line per
batch, a last line once it is complete. A line is appended and synced after the store acknowledged the batch, so that
a kill at any moment loses at most the knowledge of one batch, which is then written again with the same bytes. A line
that a kill cut short is removed when the run is taken up again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from featurestore.foundation.canonical import canonical_bytes
from featurestore.foundation.durable_file import exclusive_lock, sync_folder
from featurestore.foundation.errors import MaterialisationError
from featurestore.online.envelope import Stamp


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run is: two runs of equal plans write the same bytes in the same batches.

    Attributes
    ----------
    view, digest
        The feature view's name and digest.
    sequence, as_of_us
        The stamp of everything the run writes.
    keys, batch_rows
        Number of entity keys, and how many are in a batch.
    keep_logs
        Whether every key gets its log.
    """

    view: str
    digest: str
    sequence: int
    as_of_us: int
    keys: int
    batch_rows: int
    keep_logs: bool = False

    @property
    def stamp(self) -> Stamp:
        """The stamp of everything the run writes."""
        return Stamp(self.sequence, self.as_of_us)


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """What the store acknowledged of one batch; `batch` counts from 0."""

    batch: int
    rows: int
    logs: int
    kept_newer: int


class Ledger:
    """The runs recorded under one folder.

    Parameters
    ----------
    root
        The folder, made when the first run begins.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def run(self, plan: RunPlan) -> Iterator[Run]:
        """Begin a run or take it up again; one run of a view at a time, others wait.

        Raises
        ------
        MaterialisationError
            If the run's file is damaged elsewhere than at its end.
        """
        folder = self._root / plan.digest[:16]
        with exclusive_lock(folder / "lock"):
            yield Run(folder / f"{plan.sequence:06d}-{plan.as_of_us}.jsonl", plan)

    def completed(self, digest: str) -> list[Stamp]:
        """Return the stamps of the completed runs of a view, by its digest, ascending."""
        runs = [_read(path)[0] for path in (self._root / digest[:16]).glob("*.jsonl")]
        return sorted(Stamp(lines[0]["sequence"], lines[0]["as_of_us"]) for lines in runs if lines and _complete(lines))


class Run:
    """One run's file.

    Attributes
    ----------
    plan
        What the run is.
    acknowledged
        What earlier attempts at the same plan recorded, by batch.
    """

    def __init__(self, path: Path, plan: RunPlan) -> None:
        self._path = path
        self.plan = plan
        lines, intact_bytes = _read(path)
        first = asdict(plan)
        same = bool(lines) and lines[0] == first
        self._truncate(intact_bytes if same else 0)
        if not same:
            self._append(first)
            sync_folder(path.parent)
        batches = [BatchRecord(**line) for line in lines[1:] if same and "batch" in line]
        self.acknowledged = {record.batch: record for record in batches}
        self._is_complete = same and _complete(lines)

    def record(self, record: BatchRecord) -> None:
        """Note durably that the store acknowledged a batch."""
        self._append(asdict(record))

    def complete(self) -> None:
        """Note durably that the run is complete; harmless when repeated."""
        if not self._is_complete:
            self._append({"complete": True})
            self._is_complete = True

    def _truncate(self, size: int) -> None:
        if self._path.exists() and self._path.stat().st_size > size:
            with self._path.open("r+b") as handle:
                handle.truncate(size)

    def _append(self, line: dict[str, Any]) -> None:
        with self._path.open("ab") as handle:
            handle.write(canonical_bytes(line) + b"\n")
            handle.flush()
            os.fsync(handle.fileno())


def _complete(lines: list[dict[str, Any]]) -> bool:
    return any("complete" in line for line in lines)


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the whole lines and how many bytes they take; what follows the last line feed was cut short."""
    if not path.exists():
        return [], 0
    data = path.read_bytes()
    intact = data[: data.rfind(b"\n") + 1]
    lines = []
    for number, line in enumerate(intact.splitlines(), start=1):
        try:
            lines.append(json.loads(line))
        except ValueError:
            raise MaterialisationError(
                f"line {number} is not JSON", where=str(path), mend="remove the file; the run then begins anew"
            ) from None
    return lines, len(intact)
