import asyncio
import logging

import pytest

from gateway.api.predict_route import PredictRoute, predicted_model
from gateway.observability.metrics import Measures
from tests.serving_project import LocalGateway, with_row

PATH = "/v1/models/spend/predict"


@pytest.mark.parametrize(
    ("path", "model"),
    [
        (PATH, "spend"),
        ("/v1/models/a-b_c/predict", "a-b_c"),
        ("/v1/models//predict", None),
        ("/v1/models/predict", None),
        ("/v1/models/a/b/predict", None),
        ("/v1/models/spend", None),
        ("/v1/models/spend/predict/", None),
        ("/livez", None),
    ],
)
def test_only_prediction_paths_are_taken(path, model):
    assert predicted_model(path) == model


def test_an_answer_is_json_with_its_length(gateway):
    answer = gateway.predict(with_row(17))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"', None])
def test_json_by_other_names_is_taken(gateway, content_type):
    headers = {"content-type": content_type} if content_type else {}
    body = b'{"keys": {"household_id": 17}, "inputs": {"basket_value": 1}}'
    assert gateway.post(PATH, content=body, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "what"),
    [
        ({"content-type": "application/x-www-form-urlencoded"}, "content-type application/x-www-form-urlencoded"),
        ({"content-type": "text/plain"}, "content-type text/plain"),
        ({"content-type": "application/json; charset=latin-1"}, "charset=latin-1"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, "content-encoding gzip"),
    ],
)
def test_other_content_is_refused(gateway, headers, what):
    answer = gateway.post(PATH, content=b"{}", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (415, "application/problem+json")
    assert what in answer.json()["detail"]


def test_other_methods_are_refused_naming_the_one(gateway):
    answer = gateway.get(PATH)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_body_beyond_the_limit_is_refused(project):
    with LocalGateway(project, body_limit_bytes=100) as small:
        fits = small.post(PATH, content=b'{"keys":{"household_id":17},"inputs":{"basket_value":1}}'.ljust(100))
        answer = small.post(PATH, content=b" " * 101)
    assert (fits.status_code, answer.status_code, answer.headers["connection"]) == (200, 413, "close")
    assert "more than 100 bytes" in answer.json()["detail"]
    assert "body_limit_bytes" in answer.json()["mend"]


def test_a_bug_is_told_without_its_traceback_and_logged_with_it(caplog):
    class Broken:
        endpoints: dict[str, object] = {}  # noqa: RUF012

        async def predict(self, *_):
            raise ZeroDivisionError("secret detail")

    sent = []

    async def receive():
        return {"type": "http.request", "body": b"{}"}

    async def send(message):
        sent.append(message)

    route = PredictRoute(Broken(), Measures(), body_limit_bytes=10)  # type: ignore[arg-type]
    scope = {"method": "POST", "path": PATH, "headers": []}
    with caplog.at_level(logging.ERROR):
        asyncio.run(route.answer("spend", scope, receive, send))
    assert sent[0]["status"] == 500
    assert b"secret" not in sent[1]["body"]
    assert b"ZeroDivision" not in sent[1]["body"]
    assert "secret detail" in caplog.text


def test_a_client_that_leaves_in_the_middle_of_its_body_gets_nothing(gateway):
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": PATH, "headers": []}
    gateway.run(gateway.app(scope, receive, send))
    assert sent == []


def test_requests_are_counted_by_status_and_unknown_models_under_no_name(project):
    with LocalGateway(project) as fresh:
        fresh.predict(with_row(17))
        fresh.predict({})
        for n in range(5):
            fresh.predict({}, f"guess{n}")
        metrics = fresh.get("/metrics").text
    assert 'unskew_requests_total{model="spend",status="200"} 1.0' in metrics
    assert 'unskew_requests_total{model="spend",status="422"} 1.0' in metrics
    assert 'unskew_requests_total{model="",status="404"} 5.0' in metrics
    assert "guess" not in metrics
    assert 'unskew_request_seconds_count{model="spend"} 1.0' in metrics
