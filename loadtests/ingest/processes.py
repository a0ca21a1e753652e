"""The processes of a run: a redis-server that syncs each write, a gateway with its ingest program; their CPU time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.servers import RedisServer

DURABLE = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")
READY_TIMEOUT_S = 60.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Serving:
    """A gateway that answers, and all processes that count.

    Attributes
    ----------
    roots
        Process ids; their children count too.
    """

    url: str
    project: Path
    roots: tuple[int, ...]

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU seconds so far of every process, user and system, by what it is."""
        found: dict[str, float] = {}
        for pid in _with_children(self.roots):
            name, seconds = _cpu(pid)
            found[name] = found.get(name, 0.0) + seconds
        return found


@contextmanager
def redis_server(folder: Path, environment: dict[str, str] | None = None) -> Iterator[RedisServer]:
    """Run a redis-server with ``appendfsync always`` in a folder of its own, and this in its environment."""
    folder.mkdir(parents=True, exist_ok=True)
    before = dict(os.environ)
    os.environ.update(environment or {})
    try:
        server = RedisServer(folder, settings=DURABLE).start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def serving(project: Path, *others: int, environment: dict[str, str] | None = None) -> Iterator[Serving]:
    """Apply the project's definitions and serve it, ingest program included, until the block ends."""
    unskew = [sys.executable, "-m", "unskew"]
    subprocess.run([*unskew, "apply", "--project", str(project)], check=True, capture_output=True)
    process = subprocess.Popen(
        [*unskew, "serve", "--json", "--project", str(project)],
        stdout=subprocess.PIPE,
        stderr=(project / "gateway.log").open("w"),
        text=True,
        env={**os.environ, **(environment or {})},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError((project / "gateway.log").read_text())
        url = str(json.loads(line)["url"])
        _wait_until_alive(url)
        yield Serving(url, project, (process.pid, *others))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=120)


def _wait_until_alive(url: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/livez").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer")


def _with_children(roots: Sequence[int]) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except FileNotFoundError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, open_ = [], list(roots)
    while open_:
        pid = open_.pop()
        found.append(pid)
        open_ += parents.get(pid, [])
    return found


def _cpu(pid: int) -> tuple[str, float]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return "ended", 0.0
    words = {word.decode() for word in command}
    name = "redis" if any("redis-server" in word for word in words) else "gateway" if "serve" in words else "ingest"
    return name, (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
