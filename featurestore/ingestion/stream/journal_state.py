"""What the processes of a machine share of a journal beside its segments: a lock, two numbers, a bell.

The file ``state`` is locked while somebody appends. In it stand the place up to which entries are committed, and the
offset up to which some process has synced. Neither is synced itself: after a power cut they may be older than they
were, or absent, which is put right by the next commit and the next sync.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from zlib import crc32

from featurestore.foundation.durable_file import make_folder
from featurestore.ingestion.stream.doorbell import Doorbell
from featurestore.ingestion.stream.journal_format import Place

_PLACE = Struct("<QQII")
_COMMITTED_AT, _SYNCED_AT = 0, 32


class JournalState:
    """The shared state of the journal in a folder, both made if absent."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._descriptor = os.open(folder / "state", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.bell = Doorbell(folder / "bell")

    @property
    def gone(self) -> bool:
        """Whether the file was removed: another one, or none, has its name now."""
        return os.fstat(self._descriptor).st_nlink == 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep out every other process; not threads of this one."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def committed(self) -> Place | None:
        """Return the place up to which entries are committed, if it is known."""
        return self._read(_COMMITTED_AT)

    def synced(self) -> Place | None:
        """Return a place up to which all is on the disk, if one is known."""
        return self._read(_SYNCED_AT)

    def set_committed(self, place: Place) -> None:
        """Say up to where entries are committed."""
        self._write(_COMMITTED_AT, place)

    def set_synced(self, place: Place) -> None:
        """Say up to where all is on the disk."""
        self._write(_SYNCED_AT, place)

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._descriptor)
        self.bell.close()

    def _read(self, at: int) -> Place | None:
        stored = os.pread(self._descriptor, _PLACE.size, at)
        if len(stored) < _PLACE.size or crc32(stored[:-4]) != int.from_bytes(stored[-4:], "little"):
            return None
        offset, total, generation, _ = _PLACE.unpack(stored)
        return Place(offset, total, generation)

    def _write(self, at: int, place: Place) -> None:
        stored = _PLACE.pack(place.offset, place.total, place.generation, 0)[:-4]
        os.pwrite(self._descriptor, stored + crc32(stored).to_bytes(4, "little"), at)
