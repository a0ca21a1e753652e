"""Compact copies of a log, killed before the first, second, ... thing that a compaction does to the file system.

``python -m tests.fault.compaction_killed_at LOG COPIES`` leaves a copy per step, and prints how many steps there are.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet  # noqa: F401 - imported before the forks, not in each of them

from gateway.predictionlog.compaction import compact

CHANGES = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.truncate"}


def killed_before(step: int, root: Path) -> bool:
    """Compact in a child that is killed before its ``step``-th change; return whether it was."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    seen = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        writes = event == "open" and str(root) in str(arguments[0]) and bool(arguments[2] & os.O_ACCMODE)
        if event in CHANGES or writes:
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    real = os.fsync

    def synced(descriptor: Any) -> None:
        count("os.rename", ())
        real(descriptor)

    os.fsync = synced  # type: ignore[assignment]
    sys.addaudithook(count)
    compact(root)
    os._exit(0)


def main(log: Path, copies: Path) -> None:
    for step in range(1, 1_000):
        root = copies / f"{step:03d}"
        shutil.copytree(log, root)
        if not killed_before(step, root):
            print(step - 1)
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
