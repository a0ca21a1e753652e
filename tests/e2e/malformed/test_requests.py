"""Requests that do not fit, sent to a running gateway: problems name thing, place and mend, and nothing is logged."""

import httpx
import pytest

from tests.e2e.malformed.request_cases import REQUESTS, BadRequest
from tests.e2e.malformed.shop import Shop

PARTS = {"type", "title", "status", "detail", "instance", "code", "error", "mend"}
LOGGED = ("unskew_prediction_log_rows", "unskew_predictions")


def counted(client: httpx.Client) -> list[str]:
    """Return what the gateway counts of predictions made and logged."""
    return [line for line in client.get("/metrics").text.splitlines() if line.startswith(LOGGED)]


@pytest.mark.e2e
@pytest.mark.parametrize("bad", REQUESTS, ids=lambda bad: bad.name.replace(" ", "-"))
def test_requests(served: Shop, bad: BadRequest) -> None:
    client = served.client
    assert client is not None
    before, counts = served.state(), counted(client)
    answer = client.request(bad.method, bad.path, content=bad.content, headers=bad.headers)
    assert answer.status_code == bad.status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) >= PARTS, problem
    assert problem["status"] == bad.status
    assert bad.thing in problem["detail"], problem
    assert problem["mend"], problem
    assert bad.mend in problem["mend"], problem
    assert placed(problem, bad.place), problem
    assert "Traceback" not in answer.text
    assert served.state() == before, "something was written"
    assert counted(client) == counts


def placed(problem: dict[str, str], place: str) -> bool:
    """Tell whether the problem names the place: exactly, where it points into the body."""
    if "pointer" in problem:
        return problem["pointer"] == place
    return any(place in problem.get(part, "") for part in ("instance", "where", "detail"))
