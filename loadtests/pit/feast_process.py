"""Feast in an environment of its own, as a process that times itself, one repetition per request."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from loadtests.pit.workload import THREADS, Workload, make_ignored_directory

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "feast-requirements.txt"
PYTHON = "python3.11"


def prepare_environment(directory: Path) -> Path:
    """Return the interpreter of Feast's environment; make it anew when the pinned requirements have changed.

    Raises
    ------
    SystemExit
        If there is no Python 3.11, for which the requirements are pinned.
    """
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    mark, python = directory / "requirements.sha256", directory / "bin" / "python"
    if mark.exists() and mark.read_text() == wanted:
        return python
    shutil.rmtree(directory, ignore_errors=True)
    make_ignored_directory(directory)
    subprocess.run([_python_3_11(), "-m", "venv", directory], check=True)
    subprocess.run([python, "-m", "pip", "install", "-qq", "--requirement", REQUIREMENTS], check=True)
    mark.write_text(wanted)
    return python


def _python_3_11() -> str:
    if sys.version_info[:2] == (3, 11):
        return sys.executable
    found = shutil.which(PYTHON)
    if found is None:
        raise SystemExit(f"Feast is pinned for Python 3.11: install {PYTHON}, or run with --without-feast")
    return found


class FeastProcess:
    """The worker process; a context manager that ends it."""

    def __init__(self, python: Path, workload: Workload) -> None:
        self._answers = workload.directory / "feast_answers.parquet"
        repository = workload.directory / "feast_repository"
        shutil.rmtree(repository, ignore_errors=True)
        repository.mkdir()
        paths = [python, HERE / "feast_worker.py", workload.baskets.resolve(), repository.resolve()]
        command = [*map(str, paths), str(THREADS)]
        with (workload.directory / "feast.log").open("w") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.peak_bytes = 0
        self.open_spine(workload)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def open_spine(self, workload: Workload) -> None:
        """Let the coming repetitions run over this workload's spine."""
        self._ask({"open": str(workload.spine_file.resolve())})

    def run(self) -> float:
        """Return the seconds of one repetition."""
        return self._repeat(None)

    def answer(self) -> pa.Table:
        """Run once more and return the answer: the spine's columns, net, store_id, in any order."""
        self._repeat(str(self._answers.resolve()))
        return pq.read_table(self._answers).rename_columns(["household_id", "at", "net", "store_id"])

    def _repeat(self, answers: str | None) -> float:
        told = self._ask({"run": answers})
        self.peak_bytes = max(self.peak_bytes, int(told["peak_bytes"]))
        return float(told["seconds"])

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the Feast process has no pipes")
        stdin.write(json.dumps(command) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError("the Feast process ended; its feast.log, beside the baskets file, says why")
        told: dict[str, Any] = json.loads(line)
        return told
