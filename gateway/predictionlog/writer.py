"""The prediction log's writer: the event loop appends, a thread writes."""

from __future__ import annotations

import logging
import os
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow.parquet as pq

from featurestore.foundation.clock import DAY
from featurestore.foundation.durable_file import durable_path
from gateway.errors import PredictionLogError
from gateway.predictionlog.columns import Numbered, to_table, warm_arrow
from gateway.predictionlog.record import PredictionBatch

_logger = logging.getLogger(__name__)
_WORKER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_EPOCH = date(1970, 1, 1)

Folder = tuple[str, int, int]
"""Model, version and day since 1970: batches of one folder go into one file."""


@dataclass(frozen=True, slots=True)
class LogCounters:
    """What became of the rows handed over since the start.

    ``appended`` = ``written`` + ``dropped`` + ``waiting``. ``files`` counts whole files, ``errors`` attempts to write
    one that failed.
    """

    appended: int
    written: int
    dropped: int
    waiting: int
    files: int
    errors: int


class PredictionLog:
    """Write predictions to Parquet files, batched, and never fail a prediction.

    Durability is *batched*: a crash of the process loses at most the rows of the last ``flush_interval_ms`` plus the
    time one flush takes, and never more than ``capacity_rows``; `close` loses none. A file is synced before it gets
    its name. When a file cannot be written (disk full, folder gone) its rows wait and are tried again an interval
    later; beyond ``capacity_rows`` waiting rows, new ones are dropped and counted. Dropped rows use up sequence
    numbers, so that the log itself shows the gap.

    One thread (the event loop's) appends and closes.

    Parameters
    ----------
    root
        Folder of the log.
    worker
        Name of this run of this process, never used again, as sequence numbers begin at 0; made if not given.
    flush_interval_ms
        Longest time that a row waits for the next flush.
    flush_rows
        Number of waiting rows that sets off a flush before that; also the most rows of a file.
    capacity_rows
        Most rows that wait.
    """

    def __init__(
        self,
        root: Path,
        *,
        worker: str | None = None,
        flush_interval_ms: int = 1_000,
        flush_rows: int = 10_000,
        capacity_rows: int = 200_000,
    ) -> None:
        self.worker = f"{os.getpid()}-{secrets.token_hex(6)}" if worker is None else worker
        _check_worker(self.worker)
        warm_arrow()
        self._root = root
        self._flush_interval_s = flush_interval_ms / 1_000
        self._flush_rows = flush_rows
        self._capacity_rows = capacity_rows
        # Written by the appending thread only:
        self._next = 0
        self._refused = 0
        # Written by the log's thread only:
        self._taken = self._settled = self._written = self._files = self._errors = self._passes = 0
        self._unsettled: list[Numbered] = []
        # Handed from one to the other; a deque's append and popleft are atomic:
        self._handed: deque[Numbered] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._passed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def append(self, batch: PredictionBatch) -> None:
        """Take a batch; costs about a microsecond, does no I/O, and raises nothing for want of space or disk.

        The log's thread is woken when ``flush_rows`` rows wait, not per batch.
        """
        first, rows = self._next, len(batch)
        if not rows:
            return
        self._next = first + rows
        if self._next - self._refused - self._settled > self._capacity_rows or self._closing.is_set():
            self._refused += rows
            return
        self._handed.append(Numbered(first, batch))
        if self._next - self._taken >= self._flush_rows and not self._wake.is_set():
            self._wake.set()

    def counters(self) -> LogCounters:
        """Return what became of the rows; from any thread, a moment old at most."""
        settled, written, refused, appended = self._settled, self._written, self._refused, self._next
        dropped = refused + max(0, settled - written)
        waiting = max(0, appended - written - dropped)
        return LogCounters(appended, written, dropped, waiting, self._files, self._errors)

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
        while not self._closing.is_set():
            # A disk that failed is given an interval's rest, however many rows come meanwhile.
            (self._closing if self._unsettled else self._wake).wait(self._flush_interval_s)
            self._wake.clear()
            self._pass()
        self._pass()
        self._drop(self._unsettled, "the log was closed")

    def _pass(self) -> None:
        self._taken = self._next
        waiting = self._unsettled + [self._handed.popleft() for _ in range(len(self._handed))]
        self._unsettled = []
        for folder, batches in _by_folder(waiting).items():
            self._write_folder(folder, _parts(batches, self._flush_rows))
        with self._passed:
            self._passes += 1
            self._passed.notify_all()

    def _write_folder(self, folder: Folder, parts: list[list[Numbered]]) -> None:
        for at, part in enumerate(parts):
            try:
                self._write_file(folder, part)
            except OSError as error:
                self._errors += 1
                rest = [numbered for each in parts[at:] for numbered in each]
                self._unsettled += rest
                _logger.warning("prediction log: %d rows wait: %s", _rows(rest), error)
                return
            except Exception as error:  # whatever a batch holds, the next one is written
                self._errors += 1
                _logger.exception("prediction log: a file could not be made")
                self._drop(part, f"they do not make a table: {error}")
            else:
                self._files += 1
                self._written += _rows(part)
                self._settled += _rows(part)

    def _write_file(self, folder: Folder, part: Sequence[Numbered]) -> None:
        table = to_table(part, self.worker)
        with durable_path(self._path(folder, part[0].first)) as temporary:
            pq.write_table(table, temporary, compression="zstd")

    def _path(self, folder: Folder, first: int) -> Path:
        model, version, day = folder
        dated = f"date={_EPOCH + timedelta(days=day)}"
        return self._root / model / f"v{version}" / dated / f"{self.worker}-{first:012d}.parquet"

    def _drop(self, batches: Sequence[Numbered], why: str) -> None:
        if batches:
            self._settled += _rows(batches)
            _logger.error("prediction log: %d rows dropped: %s", _rows(batches), why)


def _by_folder(batches: Sequence[Numbered]) -> dict[Folder, list[Numbered]]:
    folders: dict[Folder, list[Numbered]] = {}
    for numbered in batches:
        batch = numbered.batch
        instant_us = batch.instant_us
        first_us = instant_us if isinstance(instant_us, int) else int(np.ravel(instant_us)[0])
        folders.setdefault((batch.model, batch.version, first_us // DAY), []).append(numbered)
    return folders


def _parts(batches: Sequence[Numbered], most_rows: int) -> list[list[Numbered]]:
    parts: list[list[Numbered]] = [[]]
    rows = 0
    for numbered in batches:
        if rows and rows + len(numbered.batch) > most_rows:
            parts.append([])
            rows = 0
        parts[-1].append(numbered)
        rows += len(numbered.batch)
    return parts


def _rows(batches: Sequence[Numbered]) -> int:
    return sum(len(numbered.batch) for numbered in batches)


def _check_worker(worker: str) -> None:
    if not _WORKER.fullmatch(worker):
        raise PredictionLogError(
            f"{worker!r} cannot name a worker", mend="use 1 to 64 letters, digits, _ or -, or leave it out"
        )
