"""docs/http-api.md is true: its examples are sent, its lists are the code's."""

import inspect
import json
import re
from itertools import pairwise

import pytest

from gateway import errors
from gateway.errors import RequestError
from tests.architecture.linting import REPOSITORY
from tests.serving_project import LocalGateway, stocked_project

PAGE = (REPOSITORY / "docs" / "http-api.md").read_text()
BLOCKS = re.findall(r"^```json (request|answer)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = [
    (json.loads(first[1]), json.loads(second[1])) for first, second in pairwise(BLOCKS) if first[0] == "request"
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    project = stocked_project(tmp_path_factory.mktemp("project"))
    with LocalGateway(project) as made:
        yield made
    project.close()


def without_ids(answer):
    for each in answer.get("predictions", [answer]):
        each.pop("prediction_id", None)
    return answer


@pytest.mark.parametrize(("request_body", "answer"), EXAMPLES)
def test_each_example_gets_the_answer_that_is_shown(gateway, request_body, answer):
    assert without_ids(gateway.predict(request_body).json()) == without_ids(answer)


def test_each_request_has_its_answer():
    assert [kind for kind, _ in BLOCKS] == ["request", "answer"] * len(EXAMPLES)
    assert len(EXAMPLES) >= 4


def test_the_events_of_the_page_get_the_answer_that_is_shown(gateway):
    """All but the dead letter's id, which is another each time."""
    blocks = dict(re.findall(r"^```json (event|taken)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    answer = gateway.post("/v1/events/baskets", json=json.loads(blocks["event"]))
    assert answer.status_code == 200
    shown, told = json.loads(blocks["taken"]), answer.json()
    assert all(row.pop("dead_letter_id") for row in [*shown["rejected"], *told["rejected"]])
    assert told == shown


def test_every_error_of_a_request_is_listed():
    listed = {(int(status), code) for status, code in re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", PAGE, re.MULTILINE)}
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RequestError)]
    raised = {(kind.status, kind.code) for kind in kinds if kind is not RequestError}
    assert listed == raised | {(500, "internal")}


def test_every_path_is_listed(gateway):
    paths = set(gateway.get("/openapi.json").json()["paths"])
    assert {path for path in paths if path not in PAGE} == set()
