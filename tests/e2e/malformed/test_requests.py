"""Malformed requests to a gateway process: each answer names thing, place and mend, and nothing is logged for it."""

import pytest

from tests.e2e.malformed.request_cases import CASES, PATH, Case, row
from tests.serving_project import logged, served, stocked_project

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = stocked_project(tmp_path_factory.mktemp("requests"))
    made.deploy("typed", "typed_inputs")
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(project):
    with served(project) as made:
        yield made
    assert logged(project, "typed") == []
    answered = [log["request_id"] for log in logged(project)]
    assert answered == [None] * len(answered), "a malformed request was answered"


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_malformed_request_is_told_what_where_and_how_to_mend_it(client, case: Case):
    headers = {**case.headers, "x-request-id": "malformed"}
    answer = client.request(case.method, case.path, content=case.content, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (case.status, "application/problem+json")
    problem = answer.json()
    assert problem["status"] == case.status
    assert case.thing in problem["detail"]
    assert case.mend in problem["mend"]
    assert problem["instance"] == case.path
    if case.status == 422 or case.place.startswith("/"):
        assert problem["pointer"] == case.place
    else:
        assert case.place in problem["instance"]
    assert problem["detail"] in problem["error"]
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text


def test_the_gateway_answers_on(client):
    assert client.post(PATH, json=row()).status_code == 200


def test_cases_have_names_of_their_own():
    assert len({case.name for case in CASES}) == len(CASES) >= 60
