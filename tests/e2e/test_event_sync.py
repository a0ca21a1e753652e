"""Law 8 as the system sees it: the gateway's answer to an event leaves after the sync of what it acknowledges."""

import httpx
import pytest

from tests.serving_project import start, stocked_project, stop
from tests.syscall_trace import require_strace, tracing

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def basket(number, ts="2017-12-30T10:00:00Z"):
    return {"basket_id": number, "household_id": 17, "ts": ts, "net": "12.50", "store": f"store-{number}"}


def test_what_an_answer_acknowledges_is_synced_before_it(tmp_path):
    require_strace()
    project = stocked_project(tmp_path / "project")
    process, url = start(project)
    try:
        with httpx.Client(base_url=url, timeout=30) as client:
            client.post("/v1/events/baskets", json=basket(1)).raise_for_status()
            with tracing(process.pid, tmp_path) as trace:
                told = client.post("/v1/events/baskets", json=[basket(2), basket(3, ts="yesterday")]).json()
    finally:
        assert stop(process) == 0
        project.close()
    (answer,) = trace.writes("*TCP:*", containing="dead_letter_id")
    (event,) = trace.writes("*/stream/baskets/*", containing="store-2")
    (letter,) = trace.writes("*/dead-letters/*", containing=told["rejected"][0]["dead_letter_id"])
    assert trace.is_synced(event, before=answer)
    assert trace.is_synced(letter, before=answer)
