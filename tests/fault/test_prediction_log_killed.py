"""Gateway workers and compactions killed at any moment: what was acknowledged is in the log, exactly once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.predictionlog.compaction import compact
from gateway.predictionlog.reader import PredictionReader
from gateway.predictionlog.verification import verify
from tests.fault.prediction_log_program import FLUSH_INTERVAL_MS

KILLS = 50
AT_ONCE = 2
"""Workers that share a folder, and die one after the other."""


class Worker:
    """A process that answers, and what it acknowledged."""

    def __init__(self, root: Path, durability: str, *limit: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.prediction_log_program", str(root), durability, *limit],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path.cwd(),
        )
        assert self._process.stdout is not None
        self.name = self._process.stdout.readline().strip()

    def kill(self) -> list[tuple[int, float]]:
        """Kill it; return the numbers that it acknowledged whole lines of, and when."""
        self._process.send_signal(signal.SIGKILL)
        told, _ = self._process.communicate(timeout=30)
        return [(int(number), float(at)) for number, at in (line.split() for line in told.split("\n")[:-1])]


def found(root: Path) -> dict[str, list[int]]:
    """Return the numbers of the records of each worker, as often as they are there, ascending."""
    numbers: dict[str, list[int]] = {}
    reader = PredictionReader(root)
    for model in reader.models():
        for batch in reader.batches(model, 1, columns=["worker", "prediction_id", "output.score", "sequence"]):
            for row in batch.to_pylist():
                number = int(row["prediction_id"])
                assert (row["sequence"], row["output.score"]) == (number, number / 2)
                numbers.setdefault(row["worker"], []).append(number)
    return {worker: sorted(each) for worker, each in numbers.items()}


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["sync", "batched"])
def test_what_was_acknowledged_is_there_exactly_once(tmp_path: Path, durability: str) -> None:
    """Two workers and compactions at once; read before and after each compaction."""
    chance = random.Random(8)
    acknowledged: dict[str, list[tuple[int, float]]] = {}
    killed_at: dict[str, float] = {}
    reader = PredictionReader(tmp_path)

    def one(delay_s: float) -> None:
        worker = Worker(tmp_path, durability)
        time.sleep(delay_s)
        killed_at[worker.name] = time.monotonic()
        acknowledged[worker.name] = worker.kill()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for task in [pool.submit(one, chance.uniform(0.0, 0.5)) for _ in range(KILLS)]:
            task.result()
            compact(tmp_path)
    for _ in range(2):
        numbers = found(tmp_path)
        for worker, told in acknowledged.items():
            there = numbers.get(worker, [])
            assert there == list(range(len(there))), worker
            missing = [at for number, at in told if number >= len(there)]
            if durability == "sync":
                assert not missing, worker
            else:
                assert all(killed_at[worker] - at < BOUND_S for at in missing), worker
        compact(tmp_path)
    assert sum(map(len, acknowledged.values())) > 20 * KILLS
    report = verify(tmp_path)
    assert report.whole
    assert {each.ending for each in report.workers} == {"broken off"}
    assert reader.gaps() == ()


BOUND_S = 2 * FLUSH_INTERVAL_MS / 1_000 + 0.2
"""Flush interval, two flushes, and what a busy machine makes of it."""
