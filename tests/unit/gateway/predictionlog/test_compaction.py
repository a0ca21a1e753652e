"""Segments become Parquet files, each record once, whoever reads, compacts or writes at the moment."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from featurestore.foundation.clock import DAY
from featurestore.semantics.value import Float64, column
from gateway.errors import PredictionLogError
from gateway.predictionlog import compaction, parquet_files
from gateway.predictionlog.compaction import Compacted, compact
from gateway.predictionlog.contents import opened, readers_lock, state_files, state_folder
from gateway.predictionlog.reader import PredictionReader
from gateway.predictionlog.segment import segments, segments_folder
from gateway.predictionlog.segment_writer import ask_to_close
from gateway.predictionlog.verification import verify
from gateway.predictionlog.writer import PredictionLog
from tests.unit.gateway.predictionlog.conftest import INSTANT_US, MakeBatch


@pytest.fixture
def log(tmp_path: Path) -> Iterator[PredictionLog]:
    with PredictionLog(tmp_path, worker="w", flush_interval_ms=5) as log:
        yield log


def numbers(root: Path, model: str = "spend") -> list[int]:
    found: list[int] = PredictionReader(root).to_arrow(model)["sequence"].to_pylist()
    return sorted(found)


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.parquet"))


def test_a_record_goes_to_the_file_of_its_own_day(make_batch: MakeBatch, log: PredictionLog, tmp_path: Path) -> None:
    log.append(make_batch(0, 3, instant_us=[INSTANT_US, INSTANT_US - 1, INSTANT_US + DAY]))
    log.append(make_batch(3, 1, model="churn"))
    log.close()
    assert compact(tmp_path) == Compacted(segments=1, rows=4, files=4)
    assert {
        path.parent.name: pq.ParquetFile(path).read()["sequence"].to_pylist() for path in files(tmp_path / "spend")
    } == {
        "date=2017-12-30": [1],
        "date=2017-12-31": [0],
        "date=2018-01-01": [2],
    }
    assert list(segments(tmp_path)) == []
    assert compact(tmp_path) == Compacted()


def test_a_segment_that_grows_is_left_alone(make_batch: MakeBatch, log: PredictionLog, tmp_path: Path) -> None:
    log.append(make_batch(0, 2))
    assert log.flush()
    assert compact(tmp_path) == Compacted()
    assert ask_to_close(tmp_path, timeout_s=10)
    log.append(make_batch(2, 1))
    assert log.flush()
    assert compact(tmp_path).rows == 2
    assert numbers(tmp_path) == [0, 1, 2]


def test_a_segment_is_closed_when_it_is_large_or_old(make_batch: MakeBatch, tmp_path: Path) -> None:
    for limits in ({"segment_bytes": 1}, {"segment_age_s": 0.0}):
        with PredictionLog(tmp_path, flush_interval_ms=5, **limits) as log:
            for at in range(3):
                log.append(make_batch(at, 1))
                assert log.flush()
            assert not any(segment.growing() for segment in segments(tmp_path))
            assert log.counters().files == 3


def test_nobody_waits_for_a_writer_that_does_not_answer(make_batch: MakeBatch, tmp_path: Path) -> None:
    assert ask_to_close(tmp_path / "nothing")
    with PredictionLog(tmp_path, flush_interval_ms=3_600_000) as log:
        log.append(make_batch())
        assert log.flush()
        assert not ask_to_close(tmp_path, timeout_s=0.02)


def test_small_frames_are_read_as_one(make_batch: MakeBatch, tmp_path: Path) -> None:
    with PredictionLog(tmp_path, flush_rows=1, flush_interval_ms=3_600_000) as log:
        for at in range(60):
            log.append(make_batch(at, 1))
            assert log.flush()
    assert [batch.num_rows for batch in PredictionReader(tmp_path).batches("spend", 3)] == [60]


def test_while_somebody_reads_nothing_is_taken_away(make_batch: MakeBatch, log: PredictionLog, tmp_path: Path) -> None:
    log.append(make_batch(0, 2))
    log.close()
    reading = PredictionReader(tmp_path).batches("spend", 3)
    with opened(tmp_path) as before:
        assert compact(tmp_path).rows == 2
        with opened(tmp_path) as after:
            assert (len(before.segments), len(before.files)) == (1, 0)
            assert (len(after.segments), len(after.files)) == (0, 1)
        assert len(segments(tmp_path)) == 1
        assert sum(batch.num_rows for batch in reading) == 2
        assert numbers(tmp_path) == [0, 1]
    compact(tmp_path)
    assert (segments(tmp_path), state_files(tmp_path)) == ([], ())
    assert numbers(tmp_path) == [0, 1]


def test_of_two_compactions_one_works(make_batch: MakeBatch, log: PredictionLog, tmp_path: Path) -> None:
    log.append(make_batch())
    log.close()
    state_folder(tmp_path).mkdir()
    with (state_folder(tmp_path) / "lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert compact(tmp_path) == Compacted(busy=True)
    assert compact(tmp_path).rows == 1


def test_the_files_of_a_plan_count_once_it_is_done(make_batch: MakeBatch, log: PredictionLog, tmp_path: Path) -> None:
    """A plan left by a killed compaction: its files are hidden, and the next writes them anew."""
    log.append(make_batch(0, 2))
    log.close()
    (segment,) = segments(tmp_path)
    plan = state_folder(tmp_path) / f"plan-{segment.path.stem}.json"
    with parquet_files.ParquetFiles(tmp_path, segment.path.stem) as written:
        for layout, varying in segment.rows(lambda _: True):
            written.write("spend", 3, layout.full(varying, "w"))
            written.write("spend", 99, layout.full(varying, "w"))
    plan.parent.mkdir()
    plan.write_text(json.dumps({"segments": [segment.path.name]}))
    assert numbers(tmp_path) == [0, 1]
    assert PredictionReader(tmp_path).versions("spend") == (3,)
    assert compact(tmp_path).files == 1
    assert numbers(tmp_path) == [0, 1]
    assert not files(tmp_path / "spend" / "v99")


def test_what_a_later_segment_has_too_is_void_in_the_earlier(
    make_batch: MakeBatch, tmp_path: Path, monkeypatch
) -> None:
    """A disk that neither syncs nor lets what was written be cut off: the rows are written again, and count once."""
    broken = [True]
    for call in ("fdatasync", "ftruncate"):
        real = getattr(os, call)

        def failing(*arguments: int, real=real) -> None:
            if broken[0]:
                raise OSError(5, "Input/output error")
            real(*arguments)

        monkeypatch.setattr(os, call, failing)
    with PredictionLog(tmp_path, worker="w", flush_interval_ms=20) as log:
        broken[0] = False
        log.append(make_batch(0, 3))
        assert log.flush()
        broken[0] = True
        log.append(make_batch(3, 2))
        log.append(make_batch(5, 1, model="churn"))
        log.flush(0.1)
        assert log.counters().waiting == 3
        assert compact(tmp_path).rows == 0  # it may be void yet
        broken[0] = False
        assert log.flush()
        assert numbers(tmp_path) == [0, 1, 2, 3, 4]
        assert compact(tmp_path).rows == 3
        assert numbers(tmp_path) == [0, 1, 2, 3, 4]
    for _ in range(2):
        assert (numbers(tmp_path), numbers(tmp_path, "churn")) == ([0, 1, 2, 3, 4], [5])
        assert verify(tmp_path).whole
        compact(tmp_path)


def test_more_days_than_files_may_be_open(make_batch: MakeBatch, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(parquet_files, "OPEN_FILES", 3)
    with PredictionLog(tmp_path) as log:
        for at in range(20):
            log.append(make_batch(at, 1, instant_us=INSTANT_US + DAY * (at * 3 % 10)))
    compact(tmp_path)
    assert numbers(tmp_path) == list(range(20))


def test_row_groups_are_of_bounded_size(make_batch: MakeBatch, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(parquet_files, "ROW_GROUP_ROWS", 100)
    with PredictionLog(tmp_path) as log:
        for at in range(0, 1_000, 50):
            log.append(make_batch(at, 50, instant_us=INSTANT_US + at))
    compact(tmp_path)
    (file,) = files(tmp_path)
    groups = pq.read_metadata(file)
    assert max(groups.row_group(number).num_rows for number in range(groups.num_row_groups)) <= 100
    since = PredictionReader(tmp_path).batches("spend", 3, since_us=INSTANT_US + 500, until_us=INSTANT_US + 600)
    assert sum(batch.num_rows for batch in since) == 100


def test_several_plans_share_many_segments(make_batch: MakeBatch, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(compaction, "PLAN_BYTES", 1)
    with PredictionLog(tmp_path, flush_interval_ms=5, segment_bytes=1) as log:
        for at in range(3):
            log.append(make_batch(at, 1))
            assert log.flush()
    assert compact(tmp_path).files == 3
    assert numbers(tmp_path) == [0, 1, 2]


def test_a_damaged_segment_is_kept_and_told(make_batch: MakeBatch, tmp_path: Path, caplog) -> None:
    with PredictionLog(tmp_path, worker="w", flush_interval_ms=3_600_000) as log:
        for at in range(3):
            log.append(make_batch(at, 1))
            assert log.flush()
    (segment,) = segments(tmp_path)
    data = bytearray(segment.path.read_bytes())
    data[len(data) // 2] ^= 1
    segment.path.write_bytes(data)
    told = verify(tmp_path)
    assert not told.whole
    assert [path for path, _ in told.damage] == [str(segment.path)]
    assert compact(tmp_path).damaged_bytes > 0
    assert (segments_folder(tmp_path) / "damaged" / segment.path.name).read_bytes() == data
    assert "damaged bytes" in caplog.text
    assert verify(tmp_path).describe()["lost"] == 1


def test_a_damaged_file_is_told(make_batch: MakeBatch, tmp_path: Path) -> None:
    with PredictionLog(tmp_path, worker="w") as log:
        log.append(make_batch(0, 500))
    compact(tmp_path)
    assert verify(tmp_path).describe()["records"] == 500
    (file,) = files(tmp_path)
    data = bytearray(file.read_bytes())
    data[200] ^= 1
    file.write_bytes(data)
    told = verify(tmp_path)
    assert [path for path, _ in told.damage] == [str(file)]
    assert told.describe()["lost"] == 500


def test_a_compaction_that_cannot_write_says_so_and_the_next_ends_it(
    make_batch: MakeBatch, log: PredictionLog, tmp_path: Path
) -> None:
    log.append(make_batch())
    log.close()
    (tmp_path / "spend").write_text("in the way")
    with pytest.raises(PredictionLogError, match=r"cannot be compacted: .*nothing was lost"):
        compact(tmp_path)
    (tmp_path / "spend").unlink()
    assert numbers(tmp_path) == [0]
    assert compact(tmp_path).rows == 1


def test_what_killed_writers_left_unnamed_is_removed(make_batch: MakeBatch, log: PredictionLog, tmp_path: Path) -> None:
    log.append(make_batch())
    assert log.flush()
    left, held = (segments_folder(tmp_path) / f".{name}.seg.00.tmp" for name in ("left", "held"))
    left.touch()
    with held.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        compact(tmp_path)
        assert (left.exists(), held.exists()) == (False, True)
    assert readers_lock(tmp_path).exists()


def test_a_column_that_came_later_is_in_a_file_of_its_own(make_batch: MakeBatch, tmp_path: Path) -> None:
    with PredictionLog(tmp_path, flush_interval_ms=3_600_000) as log:
        log.append(make_batch(0, 1))
        assert log.flush()
        log.append(make_batch(1, 1, features={"new": column(Float64, [1.0])}))
    assert compact(tmp_path).files == 2
    table = PredictionReader(tmp_path).to_arrow("spend").sort_by("sequence")
    assert table["feature.new"].to_pylist() == [None, 1.0]
