"""Peak memory of one job in a fresh process: ``python -m loadtests.pit.peak_memory DIRECTORY JOB``.

The peak is the kernel's high-water mark of resident memory (``VmHWM``), reset just before the job, so that what loading
and preparing took does not count; ``before_bytes`` is what was resident then: interpreter, libraries, spine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from loadtests.pit.jobs import OPENERS
from loadtests.pit.workload import load_workload

PROCESS = Path("/proc/self")


def measure(directory: Path, job: str) -> dict[str, int] | None:
    """Run the job in a fresh process; ``None`` on a system without ``/proc``."""
    if not (PROCESS / "clear_refs").exists():
        return None
    command = [sys.executable, "-m", "loadtests.pit.peak_memory", str(directory), job]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    peak: dict[str, int] = json.loads(told)
    return peak


def _measure_here(directory: Path, name: str) -> dict[str, int]:
    job = OPENERS[name](load_workload(directory))
    before = _status("VmRSS")
    (PROCESS / "clear_refs").write_text("5")
    answer = job()
    peak = _status("VmHWM")
    return {"before_bytes": before, "peak_bytes": peak, "added_bytes": peak - before, "answer_bytes": answer.nbytes}


def _status(field: str) -> int:
    lines = (PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


if __name__ == "__main__":
    print(json.dumps(_measure_here(Path(sys.argv[1]), sys.argv[2])))
