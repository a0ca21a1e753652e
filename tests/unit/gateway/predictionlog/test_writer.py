import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pytest

from featurestore.semantics.value import Float64, column
from gateway.errors import PredictionLogError
from gateway.predictionlog.compaction import compact
from gateway.predictionlog.completeness import Gap
from gateway.predictionlog.reader import PredictionReader
from gateway.predictionlog.writer import PredictionLog

pytestmark = pytest.mark.slow

NEVER_MS = 3_600_000


def _segments(root: Path) -> list[Path]:
    return sorted((root / "_segments").glob("*.seg"))


def test_a_segment_and_a_file_stand_where_the_layout_says(make_batch, tmp_path: Path):
    with PredictionLog(tmp_path, worker="w1", flush_interval_ms=NEVER_MS) as log:
        log.append(make_batch(0, 2))
        log.append(make_batch(2, 1, version=4))
        log.append(make_batch(3, 1, instant_us=1_514_678_400_000_000 - 1))
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.seg")] == [
        "_segments/w1-000001-000000000000.seg"
    ]
    compact(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet")) == [
        "spend/v3/date=2017-12-30/w1-000001-000000000000.0.parquet",
        "spend/v3/date=2017-12-31/w1-000001-000000000000.0.parquet",
        "spend/v4/date=2017-12-31/w1-000001-000000000000.0.parquet",
    ]


def test_close_loses_nothing_and_numbers_are_consecutive(make_batch, tmp_path: Path):
    log = PredictionLog(tmp_path, flush_interval_ms=NEVER_MS)
    for at in range(57):
        log.append(make_batch(at, 1))
    assert log.counters().waiting == 57
    log.close()
    counters = log.counters()
    assert (counters.appended, counters.written, counters.dropped, counters.waiting) == (57, 57, 0, 0)
    table = PredictionReader(tmp_path).to_arrow("spend").sort_by("sequence")
    assert table["sequence"].to_pylist() == list(range(57))
    assert table["key.household"].to_pylist() == list(range(57))
    assert set(table["worker"].to_pylist()) == {log.worker}


def test_rows_are_on_the_disk_an_interval_later(make_batch, tmp_path: Path):
    with PredictionLog(tmp_path, flush_interval_ms=20) as log:
        log.append(make_batch(0, 3))
        until = time.monotonic() + 10
        while not log.counters().written and time.monotonic() < until:
            time.sleep(0.01)
        assert PredictionReader(tmp_path).to_arrow("spend").num_rows == 3


def test_enough_rows_are_flushed_at_once(make_batch, tmp_path: Path):
    with PredictionLog(tmp_path, flush_interval_ms=NEVER_MS, flush_rows=100) as log:
        for at in range(99):
            log.append(make_batch(at, 1))
        time.sleep(0.05)
        assert log.counters().files == 0
        log.append(make_batch(99, 1))
        until = time.monotonic() + 10
        while log.counters().written < 100 and time.monotonic() < until:
            time.sleep(0.01)
        assert log.counters().written == 100


def test_the_thread_is_not_woken_per_request(make_batch, tmp_path: Path, monkeypatch):
    woken: list[int] = []
    with PredictionLog(tmp_path, flush_interval_ms=NEVER_MS, flush_rows=100) as log:
        wake = log._wake.set
        monkeypatch.setattr(log._wake, "set", lambda: (woken.append(1), wake()))
        for at in range(350):
            log.append(make_batch(at, 1))
        assert 1 <= len(woken) <= 4


def test_no_more_than_flush_rows_are_written_at_once(make_batch, tmp_path: Path, monkeypatch):
    written: list[int] = []
    with PredictionLog(tmp_path, flush_interval_ms=NEVER_MS, flush_rows=10) as log:
        append = log._segments.append

        def counted(first, rows, notes=()):
            written.append(sum(each.varying.num_rows for each in rows))
            append(first, rows, notes)

        monkeypatch.setattr(log._segments, "append", counted)
        for at in range(0, 25, 5):
            log.append(make_batch(at, 5))
    assert (max(written), sum(written)) == (10, 25)
    assert PredictionReader(tmp_path).gaps() == ()


def test_an_empty_batch_is_nothing(make_batch, tmp_path: Path):
    with PredictionLog(tmp_path) as log:
        log.append(make_batch(0, 0))
    assert log.counters().appended == 0
    assert _segments(tmp_path) == []


class TestDiskFailure:
    def test_rows_wait_and_are_written_once_it_is_mended(self, make_batch, tmp_path: Path, caplog):
        root = tmp_path / "log"
        root.write_text("in the way of the folder")
        with PredictionLog(root, flush_interval_ms=10) as log:
            log.append(make_batch(0, 2))
            assert not log.flush(0.2)
            log.append(make_batch(2, 1))
            counters = log.counters()
            assert counters.errors >= 1
            assert (counters.waiting, counters.dropped) == (3, 0)
            root.unlink()
            until = time.monotonic() + 10
            while log.counters().waiting and time.monotonic() < until:
                time.sleep(0.01)
            assert log.counters().written == 3
        assert PredictionReader(root).gaps() == ()
        assert any("rows wait" in entry.message for entry in caplog.records)

    def test_a_real_full_disk(self, make_batch, tmp_path: Path):
        """/dev/full is a disk without space; the log's folder is made to end in it."""
        if not Path("/dev/full").exists():
            pytest.skip("no /dev/full on this machine")
        log = PredictionLog(Path("/dev/full/log"), flush_interval_ms=10)
        log.append(make_batch())
        assert not log.flush(0.2)
        log.close()
        assert log.counters().dropped == 1

    def test_beyond_the_capacity_new_rows_are_dropped_counted_and_leave_a_gap(self, make_batch, tmp_path: Path):
        root = tmp_path / "log"
        root.write_text("in the way")
        with PredictionLog(root, worker="w", flush_interval_ms=NEVER_MS, flush_rows=4, capacity_rows=10) as log:
            for at in range(12):
                log.append(make_batch(at, 1))
            counters = log.counters()
            assert (counters.appended, counters.dropped, counters.waiting) == (12, 2, 10)
            root.unlink()
        assert log.counters().written == 10
        with PredictionLog(root, worker="x") as log:
            log.append(make_batch(20, 1))
        assert PredictionReader(root).gaps() == (Gap("w", 10, 11, dropped=True),)

    def test_a_gap_is_visible_to_the_reader(self, make_batch, tmp_path: Path):
        with PredictionLog(tmp_path, worker="w", flush_interval_ms=NEVER_MS, capacity_rows=3) as log:
            for at in range(5):
                log.append(make_batch(at, 1))
            assert log.counters().dropped == 2
            assert log.flush()
            log.append(make_batch(5, 1))
        reader = PredictionReader(tmp_path)
        assert reader.gaps() == (Gap("w", 3, 4, dropped=True),)
        compact(tmp_path)
        assert reader.gaps() == (Gap("w", 3, 4, dropped=True),)

    def test_what_cannot_be_written_at_the_end_is_counted(self, make_batch, tmp_path: Path, caplog):
        (tmp_path / "log").write_text("in the way")
        with PredictionLog(tmp_path / "log", flush_interval_ms=NEVER_MS) as log:
            log.append(make_batch(0, 3))
        counters = log.counters()
        assert (counters.dropped, counters.waiting, counters.written) == (3, 0, 0)
        assert any("3 rows dropped" in entry.message for entry in caplog.records)

    def test_a_folder_taken_away_while_writing_is_made_again(self, make_batch, tmp_path: Path):
        with PredictionLog(tmp_path / "log", flush_interval_ms=NEVER_MS) as log:
            log.append(make_batch())
            assert log.flush()
            shutil.rmtree(tmp_path / "log")
            log.append(make_batch(1))
            assert log.flush()
        assert PredictionReader(tmp_path / "log").to_arrow("spend")["sequence"].to_pylist() == [1]


def test_a_batch_that_makes_no_table_is_dropped_and_the_next_is_written(make_batch, tmp_path: Path, caplog):
    caplog.set_level(logging.ERROR)
    with PredictionLog(tmp_path, flush_interval_ms=NEVER_MS) as log:
        log.append(make_batch(0, 2, outputs={"y": np.zeros(7)}))
        assert log.flush()
        log.append(make_batch(2, 1, outputs={"y": "not an array"}))
        assert log.flush()
        log.append(make_batch(3, 1))
        assert log.flush()
        counters = log.counters()
    assert (counters.written, counters.dropped, counters.errors) == (1, 3, 2)
    assert "do not make a table" in caplog.text


def test_what_comes_during_the_last_flush_is_written_too(make_batch, tmp_path: Path, monkeypatch):
    with PredictionLog(tmp_path, flush_interval_ms=NEVER_MS) as log:
        write = log._write

        def write_while_another_comes_and_the_log_is_closed(part):
            write(part)
            if not log._closing.is_set():
                log.append(make_batch(1, 1))
                log._closing.set()

        monkeypatch.setattr(log, "_write", write_while_another_comes_and_the_log_is_closed)
        log.append(make_batch(0, 1))
        log._wake.set()
        log._thread.join(10)
    assert (log.counters().written, log.counters().waiting) == (2, 0)


def test_after_close_nothing_is_taken(make_batch, tmp_path: Path):
    log = PredictionLog(tmp_path)
    log.close()
    log.append(make_batch())
    assert (log.counters().dropped, log.counters().waiting) == (1, 0)
    log.close()


@pytest.mark.slow
def test_the_hand_over_keeps_no_copy_and_costs_little(make_batch, tmp_path: Path):
    batches = [make_batch(at, 1) for at in range(5_000)]
    with PredictionLog(tmp_path, flush_interval_ms=NEVER_MS, flush_rows=10**6) as log:
        began = time.perf_counter()
        for batch in batches:
            log.append(batch)
        taken = time.perf_counter() - began
    assert taken / len(batches) < 50e-6  # a few microseconds; a busy machine may take more


@pytest.mark.parametrize("worker", ["", "a/b", "..", "a.b", "x" * 65])
def test_a_worker_that_cannot_be_part_of_a_name_is_refused(tmp_path: Path, worker):
    with pytest.raises(PredictionLogError, match="cannot name a worker"):
        PredictionLog(tmp_path, worker=worker)


def test_duckdb_reads_whole_files_while_compactions_make_them(make_batch, tmp_path: Path):
    """Every read in the midst of it succeeds, and sees rows that never become fewer, each once."""
    glob = f"{tmp_path}/spend/*/*/*.parquet"
    query = f"SELECT count(*), count(DISTINCT sequence), coalesce(max(sequence), -1) FROM read_parquet('{glob}')"
    seen: list[int] = []
    with PredictionLog(tmp_path, flush_interval_ms=1, segment_bytes=20_000) as log, duckdb.connect() as connection:
        for at in range(0, 1_000, 5):
            log.append(make_batch(at, 5))
            time.sleep(0.002)
            if at % 100 == 95 and compact(tmp_path).rows | len(seen):
                rows, distinct, last = connection.sql(query).fetchall()[0]
                assert rows == distinct == last + 1
                seen.append(rows)
    assert seen == sorted(seen)
    assert len(seen) > 3
    compact(tmp_path)
    with duckdb.connect() as connection:
        assert connection.sql(query).fetchall() == [(1_000, 1_000, 999)]
        columns = 'version, date, epoch_us(instant), "feature.spending.big", "output.probabilities"[2]'
        found = connection.sql(f"SELECT DISTINCT {columns} FROM read_parquet('{glob}', hive_partitioning = true)")
        assert [(row[0], str(row[1]), *row[2:]) for row in found.fetchall()] == [
            (3, "2017-12-31", 1_514_678_400_000_000, 2**53 + 1, 0.75)
        ]


def test_only_what_is_newer_than_the_interval_dies_with_the_process(tmp_path: Path):
    script = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from featurestore.semantics.value import Int64, column
from gateway.predictionlog.record import PredictionBatch
from gateway.predictionlog.writer import PredictionLog
def batch(at):
    return PredictionBatch("m", 1, "h", "champion", 1, 0, [str(at)], {"k": column(Int64, [at])}, {}, {}, {}, {}, {})
log = PredictionLog(Path(sys.argv[1]), worker="w", flush_interval_ms=100)
for at in range(50):
    log.append(batch(at))
while log.counters().waiting:
    time.sleep(0.01)
log.append(batch(50))
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=environment, check=False)
    assert killed.returncode == -9
    table = PredictionReader(tmp_path).to_arrow("m")
    assert sorted(table["sequence"].to_pylist()) == list(range(50))


def test_several_workers_share_a_folder(make_batch, tmp_path: Path):
    logs = [PredictionLog(tmp_path, flush_interval_ms=NEVER_MS) for _ in range(3)]
    for at, log in enumerate(logs):
        log.append(make_batch(at, 1, features={"a": column(Float64, [1.0])}))
    for log in logs:
        log.close()
    assert len({log.worker for log in logs}) == 3
    assert PredictionReader(tmp_path).to_arrow("spend").num_rows == 3


def test_arrow_is_warm_before_the_first_prediction(tmp_path):
    """A fresh process: what Arrow's first array imports is there once the log is open, and no flush imports more."""
    program = f"""
import sys
from pathlib import Path
from gateway.predictionlog.writer import PredictionLog
before = "pandas" in sys.modules
with PredictionLog(Path({str(tmp_path)!r})):
    print(before, "pandas" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split() == ["False", "True"]
