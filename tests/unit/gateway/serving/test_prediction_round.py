import math
from typing import Any

import numpy as np
import pytest

from featurestore.online.base import Put
from featurestore.online.view_format import ViewFormat
from tests.serving_project import NOW_US, SEQUENCE, Basket, LocalGateway, logged, with_row
from tests.unit.gateway.inference.test_onnx_session import division_by_rows


def numbers(answer):
    return [math.nan if value == "NaN" else value for value in answer["outputs"]["numbers"]]


def test_the_model_gets_exactly_what_the_features_are(project):
    with LocalGateway(project) as gateway:
        answer = gateway.predict(with_row(17)).json()
    assert answer["outputs"] == {"numbers": [22.5, 1.0, 41.0, 0.5], "texts": ["s1", "high"], "score": 65.0}
    assert (answer["version"], answer["variant"], answer["route_revision"]) == (1, "champion", 1)
    assert (answer["as_of"], answer["degraded"]) == ("2017-12-31T00:00:00Z", False)


def test_each_request_of_a_round_gets_its_own_answer(project):
    for household in range(100, 200):
        project.put_household(household, [Basket(1, household * 100)])
    with LocalGateway(project) as gateway:
        answers = gateway.predict_together([with_row(household) for household in range(100, 200)])
        metrics = gateway.get("/metrics").text
    assert [numbers(answer.json())[0] for answer in answers] == [float(n) for n in range(100, 200)]
    assert len({answer.json()["prediction_id"] for answer in answers}) == 100
    assert 'unskew_feature_fetches_total{service="inputs"} 1.0' in metrics
    assert 'unskew_feature_fetch_rows_total{service="inputs"} 100.0' in metrics


def test_a_batch_answers_as_its_rows_alone_do(project):
    rows = [with_row(household) for household in (17, 18, 19, 20, 17)]
    with LocalGateway(project) as gateway:
        batch = gateway.predict({"rows": rows}).json()
        alone = [gateway.predict(row).json() for row in rows]
    assert batch["model"] == "spend"
    assert [each["outputs"] for each in batch["predictions"]] == [each["outputs"] for each in alone]


def test_refusing_names_the_features_and_leaves_the_others_alone(project):
    project.deploy("strict", "strict_inputs")
    bodies: list[Any] = [{"keys": {"household_id": key}, "inputs": {"points": 3}} for key in (17, 18, 20, 17)]
    bodies.append({"keys": {"household_id": 17}, "inputs": {"points": None}})
    with LocalGateway(project) as gateway:
        answers = gateway.predict_together(bodies, "strict")
    assert [answer.status_code for answer in answers] == [200, 422, 422, 200, 422]
    problem = answers[1].json()
    assert problem["code"] == "features-missing"
    assert "no value for spending.net_sum_30d" in problem["detail"]
    assert "no value for points" in answers[4].json()["detail"]
    assert [row["key.household"] for row in logged(project, "strict")] == [17, 17]


def test_defaults_stand_in_for_what_is_missing_and_are_told(project):
    project.deploy("filled", "filled_inputs")
    body = {"keys": {"household_id": 20}, "inputs": {"points": None}, "options": {"explain": True}}
    with LocalGateway(project) as gateway:
        answer = gateway.predict(body, "filled").json()
    assert answer["outputs"]["numbers"] == [-5.0, "NaN"]
    assert answer["outputs"]["texts"] == "none"
    told = answer["features"]["spending.net_sum_30d"]
    assert told == {"value": None, "status": "missing", "age_seconds": None, "default": -5.0}
    assert logged(project, "filled")[0]["feature.spending.net_sum_30d"] is None


def test_request_values_of_every_type_reach_the_model(project):
    project.deploy("typed", "typed_inputs")
    inputs = {
        "whole": 2**53 + 1,
        "real": "NaN",
        "short": 0.1,
        "flag": True,
        "word": "ä",
        "instant": "1970-01-01T00:00:01Z",
        "price": "-0.25",
    }
    with LocalGateway(project) as gateway:
        answer = gateway.predict({"inputs": inputs, "options": {"explain": True}}, "typed").json()
    expected = [float(np.float32(2**53)), "NaN", float(np.float32(0.1)), 1.0, 1e6, -0.25]
    assert (answer["outputs"]["numbers"], answer["outputs"]["texts"]) == (expected, "ä")
    told = {name: each["value"] for name, each in answer["features"].items()}
    assert told == {**inputs, "short": float(np.float32(0.1))}
    assert logged(project, "typed")[0]["request.whole"] == 2**53 + 1


def test_what_is_logged_is_what_was_used(project):
    with LocalGateway(project) as gateway:
        answer = gateway.post(
            "/v1/models/spend/predict",
            json={"rows": [with_row(17), with_row(18, basket_value=None)]},
            headers={"x-request-id": "request-7"},
        ).json()
    first, second = logged(project)
    assert [first["prediction_id"], second["prediction_id"]] == [
        each["prediction_id"] for each in answer["predictions"]
    ]
    assert (first["request_id"], first["key.household"], first["request.basket_value"]) == ("request-7", 17, 11.25)
    assert second["request.basket_value"] is None
    assert first["record_hash"] == project.registry.get("spend").record_hash
    assert (first["s.spending"], first["s.profile"]) == (SEQUENCE, SEQUENCE)
    assert int(first["instant"].timestamp() * 1e6) == NOW_US
    assert (first["feature.spending.net_sum_30d"], first["feature.basket_share"]) == (22.5, 0.5)
    assert (first["feature.spending.store_last"], first["output.score"]) == ("s1", 65.0)
    assert (second["feature.spending.net_sum_30d"], second["status.spending.net_sum_30d"]) == (None, 1)
    assert (second["feature.profile.age"], second["status.profile.age"]) == (None, 2)
    assert [first["sequence"], second["sequence"]] == [0, 1]


def test_a_damaged_row_fails_its_own_request_only(project):
    form = ViewFormat(project.catalog.views["spending"])
    key = form.encode_key(18)
    row = bytearray(project.store.get_many([form.keys.row(key)])[0] or b"")
    row[-6] ^= 0xFF
    project.store.put_many([Put(form.keys.row(key), bytes(row), form.keys.log(key), None)])
    with LocalGateway(project) as gateway:
        answers = gateway.predict_together([with_row(17), with_row(18), with_row(17)])
    assert [answer.status_code for answer in answers] == [200, 503, 200]
    assert answers[1].json()["code"] == "features-unreadable"
    assert "spending" in answers[1].json()["where"]


def test_a_failing_model_fails_its_own_request_only(project):
    project.deploy("choosy", "strict_inputs", onnx=division_by_rows(), outputs=("y",))
    bodies = [{"keys": {"household_id": 17}, "inputs": {"points": 1}} for _ in range(2)]
    project.put_household(17, [Basket(1, 100)])
    project.put_household(18, [Basket(1, 700)])
    bodies.insert(1, {"keys": {"household_id": 18}, "inputs": {"points": 1}})
    with LocalGateway(project) as gateway:
        answers = gateway.predict_together(bodies, "choosy")
    assert [answer.status_code for answer in answers] == [200, 500, 200]
    assert answers[1].json()["code"] == "model-failed"
    assert "choosy version 1" in answers[1].json()["where"]


@pytest.mark.parametrize("rows", [1, 50])
def test_every_row_is_logged_once(project, rows):
    with LocalGateway(project) as gateway:
        gateway.predict({"rows": [with_row(17)] * rows})
        gateway.predict_together([with_row(18)] * 3)
    sequences = [row["sequence"] for row in logged(project)]
    assert sequences == list(range(rows + 3))


def test_with_sync_an_answer_that_has_left_is_in_the_log(project):
    predictions = project.settings.predictions.model_copy(update={"durability": "sync", "flush_interval_ms": 3_600_000})
    project.settings = project.settings.model_copy(update={"predictions": predictions})
    with LocalGateway(project) as gateway:
        answers = gateway.predict_together([with_row(17), with_row(18), {"keys": {}}, with_row(17)])
        told = [answer.json()["prediction_id"] for answer in answers if answer.status_code == 200]
        rows = logged(project)
        assert "unskew_prediction_log_unsynced_rows_total 0.0" in gateway.get("/metrics").text
    assert sorted(row["prediction_id"] for row in rows) == sorted(told)
    assert len(told) == 3


def test_the_definitions_in_use_are_logged(project):
    with LocalGateway(project) as gateway:
        gateway.predict(with_row(17))
    (row,) = logged(project)
    service = project.catalog.services["inputs"]
    assert (row["service"], row["service_digest"]) == ("inputs", service.digest)
    for view in service.views:
        assert row[f"view_digest.{view.name}"] == view.digest
    assert row["function_digest.basket_share"] == service.request_features[0].digest
