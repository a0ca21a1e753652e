"""The ingest program as a child of `unskew serve`: started beside the gateway, again when it dies, and stopped last."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""How long to wait before the program is started again: twice as long after each time that it died soon."""
STEADY_S = 60.0
"""After running for so long a program did not die soon."""
STOP_GRACE_S = 30.0
"""How long the program may take to commit what is in the stream and write it to history; then it is killed."""

_logger = logging.getLogger(__name__)


def ingest_command(settings_file: Path) -> list[str]:
    """Return the command of the ingest program of a project, which ends when its standard input does."""
    return [sys.executable, "-m", "unskew", "stream", "run", "--with-parent", "--project", str(settings_file)]


class IngestProcess:
    """Keep a program running in a process of its own; stop it by leaving the ``with`` block.

    The child has a session of its own, so that Ctrl-C reaches only the gateway, which stops first. Its standard input
    is a pipe that nobody writes to: should this process be killed, the pipe ends, and the child stops by itself.
    To kill the child loses nothing: what it had not committed is in the stream.
    """

    def __init__(
        self, command: Sequence[str], *, first_pause_s: float = FIRST_PAUSE_S, stop_grace_s: float = STOP_GRACE_S
    ) -> None:
        self._command = list(command)
        self._first_pause_s = first_pause_s
        self._stop_grace_s = stop_grace_s
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._keeper = threading.Thread(target=self._keep_running, name="ingest-process", daemon=True)

    @property
    def pid(self) -> int | None:
        """The running child's process id, None while there is none."""
        child = self._child
        return None if child is None or child.poll() is not None else child.pid

    def start(self) -> None:
        """Start the program."""
        self._keeper.start()

    def stop(self) -> None:
        """Ask the program to end and wait until it has; kill it after the grace. Harmless if it was not started."""
        with self._lock:
            self._stopping.set()
            child = self._child
        if child is None:
            return
        try:
            child.terminate()
            child.wait(self._stop_grace_s)
        except subprocess.TimeoutExpired:
            _logger.warning(
                "the ingest program did not end within %s s and is killed; what it had not committed is in the stream",
                self._stop_grace_s,
            )
        finally:
            child.kill()
            self._keeper.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _keep_running(self) -> None:
        pause_s = self._first_pause_s
        while (child := self._spawn()) is not None:
            began = time.monotonic()
            status = child.wait()
            assert child.stdin is not None
            child.stdin.close()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > STEADY_S:
                pause_s = self._first_pause_s
            _logger.warning("the ingest program ended with status %s; it is started again in %s s", status, pause_s)
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        """Start the child, unless the program is to stop."""
        with self._lock:
            if self._stopping.is_set():
                return None
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
            )
            return self._child
