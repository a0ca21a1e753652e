"""A real `unskew serve` beside us: started, waited for, and ended with us."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from unskew.errors import DemoFailed

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
PAUSE_S = 0.05


@contextmanager
def serving(project: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve a project on a free loopback port until the block ends; give its URL and process once it is ready.

    What it says on stderr goes to ``.unskew/gateway.log``.

    Raises
    ------
    DemoFailed
        If it ends, or is not ready within a minute; with what it said.
    """
    command = [sys.executable, "-m", "unskew", "serve", "--project", str(project), "--port", "0", "--json"]
    with (project / ".unskew" / "gateway.log").open("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        try:
            yield _wait_until_ready(process, said), process
        finally:
            _stop(process)


def _wait_until_ready(process: subprocess.Popen[str], said: IO[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise _failed(process, said, "did not start")
    url = str(json.loads(line)["url"])
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _failed(process, said, "ended while it started")
        if _ready(url):
            return url
        time.sleep(PAUSE_S)
    raise _failed(process, said, f"was not ready after {START_TIMEOUT_S:.0f} s")


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2.0).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _failed(process: subprocess.Popen[str], said: IO[str], what: str) -> DemoFailed:
    _stop(process)
    said.seek(0)
    return DemoFailed(
        f"the gateway {what}: {said.read().strip()[-1500:] or 'it said nothing'}",
        where=" ".join(process.args[2:]) if isinstance(process.args, list) else None,
        mend="mend what it says; `unskew doctor` in the demo's folder may know more",
    )


def _stop(process: subprocess.Popen[str]) -> None:
    """Ask it to end, which flushes the prediction log; kill it if it does not."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
