from pathlib import Path

import numpy as np
import pytest

from featurestore.semantics.value import Float64, Int64, column
from gateway.errors import PredictionLogError
from gateway.predictionlog.reader import Gap, PredictionReader
from gateway.predictionlog.writer import PredictionLog


@pytest.fixture
def reader(make_batch, tmp_path: Path) -> PredictionReader:
    """Four rows of spend in two versions at instants 10, 20, 30, 40, and one of churn."""
    with PredictionLog(tmp_path, worker="w", flush_rows=1) as log:
        log.append(make_batch(0, 2, instant_us=[10, 20]))
        log.append(make_batch(2, 1, instant_us=30))
        log.append(make_batch(3, 1, instant_us=40, version=12, features={"new": column(Float64, [1.0])}))
        log.append(make_batch(4, 1, model="churn", degraded=True, request_id=None))
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
    with PredictionLog(tmp_path, worker="w1", flush_rows=1) as log:
        for at in range(6):
            log.append(make_batch(at, 1, model="spend" if at % 2 else "churn"))
    reader = PredictionReader(tmp_path)
    assert reader.gaps() == ()
    for lost in (0, 3):
        next(tmp_path.rglob(f"w1-{lost:012d}.parquet")).unlink()
    assert reader.gaps() == (Gap("w1", 0, 0), Gap("w1", 3, 3))
