"""`unskew serve` as a process of its own, for a while."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

READY_TIMEOUT_S = 30.0


@contextmanager
def served_by_process(project: Path, **environment: str) -> Iterator[httpx.Client]:
    """Serve a project and give a client once models are loaded; end by SIGTERM, and check the exit and the log."""
    log = project / "gateway.log"
    with log.open("w") as written:
        gateway = subprocess.Popen(
            [sys.executable, "-m", "unskew", "serve", "--json", "--project", str(project)],
            stdout=subprocess.PIPE,
            stderr=written,
            text=True,
            env={**os.environ, **environment},
        )
    assert gateway.stdout is not None
    try:
        line = gateway.stdout.readline()
        assert line, log.read_text()
        with httpx.Client(base_url=json.loads(line)["url"], timeout=20) as client:
            _wait_until_ready(client, gateway, log)
            yield client
    finally:
        gateway.send_signal(signal.SIGTERM)
        status = gateway.wait(timeout=20)
        gateway.stdout.close()
    assert status == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def _wait_until_ready(client: httpx.Client, gateway: subprocess.Popen[str], log: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        assert gateway.poll() is None, log.read_text()
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.02)
    raise AssertionError(f"the gateway is not ready: {log.read_text()}")
