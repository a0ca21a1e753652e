"""`unskew predictions compact` and `verify`: the log as files, and what is missing in it."""

import fcntl
import json
from pathlib import Path

import numpy as np

from featurestore.semantics.value import Int64, column
from gateway.predictionlog.record import PredictionBatch
from gateway.predictionlog.writer import PredictionLog


def batch(number: int) -> PredictionBatch:
    return PredictionBatch(
        "spend", 1, "9" * 64, "champion", 1, 0, [f"id-{number}"],
        keys={"household": column(Int64, [number])}, requests={}, features={}, sequences={}, statuses={},
        outputs={"y": np.ones(1)},
    )  # fmt: skip


def test_what_a_running_gateway_logged_is_compacted_on_demand(fresh):
    root = Path(fresh.folder) / ".unskew" / "predictions"
    assert fresh("predictions", "compact").json() == {"segments": 0, "rows": 0, "files": 0, "damaged_bytes": 0}
    with PredictionLog(root, flush_interval_ms=20) as log:
        log.append(batch(0))
        assert log.flush()
        assert fresh("predictions", "compact").json()["rows"] == 1
        log.append(batch(1))
        assert log.flush()
        assert len(list((root / "spend" / "v1").rglob("*.parquet"))) == 1
        assert fresh("predictions", "verify").json()["whole"]
        assert "running" in fresh.plainly("predictions", "verify").out
    told = fresh("predictions", "find", "id-0").json()
    assert (told["keys"], told["service_digest"]) == ({"household": 0}, "")
    assert "1 records of 1 segments are in 1 new Parquet files" in fresh.plainly("predictions", "compact").err


def test_a_log_with_a_gap_fails_the_verification(fresh):
    root = Path(fresh.folder) / ".unskew" / "predictions"
    with PredictionLog(root, worker="w", flush_interval_ms=3_600_000, capacity_rows=1) as log:
        log.append(batch(0))
        log.append(batch(1))
        log.append(batch(2))
    shown = fresh("predictions", "verify")
    assert (shown.status, shown.err) == (1, "")
    told = json.loads(shown.out)
    assert (told["whole"], told["records"], told["dropped"], told["lost"]) == (False, 1, 2, 0)
    assert told["gaps"] == [{"worker": "w", "first": 1, "last": 2, "dropped": True}]
    shown = fresh.plainly("predictions", "verify")
    assert (shown.status, "closed" in shown.out) == (1, True)


def test_a_compaction_at_work_is_told(fresh):
    state = Path(fresh.folder) / ".unskew" / "predictions" / "_compaction"
    state.mkdir(parents=True)
    with (state / "lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert "another compaction is at work" in fresh("predictions", "compact").error()["what"]
