"""Turn closed segments into date-partitioned Parquet files, without losing or doubling a record at any moment.

A compaction first notes what it will take (a plan); files are written beside their places, synced and named; renaming
the plan makes them count, and its segments not. A killed one is finished by the next. See
`gateway.predictionlog.contents` for what a reader sees meanwhile.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from featurestore.foundation.durable_file import create_durably, make_folder, sync_folder
from gateway.errors import PredictionLogError
from gateway.predictionlog.contents import (
    DONE,
    PLAN,
    notes_file,
    planned_segments,
    readers_lock,
    state_files,
    state_folder,
)
from gateway.predictionlog.frame import MAGIC, NOTE, Condition, frame
from gateway.predictionlog.parquet_files import ParquetFiles
from gateway.predictionlog.segment import SUFFIX, Segment, lock, segments, segments_folder

PLAN_BYTES = 268_435_456
"""Bytes of segments that are compacted together, at least one segment."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did.

    ``busy`` says that another one is at work, and nothing was done. ``damaged_bytes`` are bytes between records that
    could not be read; segments with such are kept in ``_segments/damaged``.
    """

    segments: int = 0
    rows: int = 0
    files: int = 0
    damaged_bytes: int = 0
    busy: bool = False

    def __add__(self, other: Compacted) -> Compacted:
        return Compacted(
            self.segments + other.segments,
            self.rows + other.rows,
            self.files + other.files,
            self.damaged_bytes + other.damaged_bytes,
        )


def compact(root: Path) -> Compacted:
    """Turn all segments that will not grow into Parquet files; safe to be killed, and to be run by many at once.

    Memory is bounded: a frame, and a row group of each file being written.

    Raises
    ------
    PredictionLogError
        If a file cannot be read or written. Nothing is lost by that.
    """
    try:
        make_folder(state_folder(root))
        with _exclusive(state_folder(root) / "lock") as alone:
            return _compact(root) if alone else Compacted(busy=True)
    except OSError as error:
        raise PredictionLogError(
            f"the log cannot be compacted: {error}",
            where=str(root),
            mend="make room on the disk, or the folder writable, and run it again: nothing was lost",
        ) from error


def _compact(root: Path) -> Compacted:
    _remove_unnamed(root)
    _take_away(root)
    done = Compacted()
    for state in state_files(root):
        if state.name.startswith(PLAN):
            done += _carry_out(root, state)
    for chosen in _choices(root):
        done += _carry_out(root, _plan(root, chosen))
    _take_away(root)
    return done


def _choices(root: Path) -> Iterator[list[Segment]]:
    """Share out the segments that will not grow, each worker's from its first on: a later one may void some of it."""
    taken = frozenset[str]().union(*map(planned_segments, state_files(root)))
    chosen: list[Segment] = []
    size = 0
    growing = set[str]()
    for segment in segments(root):
        if segment.path.name in taken:
            continue
        if segment.worker in growing or segment.growing():
            growing.add(segment.worker)
            continue
        length = segment.path.stat().st_size
        if chosen and size + length > PLAN_BYTES:
            yield chosen
            chosen, size = [], 0
        chosen.append(segment)
        size += length
    if chosen:
        yield chosen


def _plan(root: Path, chosen: Sequence[Segment]) -> Path:
    names = [segment.path.name for segment in chosen]
    path = state_folder(root) / f"{PLAN}{names[0].removesuffix(SUFFIX)}.json"
    create_durably(path, json.dumps({"segments": names}).encode())
    return path


def _carry_out(root: Path, plan: Path) -> Compacted:
    """Do what a plan says, from the beginning, whatever a killed one left of it."""
    planned = planned_segments(plan)
    chosen = [segment for segment in segments(root) if segment.path.name in planned]
    stem = plan.stem.removeprefix(PLAN)
    for name in (f"{stem}.*", f".{stem}.*"):
        for left in root.glob(f"*/v*/date=*/{name}"):
            left.unlink()
    done = Compacted()
    with ParquetFiles(root, stem) as files:
        for segment in chosen:
            done += _write_rows(root, segment, files)
    _keep_notes(root, chosen)
    os.replace(plan, plan.with_name(f"{DONE}{stem}.json"))
    sync_folder(plan.parent)
    return done + Compacted(files=files.count)


def _write_rows(root: Path, segment: Segment, files: ParquetFiles) -> Compacted:
    condition, rows = Condition(), 0
    for layout, varying in segment.rows(lambda _: True, condition):
        files.write(layout.constants.model, layout.constants.version, layout.full(varying, segment.worker))
        rows += varying.num_rows
    if condition.damaged_bytes:
        _logger.error("prediction log: %s has %d damaged bytes", segment.path, condition.damaged_bytes)
        _keep_damaged(segments_folder(root) / "damaged" / segment.path.name, segment.path)
    return Compacted(segments=1, rows=rows, damaged_bytes=condition.damaged_bytes)


def _keep_damaged(kept: Path, path: Path) -> None:
    make_folder(kept.parent)
    kept.unlink(missing_ok=True)
    os.link(path, kept)
    sync_folder(kept.parent)


def _keep_notes(root: Path, chosen: Sequence[Segment]) -> None:
    notes = [{"worker": segment.worker, **note} for segment in chosen for note in segment.notes()]
    if not notes:
        return
    path = notes_file(root)
    new = not path.exists()
    with path.open("ab") as handle:
        handle.write((MAGIC if new else b"") + b"".join(frame(NOTE + json.dumps(note).encode()) for note in notes))
        handle.flush()
        os.fsync(handle.fileno())
    sync_folder(path.parent)


def _take_away(root: Path) -> None:
    """Remove what no longer counts, unless somebody reads: then the next compaction does."""
    with _exclusive(readers_lock(root)) as alone:
        for state in state_files(root) if alone else ():
            if not state.name.startswith(DONE):
                continue
            for name in planned_segments(state):
                (segments_folder(root) / name).unlink(missing_ok=True)
            sync_folder(segments_folder(root))
            state.unlink()


def _remove_unnamed(root: Path) -> None:
    """Remove what killed compactions and writers left before it had its name."""
    for path in state_folder(root).glob(f".{PLAN}*.tmp"):
        path.unlink()
    for path in segments_folder(root).glob(".*.tmp"):
        with path.open("rb") as handle:
            if lock(handle):
                path.unlink(missing_ok=True)


@contextmanager
def _exclusive(path: Path) -> Iterator[bool]:
    """Give whether the lock was free; it is held while the context is open."""
    with path.open("a") as handle:
        yield lock(handle)
