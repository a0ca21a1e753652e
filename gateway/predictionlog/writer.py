"""The prediction log's writer: the event loop appends, a thread writes."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from gateway.errors import PredictionLogError
from gateway.predictionlog.columns import PAUSE_S, Numbered, Rows, join_rows, warm_arrow
from gateway.predictionlog.losses import Losses
from gateway.predictionlog.record import PredictionBatch
from gateway.predictionlog.segment_writer import SegmentWriter
from gateway.predictionlog.settlement import Settlement

_logger = logging.getLogger(__name__)
_WORKER = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class LogCounters:
    """What became of the rows handed over since the start.

    ``appended`` = ``written`` + ``dropped`` + ``waiting``; what is written is synced. ``unsynced`` rows were answered
    before they were, though ``durability`` is ``sync``. ``files`` counts segments begun, ``errors`` attempts to write
    that failed.
    """

    appended: int
    written: int
    dropped: int
    waiting: int
    files: int
    errors: int
    unsynced: int = 0


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows that are written and synced together: the first number, the one that follows, and the rows that can be."""

    first: int
    following: int
    rows: list[Rows]

    def __len__(self) -> int:
        return sum(each.varying.num_rows for each in self.rows)


class PredictionLog:
    """Write predictions to segments, and never fail a prediction.

    With ``durability`` *batched*, a row is synced after at most ``flush_interval_ms`` and the time of two flushes: the
    one under way when it came, and its own. A crash of the process or the machine loses at most the rows of that time,
    and never more than ``capacity_rows``. With *sync*, `settlement` gives what an answer waits for: its record is
    synced, together with those of all who wait at the moment; while the disk fails, or is slower than
    ``sync_limit_ms``, answers leave all the same and are counted as unsynced.

    `close` loses nothing. When a segment cannot be written (disk full, folder gone) its rows wait and are tried again
    an interval later, in a new one; beyond ``capacity_rows`` waiting rows, new ones are dropped and counted. Dropped
    rows use up sequence numbers, and are noted in the log when it can be written.

    One thread (the event loop's) appends and closes.

    Parameters
    ----------
    root
        Folder of the log.
    worker
        Name of this run of this process, never used again, as sequence numbers begin at 0; made if not given.
    flush_interval_ms
        Longest time that a row waits for the next flush, unless one is under way.
    flush_rows
        Number of waiting rows that sets off a flush before that; also the most rows of one write.
    capacity_rows
        Most rows that wait.
    sync_limit_ms
        Longest time that an answer waits for its record.
    segment_bytes, segment_age_s
        Size and age at which a segment is closed, so that it can be compacted.
    """

    def __init__(
        self,
        root: Path,
        *,
        worker: str | None = None,
        durability: Literal["batched", "sync"] = "batched",
        flush_interval_ms: int = 1_000,
        flush_rows: int = 10_000,
        capacity_rows: int = 200_000,
        sync_limit_ms: int = 1_000,
        segment_bytes: int = 67_108_864,
        segment_age_s: float = 600.0,
    ) -> None:
        self.worker = f"{os.getpid()}-{secrets.token_hex(6)}" if worker is None else worker
        _check_worker(self.worker)
        warm_arrow()
        self._flush_interval_s = flush_interval_ms / 1_000
        self._flush_rows = flush_rows
        self._capacity_rows = capacity_rows
        self._sync = durability == "sync"
        self._pause_s = 0.0 if self._sync else PAUSE_S
        self._settlement = Settlement(sync_limit_ms / 1_000)
        # Written by the appending thread only:
        self._next = self._handed_to = self._refused = 0
        # Written by the log's thread only:
        self._segments = SegmentWriter(root, self.worker, bytes_limit=segment_bytes, age_limit_s=segment_age_s)
        self._taken = self._settled = self._written = self._errors = self._passes = 0
        self._unsettled: list[_Part] = []
        # Handed from one to the other; a deque's append and popleft are atomic:
        self._losses = Losses()
        self._handed: deque[Numbered] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._passed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def append(self, batch: PredictionBatch) -> None:
        """Take a batch; costs about a microsecond, does no I/O, and raises nothing for want of space or disk.

        The log's thread is woken when ``flush_rows`` rows wait, not per batch; with *sync*, when it is idle.
        """
        first, rows = self._next, len(batch)
        if not rows:
            return
        self._next = first + rows
        if self._next - self._refused - self._settled > self._capacity_rows or self._closing.is_set():
            self._refused += rows
            self._losses.add(first, self._next - 1)
            return
        self._handed_to = self._next
        self._handed.append(Numbered(first, batch))
        if (self._sync or self._next - self._taken >= self._flush_rows) and not self._wake.is_set():
            self._wake.set()

    def settlement(self, rows: int) -> asyncio.Future[bool] | None:
        """Return what the answers to the last ``rows`` rows appended wait for; None if they do not wait.

        See `gateway.predictionlog.settlement.Settlement.wait_for`. For the event loop that appends.
        """
        if not self._sync:
            return None
        if self._unsettled or self._handed_to != self._next:  # the disk fails, or they were dropped: none waits for it
            self._settlement.unsynced_rows += rows
            return None
        return self._settlement.wait_for(self._next, rows)

    def counters(self) -> LogCounters:
        """Return what became of the rows; from any thread, a moment old at most."""
        settled, written, refused, appended = self._settled, self._written, self._refused, self._next
        dropped = refused + max(0, settled - written)
        waiting = max(0, appended - written - dropped)
        files, unsynced = self._segments.begun, self._settlement.unsynced_rows
        return LogCounters(appended, written, dropped, waiting, files, self._errors, unsynced)

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Write what waits now; return whether none of it waits any longer. Blocks: not for the event loop."""
        until = time.monotonic() + timeout_s
        for _ in range(2):  # a pass under way may have begun before the last rows came
            self._wake.set()
            with self._passed:
                done = self._passes
                self._passed.wait_for(lambda done=done: self._passes > done, until - time.monotonic())  # type: ignore[misc]
        return self.counters().waiting == 0

    def close(self) -> None:
        """Write all that waits and stop; what cannot be written then is dropped and counted. Blocks."""
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        began_s = time.monotonic()
        while not self._closing.is_set():
            # A disk that failed is given an interval's rest, however many rows come meanwhile.
            resting = self._closing if self._unsettled else self._wake
            resting.wait(max(0.0, began_s + self._flush_interval_s - time.monotonic()))
            self._wake.clear()
            began_s = time.monotonic()
            self._pass()
        self._pass()
        self._drop_unsettled()
        self._sign_off()

    def _pass(self) -> None:
        self._taken = self._next
        taken = [self._handed.popleft() for _ in range(len(self._handed))]
        parts = self._unsettled + [self._joined(part) for part in _parts(taken, self._flush_rows)]
        written = 0
        try:
            for part in parts:
                self._write(part)
                written += 1
            self._segments.tend()
        except OSError as error:
            self._errors += 1
            _logger.warning("prediction log: %d rows wait: %s", sum(map(len, parts[written:])), error)
            for part in parts[written:]:
                self._settlement.tell(part.following, synced=False)
        self._unsettled = parts[written:]
        with self._passed:
            self._passes += 1
            self._passed.notify_all()

    def _write(self, part: _Part) -> None:
        spans = self._losses.spans()
        if part.rows:
            self._segments.append(part.first, part.rows, [{"dropped": span} for span in spans])
            self._losses.noted(spans)
        self._written += len(part)
        self._settled += len(part)
        self._settlement.tell(part.following, synced=True)

    def _joined(self, part: Sequence[Numbered]) -> _Part:
        first, following = part[0].first, part[-1].last + 1
        try:
            rows = list(join_rows(part, pause_s=self._pause_s))
        except Exception:  # whatever a batch holds, the next one is written
            if len(part) > 1:
                return _Part(first, following, [rows for each in part for rows in self._joined([each]).rows])
            self._errors += 1
            self._settled += following - first
            self._losses.add(first, following - 1)
            _logger.exception("prediction log: %d rows dropped: they do not make a table", following - first)
            rows = []
        return _Part(first, following, rows)

    def _drop_unsettled(self) -> None:
        for part in self._unsettled:
            self._settled += len(part)
            self._losses.add(part.first, part.following - 1)
            _logger.error("prediction log: %d rows dropped: the log was closed", len(part))
        self._unsettled = []

    def _sign_off(self) -> None:
        """Note what was dropped, and that nothing follows, so that a reader tells an end from a crash."""
        notes = [{"dropped": span} for span in self._losses.spans()]
        try:
            if self._next:
                self._segments.append(self._next, [], [*notes, {"closed": self._next}])
        except OSError as error:
            _logger.warning("prediction log: that it was closed cannot be noted: %s", error)
        self._segments.close()


def _parts(batches: Sequence[Numbered], most_rows: int) -> list[list[Numbered]]:
    parts: list[list[Numbered]] = []
    rows = most_rows
    for numbered in batches:
        if rows + len(numbered.batch) > most_rows:
            parts.append([])
            rows = 0
        parts[-1].append(numbered)
        rows += len(numbered.batch)
    return parts


def _check_worker(worker: str) -> None:
    if not _WORKER.fullmatch(worker):
        raise PredictionLogError(
            f"{worker!r} cannot name a worker", mend="use 1 to 64 letters, digits, _ or -, or leave it out"
        )
