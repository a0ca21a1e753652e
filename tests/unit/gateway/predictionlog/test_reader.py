import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from featurestore.semantics.value import Float64, Int64, column
from gateway.errors import PredictionLogError
from gateway.predictionlog.compaction import compact
from gateway.predictionlog.completeness import Gap
from gateway.predictionlog.reader import PredictionReader
from gateway.predictionlog.record import ServiceDigests
from gateway.predictionlog.segment_writer import ask_to_close
from gateway.predictionlog.writer import PredictionLog


@pytest.fixture(params=["segments", "files", "both"])
def reader(make_batch, tmp_path: Path, request: pytest.FixtureRequest) -> PredictionReader:
    """Four rows of spend in two versions at instants 10, 20, 30, 40, and one of churn; compacted or not."""
    with PredictionLog(tmp_path, worker="w", flush_rows=1) as log:
        log.append(make_batch(0, 2, instant_us=[10, 20]))
        log.append(make_batch(2, 1, instant_us=30))
        if request.param == "both":
            assert log.flush()
            ask_to_close(tmp_path)
            assert log.flush()
            assert compact(tmp_path).rows == 3
        log.append(make_batch(3, 1, instant_us=40, version=12, features={"new": column(Float64, [1.0])}))
        log.append(make_batch(4, 1, model="churn", degraded=True, request_id=None))
    if request.param == "files":
        assert compact(tmp_path).rows == 5
    return PredictionReader(tmp_path)


def test_lists_what_there_is(reader):
    assert reader.models() == ("churn", "spend")
    assert reader.versions("spend") == (3, 12)
    assert PredictionReader(Path("/nowhere")).models() == ()


@pytest.mark.parametrize(
    ("bounds", "ids"),
    [
        ({}, [0, 1, 2, 3]),
        ({"since_us": 20}, [1, 2, 3]),
        ({"until_us": 20}, [0]),
        ({"since_us": 20, "until_us": 40}, [1, 2]),
        ({"since_us": 41}, []),
        ({"version": 3}, [0, 1, 2]),
        ({"version": 12, "since_us": 40, "until_us": 41}, [3]),
    ],
)
def test_the_span_is_half_open(reader, bounds, ids):
    assert sorted(reader.to_arrow("spend", **bounds)["prediction_id"].to_pylist()) == [f"id-{at}" for at in ids]


def test_batches_give_the_same_rows(reader):
    batches = list(reader.batches("spend", 3, since_us=20))
    assert sorted(each for batch in batches for each in batch["key.household"].to_pylist()) == [1, 2]
    assert list(reader.batches("spend", 99)) == []


def test_versions_with_other_columns_stand_in_one_table(reader):
    table = reader.to_arrow("spend").sort_by("sequence")
    assert table["feature.new"].to_pylist() == [None, None, None, 1.0]
    assert table["feature.spending.big"].to_pylist() == [2**53 + 1] * 3 + [None]


def test_find_gives_the_record_as_used(reader):
    found = reader.find("id-1")
    assert found is not None
    assert (found.model, found.version, found.instant_us, found.worker, found.sequence) == ("spend", 3, 20, "w", 1)
    assert (found.variant, found.route_revision, found.record_hash) == ("champion", 5, "9" * 64)
    assert (found.request_id, found.degraded) == ("r-1", False)
    assert found.keys == {"household": 1, "store": "ä"}
    assert found.requests == {"basket": 1.5}
    assert found.features["spending.big"] == 2**53 + 1
    assert found.features["spending.none"] is None
    assert found.statuses == {"spending.sum": 0, "spending.none": 2}
    assert found.sequences == {"spending": 1, "profile": None}
    assert found.outputs == {"label": 1, "probabilities": [0.25, 0.75], "name": "big"}


def test_find_looks_at_every_model_unless_told(reader):
    found = reader.find("id-4")
    assert found is not None
    assert (found.model, found.degraded, found.request_id) == ("churn", True, None)
    assert reader.find("id-4", model="spend") is None
    assert reader.find("id-4", model="unheard-of") is None
    assert reader.find("id-9") is None


def test_what_was_never_logged_is_an_error(reader):
    with pytest.raises(PredictionLogError, match=r"nothing of model spent was logged .*churn, spend"):
        reader.to_arrow("spent")
    with pytest.raises(PredictionLogError, match="nothing of version 4 of model spend was logged"):
        reader.to_arrow("spend", version=4)


def test_versions_that_contradict_each_other_are_read_one_by_one(make_batch, tmp_path: Path):
    with PredictionLog(tmp_path) as log:
        log.append(make_batch(0, 1, features={"a": column(Float64, [1.0])}))
        log.append(make_batch(1, 1, features={"a": column(Int64, [1])}, version=4))
    reader = PredictionReader(tmp_path)
    with pytest.raises(PredictionLogError, match="read one version at a time"):
        reader.to_arrow("spend")
    assert reader.to_arrow("spend", version=4)["feature.a"].to_pylist() == [1]


def test_files_with_and_without_a_column_stand_in_one_version(make_batch, tmp_path: Path):
    with PredictionLog(tmp_path, flush_rows=1) as log:
        log.append(make_batch(0, 1))
        log.append(make_batch(1, 1, features={}, outputs={"late": np.ones(1)}))
    table = PredictionReader(tmp_path).to_arrow("spend").sort_by("sequence")
    assert table["feature.spending.big"].to_pylist() == [2**53 + 1, None]
    assert table["output.late"].to_pylist() == [None, 1.0]


def test_gaps_are_per_worker_over_all_models(make_batch, tmp_path: Path):
    for worker in ("w1", "w2"):
        with PredictionLog(tmp_path, worker=worker, flush_rows=1) as log:
            for at in range(6):
                log.append(make_batch(at, 1, model="spend" if at % 2 else "churn"))
    reader = PredictionReader(tmp_path)
    assert reader.gaps() == ()
    compact(tmp_path)
    assert reader.gaps() == ()
    shutil.rmtree(tmp_path / "churn")
    assert reader.gaps() == tuple(Gap(worker, at, at) for worker in ("w1", "w2") for at in (0, 2, 4))
    assert [(state.rows, state.following, state.ending) for state in reader.workers()] == [(3, 6, "closed")] * 2


@pytest.mark.parametrize(("rows", "ids"), [(1, [3]), (3, [1, 2, 3]), (9, [0, 1, 2, 3])])
def test_the_tail_is_the_last_records_of_all_versions(reader, rows, ids):
    assert reader.tail("spend", rows)["prediction_id"].to_pylist() == [f"id-{at}" for at in ids]


def test_columns_are_chosen_in_the_order_asked_for(reader):
    names = ["sequence", "feature.spending.big", "model"]
    batches = list(reader.batches("spend", 3, since_us=20, columns=names))
    assert {tuple(batch.schema.names) for batch in batches} == {tuple(names)}
    assert sorted(row["sequence"] for batch in batches for row in batch.to_pylist()) == [1, 2]
    assert reader.to_arrow("spend", columns=["feature.new", "sequence"])["feature.new"].null_count == 3
    with pytest.raises(PredictionLogError, match=r"no column 'feature\.spending\.bog' .*feature\.spending\.big"):
        list(reader.batches("spend", 3, columns=["feature.spending.bog"]))


def test_a_version_with_two_meanings_is_told(make_batch, tmp_path: Path):
    for batch in (make_batch(features={"a": column(Float64, [1.0])}), make_batch(features={"a": column(Int64, [1])})):
        with PredictionLog(tmp_path) as log:
            log.append(batch)
    for _ in range(2):
        with pytest.raises(PredictionLogError, match="version 3 of model spend was logged with two meanings"):
            PredictionReader(tmp_path).to_arrow("spend")
        assert compact(tmp_path).files == (2 if _ == 0 else 0)


def test_the_definitions_in_use_are_part_of_the_record(make_batch, tmp_path: Path):
    digests = ServiceDigests("inputs", "d" * 64, (("spending", "e" * 64),), (("share", "f" * 64),))
    with PredictionLog(tmp_path) as log:
        log.append(make_batch(0, 1, definitions=digests))
        log.append(make_batch(1, 1))
    for _ in range(2):
        found = PredictionReader(tmp_path).find("id-0")
        assert found is not None
        assert (found.service, found.service_digest) == ("inputs", "d" * 64)
        assert (found.view_digests, found.function_digests) == ({"spending": "e" * 64}, {"share": "f" * 64})
        compact(tmp_path)


def test_who_may_only_read_reads(make_batch, tmp_path: Path):
    """A folder in which nothing can be made: as root may write anywhere, another user reads it."""
    with PredictionLog(tmp_path / "log") as log:
        log.append(make_batch())
    for parent in (tmp_path / "log").parents:
        if parent.owner() == Path.home().owner() and str(parent).startswith(tempfile.gettempdir() + "/"):
            parent.chmod(0o755)
    program = """
import os, sys
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from gateway.predictionlog.reader import PredictionReader
if os.geteuid() == 0:
    os.setgid(65534), os.setuid(65534)
print(len(list(PredictionReader(Path(sys.argv[1])).batches("spend", 3))))
"""
    (tmp_path / "log").chmod(0o555)
    told = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "log")], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout == "1\n"
    assert not (tmp_path / "log" / "_compaction").exists()
