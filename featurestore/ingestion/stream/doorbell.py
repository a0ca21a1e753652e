"""Wake whoever waits for entries in another process: a named pipe that both ends hold open."""

from __future__ import annotations

import os
import select
from contextlib import suppress
from pathlib import Path


class Doorbell:
    """Ring, and wait for a ring; a ring while nobody waits is heard by the next who does.

    Of several who wait, one hears: the others should look for themselves now and then.
    """

    def __init__(self, path: Path) -> None:
        with suppress(FileExistsError):
            os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)

    def ring(self) -> None:
        """Wake one who waits; never blocks."""
        with suppress(BlockingIOError):  # a pipe full of rings is a ring
            os.write(self._descriptor, b"\0")

    def wait(self, timeout_s: float) -> None:
        """Return at the next ring, or after ``timeout_s``."""
        if self._poll.poll(timeout_s * 1_000):
            with suppress(BlockingIOError):
                os.read(self._descriptor, 65_536)

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._descriptor)
