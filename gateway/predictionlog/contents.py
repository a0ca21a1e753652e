"""What of a log's files counts, whatever a compaction in another process is doing.

``<root>/_compaction/`` holds the state of a compaction: ``plan-<stem>.json`` names the segments that it turns into
files ``<stem>.<n>.parquet``; once all of those are on the disk it is renamed to ``done-<stem>.json``, which is the
instant from which they count and the segments no longer do. A file without a plan counts.
"""

from __future__ import annotations

import errno
import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gateway.predictionlog.frame import Condition, read_frames
from gateway.predictionlog.segment import Note, Segment, segments

PLAN, DONE = "plan-", "done-"


def state_folder(root: Path) -> Path:
    """Return the folder of a log's compactions."""
    return root / "_compaction"


def readers_lock(root: Path) -> Path:
    """Return the file that readers lock together, and whoever takes segments away alone."""
    return state_folder(root) / "readers.lock"


def notes_file(root: Path) -> Path:
    """Return the file of compacted segments' notes: frames, as in a segment, each with its ``worker``."""
    return state_folder(root) / "notes"


@dataclass(frozen=True, slots=True)
class Contents:
    """The segments and Parquet files of a log that count, at one moment; each record is in one of them."""

    segments: tuple[Segment, ...]
    files: tuple[Path, ...]

    def files_of(self, model: str, version: int) -> list[Path]:
        """Return the Parquet files of a version, by day and name."""
        return [path for path in self.files if path.parts[-4:-2] == (model, f"v{version}")]


@contextmanager
def opened(root: Path) -> Iterator[Contents]:
    """Give what counts now; while the context is open none of it is taken away."""
    with _shared_lock(readers_lock(root)):
        yield _settled(root)


def state_files(root: Path) -> tuple[Path, ...]:
    """Return the plans and the done ones, in order of their names."""
    return tuple(sorted(path for kind in (PLAN, DONE) for path in state_folder(root).glob(f"{kind}*.json")))


def planned_segments(state: Path) -> frozenset[str]:
    """Return the names of the segments that a plan, done or not, turns into files."""
    try:
        return frozenset(json.loads(state.read_bytes())["segments"])
    except FileNotFoundError:  # renamed just now: whoever lists the state again sees that
        return frozenset()


def compacted_notes(root: Path) -> list[Note]:
    """Return the notes of segments that were compacted; the same one perhaps twice."""
    try:
        with notes_file(root).open("rb") as handle:
            return [json.loads(payload[1:]) for payload in read_frames(handle, Condition())]
    except FileNotFoundError:
        return []


def _settled(root: Path) -> Contents:
    """Look until no compaction began or ended while we looked."""
    state = state_files(root)
    while True:
        contents = _counting(root, state)
        now = state_files(root)
        if now == state:
            return contents
        state = now


def _counting(root: Path, state: tuple[Path, ...]) -> Contents:
    compacted: frozenset[str] = frozenset().union(*(planned_segments(p) for p in state if p.name.startswith(DONE)))
    begun = {path.stem.removeprefix(PLAN) for path in state if path.name.startswith(PLAN)}
    return Contents(
        tuple(segment for segment in segments(root) if segment.path.name not in compacted),
        tuple(path for path in sorted(root.glob("*/v*/date=*/*.parquet")) if path.name.split(".")[0] not in begun),
    )


@contextmanager
def _shared_lock(path: Path) -> Iterator[None]:
    handle = _lock_file(path)
    if handle is None:
        yield
        return
    with handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


def _lock_file(path: Path) -> IO[bytes] | None:
    """Open the file, made if absent; None for a reader who may not make it, or where there is no log."""
    try:
        if path.parent.parent.is_dir():
            path.parent.mkdir(exist_ok=True)
            path.touch()
        return path.open("rb")
    except (FileNotFoundError, PermissionError):
        return None
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return path.open("rb") if path.exists() else None
