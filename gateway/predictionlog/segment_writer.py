"""Write one worker's segments: what `append` returned from is on the disk."""

from __future__ import annotations

import json
import logging
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from featurestore.foundation.durable_file import make_folder, sync_folder
from gateway.predictionlog.columns import Rows
from gateway.predictionlog.frame import LAYOUT, MAGIC, NOTE, ROWS, frame
from gateway.predictionlog.layout import Layout
from gateway.predictionlog.segment import ROWS_HEAD, SUFFIX, Note, lock, segment_stem, segments, segments_folder

CLOSE_REQUEST = ".close-please"
"""File beside the segments; whoever writes it asks every writer to close its segment."""

_logger = logging.getLogger(__name__)


class SegmentWriter:
    """Append to the segments of one worker; used by one thread.

    Parameters
    ----------
    bytes_limit, age_limit_s
        Size and age at which a segment is closed and the next one begun.

    Attributes
    ----------
    begun
        Segments that were begun, or nearly.
    """

    def __init__(self, root: Path, worker: str, *, bytes_limit: int, age_limit_s: float) -> None:
        self._folder = segments_folder(root)
        self._worker = worker
        self._bytes_limit = bytes_limit
        self._age_limit_s = age_limit_s
        self._file: BinaryIO | None = None
        self._path = Path()
        self._size = 0
        self._began_s = 0.0
        self._layouts: dict[Layout, int] = {}
        self._asked_ns = 0
        self._doubtful: list[BinaryIO] = []
        self.begun = 0

    def append(self, first: int, rows: Sequence[Rows], notes: Sequence[Note] = ()) -> None:
        """Write rows and notes, and sync them.

        Parameters
        ----------
        first
            The least sequence number of the rows; of the next, if there are only notes.

        Raises
        ------
        OSError
            If that failed. None of it counts then: it is cut off, or void once a segment is begun at ``first``.
        """
        file = self._present()
        if file is None:
            file = self._begin(first)
        data = b"".join([*self._frames(rows), *(frame(NOTE + json.dumps(note).encode()) for note in notes)])
        try:
            _write_all(file, data)
            os.fdatasync(file.fileno())
        except OSError:
            self._abandon()
            raise
        self._size += len(data)
        while self._doubtful:
            self._doubtful.pop().close()
        self.tend()

    def tend(self) -> None:
        """Close the segment if it is large, old, or asked to be closed; costs a look at one file's time."""
        if self._file is None:
            return
        old = time.monotonic() - self._began_s >= self._age_limit_s
        if self._size >= self._bytes_limit or old or self._asked() != self._asked_ns:
            self.close()

    def close(self) -> None:
        """Close the segment: it will not grow. The next `append` begins another."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _present(self) -> BinaryIO | None:
        """Return the open segment, None without one, or if its file was taken away: what is written to it is lost."""
        if self._file is not None and not os.fstat(self._file.fileno()).st_nlink:
            _logger.warning("prediction log: %s was taken away", self._path)
            self.close()
        return self._file

    def _frames(self, rows: Sequence[Rows]) -> list[bytes]:
        frames: list[bytes] = []
        for each in rows:
            layout = Layout(each.constants, each.varying.schema)
            if layout not in self._layouts:
                self._layouts[layout] = len(self._layouts)
                frames.append(frame(LAYOUT + layout.encode()))
            head = ROWS_HEAD.pack(ROWS, self._layouts[layout], each.first, each.last)
            frames.append(frame(head + each.varying.serialize().to_pybytes()))
        return frames

    def _begin(self, first: int) -> BinaryIO:
        make_folder(self._folder)
        self.begun += 1
        path = self._folder / f"{segment_stem(self._worker, self.begun, first)}{SUFFIX}"
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
        handle = temporary.open("xb", buffering=0)
        try:
            lock(handle)  # before it has its name: nobody sees it without
            _write_all(handle, MAGIC)
            os.fsync(handle.fileno())
            os.replace(temporary, path)
            sync_folder(self._folder)
        except OSError:
            handle.close()
            temporary.unlink(missing_ok=True)
            raise
        self._file, self._path, self._size, self._began_s = handle, path, len(MAGIC), time.monotonic()
        self._layouts, self._asked_ns = {}, self._asked()
        return handle

    def _abandon(self) -> None:
        """Give the segment up after a failed write or sync, cut back to what is synced.

        After a failed sync the system may believe that the bytes are written, so that syncing again proves nothing.
        What cannot be cut keeps its lock until a later segment holds its rows, and makes it void.
        """
        assert self._file is not None
        handle, self._file = self._file, None
        try:
            os.ftruncate(handle.fileno(), self._size)
            os.fsync(handle.fileno())
            if self._size == len(MAGIC):
                self._path.unlink(missing_ok=True)
        except OSError as error:
            _logger.warning("prediction log: %s cannot be cut back: %s", self._path, error)
            self._doubtful.append(handle)
        else:
            handle.close()

    def _asked(self) -> int:
        try:
            return (self._folder / CLOSE_REQUEST).stat().st_mtime_ns
        except FileNotFoundError:
            return 0


def ask_to_close(root: Path, *, timeout_s: float = 0.0) -> bool:
    """Ask every writer of a log to close its segment; a living one does within its flush interval.

    Return whether all segments that grew have been closed, waiting for that at most ``timeout_s``. Blocks.
    """
    folder = segments_folder(root)
    if not folder.is_dir():
        return True
    growing = [segment for segment in segments(root) if segment.growing()]
    (folder / CLOSE_REQUEST).write_text(secrets.token_hex(6))
    until = time.monotonic() + timeout_s
    while any(segment.growing() for segment in growing):
        if time.monotonic() >= until:
            return False
        time.sleep(0.01)
    return True


def _write_all(handle: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[handle.write(left) :]
