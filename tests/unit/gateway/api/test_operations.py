import pytest

from tests.serving_project import LocalGateway, ServingProject


def test_health(gateway):
    assert gateway.get("/livez").json() == {"live": True}
    told = {"ready": True, "route_revisions": {"spend": 1}, "online_store": "ok", "stale": {}}
    assert gateway.get("/readyz").json() == told


def test_metrics_are_in_prometheus_text_format(gateway):
    answer = gateway.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "# TYPE unskew_requests_total counter" in answer.text


def test_models_are_listed_with_who_answers(gateway):
    assert gateway.get("/v1/models").json() == {
        "models": [
            {
                "model": "spend",
                "owner": "team@example.org",
                "versions": 1,
                "latest": 1,
                "champion": 1,
                "challenger": None,
            }
        ]
    }


def test_a_model_says_what_its_requests_look_like(gateway, project):
    told = gateway.get("/v1/models/spend").json()
    assert told["request"] == {"keys": {"household_id": "int64"}, "inputs": {"basket_value": "float64"}}
    assert told["served_revision"] == told["route"]["revision"] == 1
    record = project.registry.get("spend")
    assert told["versions"][0]["record_hash"] == record.record_hash
    assert told["versions"][0]["created_at"] == "2017-12-31T00:00:00Z"


def test_a_route_says_who_has_which_share_with_a_strong_tag(gateway, project):
    answer = gateway.get("/v1/routes/spend")
    assert answer.json() == {
        "model": "spend",
        "revision": 1,
        "variants": [{"name": "champion", "version": 1, "weight": 1}],
        "shares": {"champion": 1.0},
        "served_revision": 1,
    }
    route = project.registry.route("spend")
    assert route is not None
    assert answer.headers["etag"] == f'"{route.etag}"'


@pytest.mark.parametrize(
    ("method", "path", "status", "mend"),
    [
        ("get", "/v1/models/spnd", 404, "did you mean spend?"),
        ("get", "/v1/routes/spnd", 404, "did you mean spend?"),
        ("get", "/nowhere", 404, "/v1/models/{model}/predict"),
        ("get", "/v1/models/spend/predictions", 404, "/v1/models/{model}/predict"),
        ("post", "/readyz", 405, "use GET"),
        ("post", "/v1/models", 405, "use GET"),
    ],
)
def test_errors_are_problem_details_too(gateway, method, path, status, mend):
    answer = getattr(gateway, method)(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert mend in answer.json()["mend"]
    assert answer.json()["instance"] == path


def test_a_registered_model_without_a_route_says_so(tmp_path):
    project = ServingProject(tmp_path)
    project.register("idle")
    with LocalGateway(project) as gateway:
        told, answer = gateway.get("/v1/models/idle").json(), gateway.get("/v1/routes/idle")
    project.close()
    assert told["route"] is None
    assert (answer.status_code, "unskew promote idle" in answer.json()["mend"]) == (404, True)
