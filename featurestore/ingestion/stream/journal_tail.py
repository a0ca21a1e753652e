"""The end of a journal, where entries are appended: found, mended, written and synced by any process."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from featurestore.foundation.durable_file import write_durably
from featurestore.ingestion.errors import StreamUnavailable
from featurestore.ingestion.stream.group_sync import GroupSync
from featurestore.ingestion.stream.journal_format import (
    SEGMENT_HEAD_BYTES,
    SUFFIX,
    Place,
    Segment,
    damaged,
    read_segment,
    record_bytes,
    records,
    seal_bytes,
)
from featurestore.ingestion.stream.journal_state import JournalState

sync_data = getattr(os, "fdatasync", os.fsync)


def segment_path(folder: Path, start: int) -> Path:
    """Return where the segment is that begins at an offset."""
    return folder / f"{start:016x}{SUFFIX}"


def segment_starts(folder: Path) -> list[int]:
    """Return where the segments of a folder begin, in order; none if there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(int(path.stem, 16) for path in folder.glob(f"[0-9a-f]*{SUFFIX}"))


class JournalTail:
    """Append records to a journal, together with other processes.

    Each process remembers up to where it knows the last segment to be whole, and reads on from there what others
    appended since. A record that is not whole was left by an appender that died, is acknowledged to nobody, and is cut.

    Parameters
    ----------
    segment_bytes
        Size from which on a segment is sealed before the next record.
    """

    def __init__(self, folder: Path, segment_bytes: int) -> None:
        self.folder = folder
        self._segment_bytes = segment_bytes
        self._lock = Lock()
        self._state: JournalState | None = None
        self._descriptor = -1
        self._segment = Segment(0, 0, 0)
        self._end = 0
        self._total = 0
        self._sealed = self._scanned = False
        self.group = GroupSync(self._flush)

    @property
    def place(self) -> Place:
        """Where the next record will begin; true while the lock is held."""
        return Place(self._segment.start + self._end, self._total, self._segment.generation)

    @contextmanager
    def locked(self) -> Iterator[JournalState]:
        """Keep out all others, threads and processes, and know where the journal ends."""
        with self._lock:
            state = self._present_state()
            with state.locked():
                if state.gone:
                    raise StreamUnavailable(
                        "its files were removed a moment ago", where=str(self.folder), mend="try again"
                    )
                self._settle(state)
                yield state

    def state(self) -> JournalState:
        """Return the shared state, without a lock."""
        with self._lock:
            return self._present_state()

    def write(self, payloads: Sequence[tuple[bytes, int]], appended_us: int) -> None:
        """Write records, all or none unless the process dies; for the holder of the lock.

        They are on the disk only after a sync.
        """
        if self._end >= self._segment_bytes:
            self._append(seal_bytes(self._total))
            self._sealed = True
            self._open_next()
        total, parts = self._total, list[bytes]()
        for payload, rows in payloads:
            total += rows
            parts.extend(record_bytes(payload, rows, total, appended_us))
        self._append(b"".join(parts))
        self._total = total

    def close(self) -> None:
        """Let go of the files; harmless when repeated."""
        with self._lock:
            self._forget()

    def _present_state(self) -> JournalState:
        if self._state is not None and self._state.gone:
            self._forget()
        if self._state is None:
            self._state = JournalState(self.folder)
        return self._state

    def _forget(self) -> None:
        if self._state is not None:
            self._state.close()
            self._state = None
        self._close_segment()
        self.group = GroupSync(self._flush)  # an older copy may stand here next, in which less is synced

    def _settle(self, state: JournalState) -> None:
        """Take in what others appended; cut what one of them left unfinished."""
        if self._descriptor < 0 or os.fstat(self._descriptor).st_nlink == 0:
            self._open_newest()
        self._scan(state)
        while self._sealed:
            self._open_next()
            self._scan(state)

    def _scan(self, state: JournalState) -> None:
        size = os.fstat(self._descriptor).st_size
        if size == self._end and self._scanned:
            return
        for record in records(self._descriptor, self._end, size):
            self._end, self._total, self._sealed = record.end, record.total, not record.rows
        if not self._sealed:
            self._check(size, (state.synced(), state.committed()))
            if size > self._end:
                os.ftruncate(self._descriptor, self._end)
        self._scanned = True

    def _check(self, size: int, known: Sequence[Place | None]) -> None:
        """Refuse to cut what was synced."""
        here = self.place
        lost = any(place and place.generation == here.generation and place.offset > here.offset for place in known)
        if lost or size < self._end:
            raise damaged(segment_path(self.folder, self._segment.start), min(size, self._end))

    def _append(self, data: bytes) -> None:
        end, view = self._end, memoryview(data)
        try:
            while view:
                written = os.pwrite(self._descriptor, view, end)
                end, view = end + written, view[written:]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise
        self._end = end

    def _open_newest(self) -> None:
        starts = segment_starts(self.folder)
        if not starts:
            self._create(Segment(secrets.randbits(32), 0, 0))
        self._open(starts[-1] if starts else 0)

    def _open_next(self) -> None:
        """Go on behind a seal. All of a segment is on the disk before the next one has a name."""
        start = self._segment.start + self._end
        if not segment_path(self.folder, start).exists():
            sync_data(self._descriptor)
            self._create(Segment(self._segment.generation, start, self._total))
        self._open(start)

    def _create(self, segment: Segment) -> None:
        for left in self.folder.glob(f".*{SUFFIX}.*.tmp"):
            left.unlink()
        write_durably(segment_path(self.folder, segment.start), segment.encoded())

    def _open(self, start: int) -> None:
        path = segment_path(self.folder, start)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            segment = read_segment(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        self._close_segment()
        if segment.generation != self._segment.generation:
            self.group = GroupSync(self._flush)
        self._descriptor, self._segment = descriptor, segment
        self._end, self._total = SEGMENT_HEAD_BYTES, segment.total
        self._sealed = self._scanned = False

    def _close_segment(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _flush(self) -> int:
        """Sync the last segment, the others being synced; tell all processes how far that came."""
        with self._lock:
            if self._descriptor < 0:
                raise StreamUnavailable("it was closed before its entries were synced", where=str(self.folder))
            place, descriptor = self.place, os.dup(self._descriptor)
        try:
            sync_data(descriptor)
        finally:
            os.close(descriptor)
        with self._lock:
            if self._state is not None and _ahead(place, self._state.synced()):
                self._state.set_synced(place)
        return place.offset


def _ahead(place: Place, known: Place | None) -> bool:
    return known is None or known.generation != place.generation or known.offset < place.offset
