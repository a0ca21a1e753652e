"""The lease of a journal: held by a lock that dies with its holder, and by a time for a holder that hangs.

``lease`` says the greatest epoch ever given, and to whom; it is synced before the lease is handed out, so that epochs
grow across power cuts. The holder keeps ``lease-<epoch>`` locked, in which stands until when it holds, by the machine's
monotonic clock. ``lease.lock`` is held while somebody looks or takes.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from featurestore.foundation.durable_file import exclusive_lock, write_durably

_RECORD, _LOCK = "lease", "lease.lock"
_DIGITS = 20


class JournalLease:
    """A lease that was taken by `take_lease`; see `featurestore.ingestion.stream.base.Lease`.

    Attributes
    ----------
    epoch
        Greater than that of every earlier lease.
    """

    def __init__(self, folder: Path, epoch: int, ttl_s: float, descriptor: int) -> None:
        self.epoch = epoch
        self._folder = folder
        self._ttl_ns = int(ttl_s * 1e9)
        self._descriptor = descriptor

    def renew(self) -> bool:
        """Hold it for another ``ttl_s``; false if another took it or it was released."""
        with exclusive_lock(self._folder / _LOCK):
            held = self._descriptor >= 0 and _epoch(self._folder) == self.epoch
            if held:
                os.pwrite(self._descriptor, _until(self._ttl_ns), 0)
            else:
                self._close()
        return held

    def release(self) -> None:
        """Give it up; harmless when it is lost or released."""
        with exclusive_lock(self._folder / _LOCK):
            if self._descriptor >= 0 and _epoch(self._folder) == self.epoch:
                _held(self._folder, self.epoch).unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def take_lease(folder: Path, owner: str, ttl_s: float, above: int) -> JournalLease | None:
    """Take the lease of a journal's folder, unless a living holder's time is not over."""
    with exclusive_lock(folder / _LOCK):
        last = _epoch(folder)
        if _is_held(folder, last):
            return None
        epoch = max(last, above) + 1
        descriptor = os.open(_held(folder, epoch), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(descriptor, _until(int(ttl_s * 1e9)), 0)
            write_durably(folder / _RECORD, orjson.dumps({"epoch": epoch, "owner": owner}))
        except BaseException:
            os.close(descriptor)
            raise
        for left in folder.glob("lease-*"):
            if left != _held(folder, epoch):
                left.unlink()
        return JournalLease(folder, epoch, ttl_s, descriptor)


def _epoch(folder: Path) -> int:
    with suppress(FileNotFoundError):
        record: dict[str, Any] = orjson.loads((folder / _RECORD).read_bytes())
        return int(record["epoch"])
    return 0


def _held(folder: Path, epoch: int) -> Path:
    return folder / f"lease-{epoch}"


def _until(ttl_ns: int) -> bytes:
    return b"%0*d" % (_DIGITS, time.monotonic_ns() + ttl_ns)


def _is_held(folder: Path, epoch: int) -> bool:
    """Tell whether a lease's holder lives and its time is not over."""
    try:
        descriptor = os.open(_held(folder, epoch), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return time.monotonic_ns() < int(os.pread(descriptor, _DIGITS, 0))
    finally:
        os.close(descriptor)
    return False
