import inspect

from gateway import errors
from gateway.api.event_openapi import EVENT_ERRORS, EVENTS_PATH
from gateway.api.openapi import ERRORS, PATH
from gateway.errors import RequestError
from tests.serving_project import with_row


def test_the_prediction_route_is_documented(gateway):
    paths = gateway.get("/openapi.json").json()["paths"]
    assert {"/livez", "/readyz", "/metrics", "/v1/models", "/v1/models/{model}", "/v1/routes/{model}", PATH} <= set(
        paths
    )
    assert gateway.get("/docs").status_code == 200


def test_every_status_of_an_error_is_documented():
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RequestError)]
    assert {kind.status for kind in kinds} == set(ERRORS) == set(EVENT_ERRORS)


def test_answers_to_events_have_the_members_that_are_documented(gateway):
    post = gateway.get("/openapi.json").json()["paths"][EVENTS_PATH]["post"]
    bad = {"basket_id": 1, "household_id": 17, "ts": "yesterday"}
    taken = gateway.post(EVENTS_PATH.format(source="baskets"), json=[{**bad, "ts": "2017-12-30T00:00:00Z"}, bad]).json()
    documented = post["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(taken) == set(documented["required"]) == set(documented["properties"]) - {"without_key"}
    row = documented["properties"]["rejected"]["items"]
    assert set(taken["rejected"][0]) == set(row["properties"]) == set(row["required"])
    refused = gateway.post(EVENTS_PATH.format(source="baskets"), json=bad).json()
    problem, counts = post["responses"]["422"]["content"]["application/problem+json"]["schema"]["allOf"]
    assert set(refused) <= {*problem["properties"], *counts["properties"]}
    assert set(counts["properties"]) - {"without_key"} <= set(refused)


def test_answers_and_problems_have_the_members_that_are_documented(gateway):
    post = gateway.get("/openapi.json").json()["paths"][PATH]["post"]
    single, batch = post["responses"]["200"]["content"]["application/json"]["schema"]["oneOf"]
    answer = gateway.predict({**with_row(17), "options": {"explain": True}}).json()
    assert set(answer) == set(single["properties"])
    assert set(single["required"]) == set(answer) - {"features"}
    feature = single["properties"]["features"]["additionalProperties"]
    assert set(answer["features"]["profile.age"]) == set(feature["required"])
    assert set(gateway.predict({"rows": [with_row(17)]}).json()) == set(batch["properties"])
    problem = gateway.predict({}).json()
    documented = post["responses"]["422"]["content"]["application/problem+json"]["schema"]
    assert set(documented["required"]) <= set(problem) <= set(documented["properties"])
