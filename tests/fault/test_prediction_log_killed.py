"""Gateway workers and compactions killed at any moment: what was acknowledged is in the log, exactly once."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gateway.predictionlog.compaction import compact
from gateway.predictionlog.reader import PredictionReader
from gateway.predictionlog.verification import verify
from gateway.predictionlog.writer import PredictionLog
from tests.fault.prediction_log_program import FLUSH_INTERVAL_MS, batch
from tests.syscall_trace import require_strace, tracing

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
        self._lines: list[str] = []
        self._listener = threading.Thread(target=self._lines.extend, args=(self._process.stdout,))
        self._listener.start()

    def kill(self) -> list[tuple[int, float]]:
        """Kill it; return the numbers that it acknowledged whole lines of, and when."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)
        self._listener.join(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        whole = (line.split() for line in self._lines if line.endswith("\n"))
        return [(int(number), float(at)) for number, at in whole]


def found(root: Path) -> dict[str, list[int]]:
    """Return the numbers of the records of each worker, as often as they are there, ascending."""
    numbers: dict[str, list[int]] = {}
    reader = PredictionReader(root)
    for model in reader.models():
        for part in reader.batches(model, 1, columns=["worker", "prediction_id", "output.score", "sequence"]):
            for row in part.to_pylist():
                number = int(row["prediction_id"])
                assert (row["sequence"], row["output.score"]) == (number, number / 2)
                numbers.setdefault(row["worker"], []).append(number)
    return {worker: sorted(each) for worker, each in numbers.items()}


BOUND_S = 2 * FLUSH_INTERVAL_MS / 1_000 + 0.2
"""Flush interval, two flushes, and what a busy machine makes of it."""


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


@pytest.mark.slow
def test_a_compaction_killed_at_any_step_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Each step is a change to the file system; afterwards a reader sees each record once, and the next one ends it."""
    log = tmp_path / "log"
    for worker in ("w1", "w2"):
        with PredictionLog(log, worker=worker, flush_interval_ms=5, segment_bytes=4_000) as writer:
            for number in range(40):
                writer.append(batch(number, "ab"[number % 2]))
                if number % 8 == 7:
                    assert writer.flush()
            writer.append(batch(40, "a"))
            writer._refused += 1
            writer._losses.add(41, 41)
            writer._next += 1
    expected = {worker: list(range(41)) for worker in ("w1", "w2")}
    assert found(log) == expected
    told = subprocess.run(
        [sys.executable, "-m", "tests.fault.compaction_killed_at", str(log), str(tmp_path / "copies")],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=Path.cwd(),
        timeout=300,
    )
    steps = int(told.stdout)
    assert steps > 25
    for step in range(1, steps + 2):
        root = tmp_path / "copies" / f"{step:03d}"
        for _ in range(3):
            assert found(root) == expected, step
            assert [(gap.first, gap.dropped) for gap in PredictionReader(root).gaps()] == [(41, True)] * 2, step
            compact(root)
        assert sorted(path.name for path in (root / "_segments").iterdir()) == [], step
        assert sorted(path.name for path in (root / "_compaction").iterdir()) == ["lock", "notes", "readers.lock"], step
        assert list(root.rglob("*.tmp")) == [], step
        assert sum(pq.read_metadata(path).num_rows for path in root.rglob("*.parquet")) == 82, step


COMPACT_FOR_EVER = """
import sys
from pathlib import Path
from gateway.predictionlog.compaction import compact
while True:
    compact(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_readers_see_each_record_once_while_it_is_written_and_compacted(tmp_path: Path) -> None:
    """Two workers, two compacting processes; what was acknowledged when a read began is in it."""
    workers = [Worker(tmp_path, "sync", "1") for _ in range(2)]
    compactors = [subprocess.Popen([sys.executable, "-c", COMPACT_FOR_EVER, str(tmp_path)]) for _ in range(2)]
    reader = PredictionReader(tmp_path)
    seen = {worker.name: 0 for worker in workers}
    reads, filed = 0, set[str]()
    until = time.monotonic() + 60
    while (reads < 8 or len(filed) < 8) and time.monotonic() < until:
        for state in reader.workers():
            assert (state.doubled, state.gaps) == (0, ())
            assert state.following >= seen[state.worker]
            seen[state.worker] = state.following
        for each in found(tmp_path).values():
            assert len(set(each)) == len(each)
        filed |= {path.name for path in tmp_path.rglob("*.parquet")}
        reads += 1
    for compactor in compactors:
        compactor.kill()
        compactor.wait()
    acknowledged = {worker.name: worker.kill() for worker in workers}
    for worker, told in acknowledged.items():
        assert {number for number, _ in told} <= set(found(tmp_path)[worker])
    assert (reads >= 8, len(filed) >= 8) == (True, True)
    assert verify(tmp_path).whole


@pytest.mark.slow
def test_a_file_that_may_not_grow_loses_nothing(tmp_path: Path) -> None:
    """RLIMIT_FSIZE: writes that end in the midst of a record. What was acknowledged is there, once."""
    worker = Worker(tmp_path, "sync", "4", "24000")  # segments would be of 30,000 bytes
    time.sleep(1.5)
    told = worker.kill()
    assert len(told) > 50
    for _ in range(2):
        numbers = found(tmp_path)[worker.name]
        assert numbers == list(range(len(numbers)))
        assert {number for number, _ in told} <= set(numbers)
        assert compact(tmp_path).rows in (len(numbers), 0)
    assert max(path.stat().st_size for path in tmp_path.rglob("*")) <= 24_000 or not list(tmp_path.rglob("*.seg"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", place], check=False).returncode
    ):
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_drops_what_has_no_room_and_says_so(small_disk: Path) -> None:
    """No append fails; once there is room all that waited is written, each once, and the dropped numbers are noted."""
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 300_000)
    with PredictionLog(small_disk / "log", worker="w", flush_interval_ms=20, capacity_rows=1_000) as log:
        for number in range(3_000):
            log.append(batch(number, "a"))
            if number % 300 == 0:
                time.sleep(0.03)
        assert not log.flush(0.3)
        counters = log.counters()
        assert counters.errors > 0
        assert (counters.waiting > 0, counters.dropped > 0) == (True, True)
        filler.unlink()
        assert log.flush()
        log.append(batch(3_000, "a"))
    (state,) = PredictionReader(small_disk / "log").workers()
    assert (state.rows, state.dropped, state.lost, state.doubled) == (
        log.counters().written,
        log.counters().dropped,
        0,
        0,
    )
    assert state.following == 3_001


WITHOUT_SYNC = """
import os, runpy, sys
os.fdatasync = lambda descriptor: None
sys.argv = ["program", *sys.argv[1:]]
runpy.run_module("tests.fault.prediction_log_program", run_name="__main__")
"""


@pytest.mark.parametrize("synced", [True, False])
def test_the_record_is_synced_before_the_answer_leaves(tmp_path: Path, synced: bool) -> None:
    """By the system calls of a real process; a build without the sync is found out."""
    require_strace()
    program = ["-m", "tests.fault.prediction_log_program"] if synced else ["-c", WITHOUT_SYNC]
    log = tmp_path / "log"
    process = subprocess.Popen(
        [sys.executable, *program, str(log), "sync", "1"], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    process.stdout.readline()
    with tracing(process.pid, tmp_path) as trace:
        for _ in range(100):
            process.stdout.readline()
    process.kill()
    process.communicate()
    told = [call for call in trace.writes("pipe:*") if re.search(r'"\d+ ', call.data)]
    records = trace.writes("*.seg")
    judged = []
    for answer in told:
        before = [record for record in records if record.ended is not None and record.ended < answer.began]
        if before:
            judged.append(trace.is_synced(before[-1], answer))
    assert len(judged) > 50
    assert all(judged) is synced
