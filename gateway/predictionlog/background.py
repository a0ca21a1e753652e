"""Compact a log now and then by a process of its own, so that the event loop's interpreter has no part in it."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.predictionlog.segment import segments

_logger = logging.getLogger(__name__)
_PROGRAM = """
import os, sys
from pathlib import Path
from gateway.errors import PredictionLogError
from gateway.predictionlog.compaction import compact
os.nice(19)
try:
    compact(Path(sys.argv[1]))
except PredictionLogError as error:
    sys.exit(f"prediction log: {error}")
"""


class BackgroundCompaction:
    """Look every ``interval_s`` whether there are closed segments, and run a compaction if there are.

    The process has the lowest priority. It is killed when the context ends, which a compaction outlives without loss;
    what it left is finished by the next.
    """

    def __init__(self, root: Path, *, interval_s: float) -> None:
        self._root = root
        self._interval_s = interval_s
        self._ending = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="prediction-log-compaction", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._interval_s):
            if any(not segment.growing() for segment in segments(self._root)):
                self._compact()

    def _compact(self) -> None:
        process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(self._root)], stdin=subprocess.DEVNULL)
        while process.poll() is None:
            if self._ending.wait(0.05):
                process.kill()
        if process.returncode and not self._ending.is_set():
            _logger.warning("prediction log: compaction ended with %d; it is tried again", process.returncode)
