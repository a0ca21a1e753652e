"""The disk's own latency, and a library that adds to it."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

SYNCS = 300
DELAY_US = 2_000


def sync_latency_ms(folder: Path) -> dict[str, float]:
    """Return the median and 99th percentile of an fdatasync after an append of 4 KiB, in ms."""
    with tempfile.TemporaryFile(dir=folder) as file:
        taken = []
        for _ in range(SYNCS):
            file.write(b"\0" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1e3)
    return {"p50": statistics.median(taken), "p99": statistics.quantiles(taken, n=100)[98]}


def slow_disk_environment(folder: Path) -> dict[str, str]:
    """Compile the library that delays syncs; return the environment in which programs get it."""
    library = folder / "slow_disk.so"
    source = Path(__file__).with_name("slow_disk.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "UNSKEW_SYNC_DELAY_US": str(DELAY_US)}
