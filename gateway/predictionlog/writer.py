"""The prediction log's writer: the event loop appends, a thread writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.predictionlog.record import PredictionBatch


@dataclass(frozen=True, slots=True)
class LogCounters:
    """What became of the rows handed over since the start: appended = written + dropped + waiting."""

    appended: int
    written: int
    dropped: int
    waiting: int
    files: int
    errors: int


class PredictionLog:
    """Write predictions to Parquet, batched.

    Signatures first; the body follows.
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
        raise NotImplementedError

    worker: str

    def append(self, batch: PredictionBatch) -> None:
        """Take a batch; never blocks, never raises for want of space."""
        raise NotImplementedError

    def counters(self) -> LogCounters:
        """Return the counters."""
        raise NotImplementedError

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until all that was appended is settled."""
        raise NotImplementedError

    def close(self) -> None:
        """Write all that waits and stop the thread."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
