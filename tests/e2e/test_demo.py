"""The demo as a user types it: twice, on each kind of store, interrupted, and asked by a hundred requests.

A hundred requests, single and in batches, are held against scikit-learn itself: the estimator is trained again by the
project's own function, and asked with features that the naive oracle computed from the Parquet file.
"""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest

from featurestore.retrieval.training_set import rebuild_training_set
from lifecycle.training.holdout import split_in_time
from lifecycle.training.training_data import TrainingData
from lifecycle.training.training_table import TrainingTable
from tests.oracle.point_in_time import PRESENT, Ask, Version, View, answers
from unskew.project.project import Project

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DAY = timedelta(days=1)
MEMBERS = {
    "prediction_id",
    "model",
    "version",
    "outputs",
    "training_rows",
    "training_set_digest",
    "features",
    "timings",
}
ABSOLUTE, RELATIVE = 1e-5, 1e-5
"""Float32 rounding, as lifecycle.training.onnx_check states it."""


def demo(folder, *arguments, timeout=280):
    return subprocess.run(
        [sys.executable, "-m", "unskew", "demo", "--once", "--directory", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=folder.parent,
    )


def summary(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The folder of a demo that was run once, and what it printed."""
    folder = tmp_path_factory.mktemp("demo") / "unskew-demo"
    return folder, summary(demo(folder))


@contextmanager
def served(folder):
    """Serve a project by the command; give a client of it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "unskew", "serve", "--project", str(folder), "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert set(told) == {"url", "project"}
        with httpx.Client(base_url=told["url"], timeout=30) as client:
            _wait_until_ready(client)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=30)
        if process.stdout is not None:
            process.stdout.close()
    assert status == 0


def _wait_until_ready(client):
    for _ in range(200):
        with suppress(httpx.TransportError):  # the port is bound a moment before it listens
            if client.get("/readyz").status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError("the gateway is not ready")


def test_the_first_run_says_what_a_newcomer_wants_to_know(first):
    _, told = first
    assert set(told) >= MEMBERS
    assert told["training_rows"] >= 100_000
    assert 0.0 < told["outputs"]["probability"] < 1.0
    assert told["feature_values_identical"] == told["feature_values_checked"] == 5 * 23
    assert told["features"]["household_profile.age"]["status"] == "present"
    assert told["metrics"]["roc_auc"] > 0.7


def test_a_second_run_is_quick_and_makes_the_same(first):
    folder, told = first
    began = time.monotonic()
    again = summary(demo(folder))
    took = time.monotonic() - began
    same = ("training_set_digest", "artifact_digest", "version", "outputs", "features", "metrics", "training_rows")
    assert {name: again[name] for name in same} == {name: told[name] for name in same}
    assert again["prediction_id"] != told["prediction_id"]
    assert took < 30
    assert all(again["timings"][stage] < 5 for stage in ("data", "import", "training set", "train"))


def test_another_folder_and_redis_give_the_same(first, tmp_path, redis_server):
    _, told = first
    other = summary(demo(tmp_path / "unskew-demo", "--online", redis_server))
    same = ("training_set_digest", "artifact_digest", "outputs", "features", "metrics")
    assert {name: other[name] for name in same} == {name: told[name] for name in same}


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    done = demo(tmp_path / "mine", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert json.loads(done.stderr.splitlines()[-1])["error"] == "demo-failed"
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_interrupted_and_leaves_no_process(first, number):
    folder, _ = first
    process = subprocess.Popen(
        [sys.executable, "-m", "unskew", "demo", "--directory", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        told = json.loads(next(line for line in process.stdout if line.startswith("{")))
        assert httpx.get(f"{told['url']}/livez").status_code == 200
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "Traceback" not in err
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{told['url']}/livez")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_the_log_holds_what_was_answered(first):
    folder, told = first
    found = subprocess.run(
        [sys.executable, "-m", "unskew", "predictions", "find", told["prediction_id"], "--json", "-p", str(folder)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    record = json.loads(found.stdout)
    assert record["outputs"]["probability"] == pytest.approx(told["outputs"]["probability"], abs=0)
    assert (record["model"], record["version"]) == (told["model"], told["version"])
    assert (
        record["features"]["household_spending.count_90d"] == told["features"]["household_spending.count_90d"]["value"]
    )


class Oracle:
    """The features of the retail project from its Parquet files, by the naive oracle and nothing of the engine."""

    NET = ("sum", 7), ("sum", 30), ("sum", 90), ("mean", 30), ("mean", 90), ("std", 90), ("min", 90), ("max", 90)

    def __init__(self, folder: Path) -> None:
        self.now = datetime(2018, 1, 1, 5, tzinfo=UTC)
        self.baskets = self._histories(folder / "data" / "baskets.parquet", "basket_id", "timestamp")
        self.people = self._histories(folder / "data" / "demographics.parquet", "household_id", "recorded_at")
        asks = [Ask(f"net_{kind}_{days}d", kind, "net", _us(days * DAY)) for kind, days in self.NET]
        asks += [Ask(f"count_{days}d", "count", None, _us(days * DAY)) for days in (7, 30, 90)]
        asks += [
            Ask("discount_sum_30d", "sum", "discount", _us(30 * DAY)),
            Ask("store_id_distinct_90d", "distinct", "store_id", _us(90 * DAY)),
            Ask("net_last", "last", "net", None),
        ]
        derive = {
            "net": lambda row: row["sales_value"] - row["coupon_disc"],
            "discount": lambda row: row["retail_disc"] + row["coupon_disc"] + row["coupon_match_disc"],
        }
        self.spending = View("household_id", asks, _us(180 * DAY), lambda row: row["quantity"] > 0, derive)
        attributes = ("age", "income", "home_ownership", "marital_status", "household_size", "kids_count")
        self.profile = View("household_id", [Ask(name, "last", name, None) for name in attributes])

    def features(self, household: int, basket_value: float) -> dict[str, Any]:
        """Return every input of the model by name; None for null."""
        at = _us(self.now - datetime(1970, 1, 1, tzinfo=UTC))
        found: dict[str, Any] = {}
        for name, view, histories in (
            ("household_spending", self.spending, self.baskets),
            ("household_profile", self.profile, self.people),
        ):
            for feature, answer in answers(histories.get(household, []), view, household, at, 1).items():
                found[f"{name}.{feature}"] = answer.value if answer.status == PRESENT else None
        usual, total = found["household_spending.net_mean_90d"], found["household_spending.net_sum_90d"]
        found["basket_value"] = basket_value
        found["basket_ratio"] = None if usual is None else basket_value / max(usual, 0.01)
        found["usual_week"] = None if total is None else total * (7.0 / 90.0)
        return found

    @staticmethod
    def _histories(path: Path, identity: str, at: str) -> dict[int, list[Version]]:
        histories: dict[int, list[Version]] = {}
        for row in pq.read_table(path).to_pylist():
            instant = _us(row[at] - datetime(1970, 1, 1, tzinfo=UTC))
            histories.setdefault(row["household_id"], []).append(Version((row[identity],), instant, instant, 1, row))
        return histories


def _us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def fitted_again(folder: Path):
    """Train the estimator as the run did, from the same training set; scikit-learn is deterministic here."""
    with Project.load(folder) as project:
        catalog, model = project.applied_catalog, project.model("next_week_spend")
        (digest,) = [path.stem for path in (project.training_sets / "records").glob("*.json")]
        rows = rebuild_training_set(
            digest, project.training_sets, project.offline, services=catalog.services, labels=catalog.labels
        )
        table = TrainingTable.of(rows, "test")
        split = split_in_time(
            table.instants_us,
            ~table.target.nulls,
            fraction=model.holdout_fraction,
            start_us=None,
            label_span_us=catalog.label(model.label_name).matures_us,
        )
        return model.train(table.data(split.train, model.parameters)), table.numeric_names, table.text_names


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def sklearn_answers(estimator, numeric_names, text_names, rows: list[dict[str, Any]]) -> np.ndarray:
    """Ask scikit-learn with the oracle's features."""

    data = TrainingData(
        numeric=np.array([[_number(row[name]) for name in numeric_names] for row in rows], dtype=np.float32),
        text=np.array([["␀" if row[n] is None else row[n] for n in text_names] for row in rows], dtype=object),
        numeric_names=numeric_names,
        text_names=text_names,
        target=np.zeros(0),
        instants_us=np.zeros(0, dtype=np.int64),
        parameters={},
    )
    return estimator.predict_proba(data.inputs)[:, 1]


def test_a_hundred_answers_equal_scikit_learn_on_the_oracle_s_features(first):
    folder, _ = first
    oracle = Oracle(folder)
    random_rows = random.Random(100)
    known = [*oracle.baskets]
    asked = [(random_rows.choice(known), round(random_rows.uniform(0, 200), 2)) for _ in range(230)]
    asked += [(10**9, 12.5), (known[0], 0.0)]  # a household that nobody knows; a basket of nothing
    estimator, numeric_names, text_names = fitted_again(folder)
    expected = sklearn_answers(estimator, numeric_names, text_names, [oracle.features(*row) for row in asked])
    bodies = [{"keys": {"household_id": key}, "inputs": {"basket_value": value}} for key, value in asked]
    singles, batched = bodies[:80], [bodies[at : at + 8] for at in range(80, len(bodies), 8)]
    assert len(singles) + len(batched) >= 99
    with served(folder) as client:
        path = "/v1/models/next_week_spend/predict"
        found = [client.post(path, json=body).raise_for_status().json() for body in singles]
        for rows in batched:
            found += client.post(path, json={"rows": rows}).raise_for_status().json()["predictions"]
    assert len({answer["prediction_id"] for answer in found}) == len(asked)
    got = np.array([answer["outputs"]["probability"] for answer in found])
    assert len(np.unique(got)) > 100
    np.testing.assert_allclose(got, expected, rtol=RELATIVE, atol=ABSOLUTE)
    assert [answer["outputs"]["label"] for answer in found] == (expected > 0.5).tolist()


def test_every_feature_used_is_the_oracle_s(first):
    folder, _ = first
    oracle = Oracle(folder)
    households = random.Random(7).sample([*oracle.baskets], 40)
    rows = [{"keys": {"household_id": key}, "inputs": {"basket_value": 31.4}} for key in households]
    with served(folder) as client:
        body = {"rows": rows, "options": {"explain": True}}
        answer = client.post("/v1/models/next_week_spend/predict", json=body).raise_for_status().json()
    for key, prediction in zip(households, answer["predictions"], strict=True):
        wanted = oracle.features(key, 31.4)
        used = {name: part["value"] for name, part in prediction["features"].items()}
        shown = {name: str(value) if isinstance(value, Decimal) else value for name, value in wanted.items()}
        assert used == shown
