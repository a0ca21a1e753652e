"""Segments: where records are first synced, in a file of their own per worker, until compaction takes them.

``<root>/_segments/<worker>-<number>-<sequence>.seg``: the worker's segments are numbered, and no name is used twice;
the last part is the sequence number that it begins with. Its writer holds a lock on it as long as it may grow; whoever
gets the lock knows that it will not. Should a segment begin with a sequence number that an earlier one of the worker
has too, what the earlier one has from there on is void: its writer could not sync it, nor take it back.
"""

from __future__ import annotations

import fcntl
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc

from gateway.predictionlog.frame import LAYOUT, NOTE, ROWS, Condition, read_frames
from gateway.predictionlog.layout import Constants, Layout

SUFFIX = ".seg"
ROWS_HEAD = struct.Struct("<cxxxIqq")
"""Kind, number of the layout, least and greatest sequence number; then the Arrow IPC message, 8-byte aligned."""

JOINED_ROWS = 1_000
"""Rows up to which neighbouring frames are read as one."""

Note = dict[str, Any]
Wanted = Callable[[Constants], bool]


def segments_folder(root: Path) -> Path:
    """Return the folder of a log's segments."""
    return root / "_segments"


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment file.

    Attributes
    ----------
    number, first
        Which one of its worker it is, and the sequence number it begins with.
    until
        Number of the worker's next segment, None if there is none: from there on its rows are void.
    """

    path: Path
    worker: str
    number: int
    first: int
    until: int | None = None

    def rows(self, wanted: Wanted, condition: Condition | None = None) -> Iterator[tuple[Layout, pa.RecordBatch]]:
        """Read the rows of the wanted constants, in the order written; only what varies.

        Neighbouring frames are joined up to `JOINED_ROWS`, as there is one for each answer where every one is synced.

        Raises
        ------
        FileNotFoundError
            If it was compacted and taken away.
        """
        waiting: list[pa.RecordBatch] = []
        of: Layout | None = None
        rows = 0
        for layout, batch in self._row_frames(wanted, condition):
            if of is not None and waiting and (layout is not of or rows >= JOINED_ROWS):
                yield of, _joined(waiting)
                waiting, rows = [], 0
            of = layout
            waiting.append(batch)
            rows += batch.num_rows
        if of is not None and waiting:
            yield of, _joined(waiting)

    def _row_frames(self, wanted: Wanted, condition: Condition | None) -> Iterator[tuple[Layout, pa.RecordBatch]]:
        for payload, layouts in self._frames(condition):
            if payload[:1] != ROWS:
                continue
            _, number, _, last = ROWS_HEAD.unpack_from(payload)
            layout = layouts[number]
            if wanted(layout.constants):
                yield layout, self._valid(_read_batch(payload, layout), last)

    def notes(self) -> list[Note]:
        """Read what its worker said of itself: ``{"dropped": [first, last]}``, ``{"closed": next number}``."""
        return [json.loads(payload[1:]) for payload, _ in self._frames(None) if payload[:1] == NOTE]

    def layouts(self) -> list[Layout]:
        """Read the layouts it holds."""
        known: dict[int, Layout] = {}
        for _, known in self._frames(None):  # noqa: B007 - the last one has all
            pass
        return list(known.values())

    def _frames(self, condition: Condition | None) -> Iterator[tuple[bytes, dict[int, Layout]]]:
        layouts: dict[int, Layout] = {}
        with self.path.open("rb") as handle:
            for payload in read_frames(handle, condition or Condition()):
                if payload[:1] == LAYOUT:
                    layouts[len(layouts)] = Layout.decode(payload[1:])
                yield payload, layouts

    def _valid(self, batch: pa.RecordBatch, last: int) -> pa.RecordBatch:
        if self.until is None or last < self.until:
            return batch
        return batch.filter(pc.less(batch.column("sequence"), self.until))

    def growing(self) -> bool:
        """Tell whether its writer lives and may add to it."""
        try:
            with self.path.open("rb") as handle:
                return not lock(handle, fcntl.LOCK_SH)
        except FileNotFoundError:  # compacted and taken away
            return False


def lock(handle: IO[Any], kind: int = fcntl.LOCK_EX) -> bool:
    """Take a file's lock if it is free, until the handle is closed; return whether it was taken."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def segments(root: Path) -> list[Segment]:
    """Return the segments of a log, by worker and number."""
    named = sorted(_parsed(name) for name in _names(segments_folder(root)) if name.endswith(SUFFIX))
    return [
        Segment(segments_folder(root) / f"{segment_stem(*each)}{SUFFIX}", *each, until)
        for each, until in zip(named, _untils(named), strict=True)
    ]


def segment_stem(worker: str, number: int, first: int) -> str:
    """Return a segment's name without its suffix."""
    return f"{worker}-{number:06d}-{first:012d}"


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []


def _parsed(name: str) -> tuple[str, int, int]:
    worker, number, first = name.removesuffix(SUFFIX).rsplit("-", 2)
    return worker, int(number), int(first)


def _untils(named: list[tuple[str, int, int]]) -> list[int | None]:
    following = [*named[1:], ("", 0, 0)] if named else []
    return [after[2] if after[0] == each[0] else None for each, after in zip(named, following, strict=True)]


def _read_batch(payload: bytes, layout: Layout) -> pa.RecordBatch:
    message = pa.py_buffer(payload).slice(ROWS_HEAD.size)
    return pa.ipc.read_record_batch(message, layout.schema)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
