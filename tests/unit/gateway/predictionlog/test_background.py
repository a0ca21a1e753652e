"""A process of its own compacts what is closed, now and then, and ends with its context."""

import time
from pathlib import Path

from gateway.predictionlog.background import BackgroundCompaction
from gateway.predictionlog.reader import PredictionReader
from gateway.predictionlog.writer import PredictionLog


def wait_for(root: Path, files: int) -> None:
    until = time.monotonic() + 20
    while len(list(root.rglob("*.parquet"))) < files and time.monotonic() < until:
        time.sleep(0.02)
    assert len(list(root.rglob("*.parquet"))) == files


def test_closed_segments_are_compacted_beside_a_growing_one(make_batch, tmp_path):
    with BackgroundCompaction(tmp_path, interval_s=0.02), PredictionLog(tmp_path, segment_age_s=0.0) as log:
        for at in range(2):
            log.append(make_batch(at, 1))
            assert log.flush()
            wait_for(tmp_path, at + 1)
    assert sorted(PredictionReader(tmp_path).to_arrow("spend")["sequence"].to_pylist()) == [0, 1]


def test_a_failed_compaction_is_told_and_tried_again(make_batch, tmp_path, caplog, capfd):
    with PredictionLog(tmp_path) as log:
        log.append(make_batch())
    (tmp_path / "spend").write_text("in the way")
    with BackgroundCompaction(tmp_path, interval_s=0.02):
        until = time.monotonic() + 20
        while "compaction ended with 1" not in caplog.text and time.monotonic() < until:
            time.sleep(0.02)
        (tmp_path / "spend").unlink()
        wait_for(tmp_path, 1)
    assert "compaction ended with 1; it is tried again" in caplog.text
    assert "cannot be compacted" in capfd.readouterr().err


def test_it_ends_without_waiting_for_its_interval(tmp_path):
    with BackgroundCompaction(tmp_path, interval_s=3_600):
        pass
