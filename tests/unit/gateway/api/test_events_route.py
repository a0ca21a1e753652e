import re
from typing import Any

import orjson
import pytest

from featurestore.ingestion.accept import EventForm
from featurestore.ingestion.dead_letter import DeadLetters
from featurestore.ingestion.stream.open_stream import open_stream
from gateway.api.events_route import event_source
from tests.serving_project import LocalGateway, stocked_project

PATH = "/v1/events/baskets"


@pytest.fixture
def project(tmp_path):
    made = stocked_project(tmp_path)
    yield made
    made.close()


@pytest.fixture
def gateway(project):
    with LocalGateway(project) as made:
        yield made


def basket(number, **changes):
    event = {"basket_id": number, "household_id": 17, "ts": "2017-12-30T10:00:00Z", "net": "12.50", "store": "s1"}
    return event | changes


def stream_of(project, source="baskets"):
    section = project.settings.ingestion
    return open_stream(project.settings.online.url, section.stream, source, backlog_limit_rows=10**9)


def letters_of(project):
    return DeadLetters(project.settings.ingestion.dead_letters).list()


def streamed(project):
    """Return the events in the stream, as a client would send them."""
    stream = stream_of(project)
    form = EventForm(project.catalog.sources["baskets"])
    entries = stream.read("", 10**9, 0)
    stream.close()
    columns = form.columns([entry.payload for entry in entries])
    return [form.written(columns, row) for row in range(sum(entry.rows for entry in entries))]


@pytest.mark.parametrize(
    ("path", "source"),
    [(PATH, "baskets"), ("/v1/events/", None), ("/v1/events/a/b", None), ("/v1/events", None), ("/livez", None)],
)
def test_only_paths_of_events_are_taken(path, source):
    assert event_source(path) == source


def test_one_event_is_in_the_stream_when_it_is_acknowledged(gateway, project):
    answer = gateway.post(PATH, json=basket(1))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {"source": "baskets", "accepted": 1, "rejected": [], "unread": []}
    assert streamed(project) == [basket(1)]


def test_events_that_no_view_has_a_key_of_are_taken_and_counted(gateway, project):
    events = [{**basket(1), "household_id": None}, basket(2)]
    answer = gateway.post(PATH, json=events).json()
    assert (answer["accepted"], answer["rejected"], answer["without_key"]) == (2, [], 1)


@pytest.mark.parametrize("form", ["list", "named", "lines"])
def test_several_events_keep_their_order_in_every_form(gateway, project, form):
    events = [basket(n) for n in range(5)]
    lines = b"\n\n".join(orjson.dumps(event) for event in events) + b"\r\n"
    contents: dict[str, dict[str, Any]] = {
        "list": {"json": events},
        "named": {"json": {"events": events}},
        "lines": {"content": lines, "headers": {"content-type": "application/x-ndjson"}},
    }
    assert gateway.post(PATH, **contents[form]).json()["accepted"] == 5
    assert streamed(project) == events


def test_refused_rows_are_told_one_by_one_and_kept_and_the_others_taken(gateway, project):
    events = [basket(1), basket(2, net="1.234"), basket(3, colour="red"), basket(None), 5]
    told = gateway.post(PATH, json={"events": events})
    assert told.status_code == 200
    answer = told.json()
    assert (answer["accepted"], answer["unread"]) == (2, ["colour"])
    assert [(row["row"], row["pointer"]) for row in answer["rejected"]] == [
        (1, "/events/1/net"),
        (3, "/events/3/basket_id"),
        (4, "/events/4"),
    ]
    assert all(row["reason"] and row["mend"] for row in answer["rejected"])
    assert [event["basket_id"] for event in streamed(project)] == [1, 3]
    letters = {letter.id: letter for letter in letters_of(project)}
    assert [letters[row["dead_letter_id"]].row for row in answer["rejected"]] == [events[1], events[3], events[4]]
    assert {letter.kind for letter in letters.values()} == {"refused"}


def test_where_every_event_is_refused_the_request_is(gateway, project):
    one = gateway.post(PATH, json=basket(1, net=True))
    assert (one.status_code, one.headers["content-type"]) == (422, "application/problem+json")
    problem = one.json()
    assert (problem["code"], problem["pointer"], problem["accepted"]) == ("events-refused", "/net", 0)
    assert problem["detail"] == problem["rejected"][0]["reason"]
    two = gateway.post(PATH, json=[basket(1, ts="yesterday"), basket(2, ts=None)]).json()
    assert [row["pointer"] for row in two["rejected"]] == ["/0/ts", "/1/ts"]
    assert two["detail"].startswith("none of 2 events was accepted")
    assert len(letters_of(project)) == 3
    assert streamed(project) == []


def test_a_line_that_is_not_json_is_refused_by_itself(gateway, project):
    body = orjson.dumps(basket(1)) + b"\n{oops\n" + orjson.dumps(basket(2)) + b"\n\xff\n"
    answer = gateway.post(PATH, content=body, headers={"content-type": "application/x-ndjson"}).json()
    assert (answer["accepted"], [row["row"] for row in answer["rejected"]]) == (2, [1, 3])
    assert "not JSON" in answer["rejected"][0]["reason"]
    assert [letter.row for letter in letters_of(project)] == ["{oops", "\\xff"]


@pytest.mark.parametrize("body", ["[]", '{"events": []}', "7", "", '{"events": [{}], "more": 1}', "{oops"])
def test_a_body_without_events_is_refused_whole(gateway, project, body):
    told = gateway.post(PATH, content=body, headers={"content-type": "application/json"})
    assert told.status_code in (400, 422)
    assert told.json()["code"] in ("request-invalid", "request-not-json")
    assert told.json()["mend"]
    assert letters_of(project) == []


def test_an_empty_body_of_lines_is_refused(gateway):
    told = gateway.post(PATH, content=b"\n \n", headers={"content-type": "application/x-ndjson"})
    assert (told.status_code, told.json()["code"]) == (422, "request-invalid")


def test_an_unknown_source_is_named_with_the_nearest(gateway):
    told = gateway.post("/v1/events/basket", json=basket(1))
    assert (told.status_code, told.json()["mend"]) == (404, "did you mean baskets?")


def test_other_methods_and_contents_are_refused(gateway):
    assert (gateway.get(PATH).status_code, gateway.get(PATH).headers["allow"]) == (405, "POST")
    told = gateway.post(PATH, content=b"a,b", headers={"content-type": "text/csv"})
    assert (told.status_code, "application/x-ndjson" in told.json()["mend"]) == (415, True)


def test_bodies_and_rows_beyond_the_limits_are_refused(tmp_path):
    project = stocked_project(tmp_path, gateway="[ingestion]\nbody_limit_bytes = 300\nrequest_limit_rows = 2")
    with LocalGateway(project) as small:
        large = small.post(PATH, content=b" " * 301)
        many = [
            small.post(PATH, json=[1, 2, 3]),
            small.post(PATH, content=b"1\n2\n3", headers={"content-type": "application/jsonl"}),
        ]
    project.close()
    assert (large.status_code, "[ingestion] body_limit_bytes" in large.json()["mend"]) == (413, True)
    assert {(each.status_code, "3 events" in each.json()["detail"]) for each in many} == {(413, True)}


def test_a_full_backlog_answers_429_and_keeps_nothing(tmp_path):
    project = stocked_project(tmp_path, gateway="[ingestion]\nbacklog_limit_rows = 3")
    with LocalGateway(project) as small:
        assert small.post(PATH, json=[basket(1), basket(2)]).status_code == 200
        told = small.post(PATH, json=[basket(3), basket(4), basket(5, net="x")])
        assert letters_of(project) == []
        assert small.post(PATH, json=basket(6)).status_code == 200
        metrics = small.get("/metrics").text
    assert (told.status_code, told.headers["retry-after"], told.json()["code"]) == (429, "1", "backlog-limit")
    assert [event["basket_id"] for event in streamed(project)] == [1, 2, 6]
    assert 'unskew_event_requests_shed_total{reason="backlog",source="baskets"} 1.0' in metrics
    project.close()


def test_what_was_taken_and_refused_is_counted(gateway):
    gateway.post(PATH, json=[basket(1), basket(2), basket(3, net="x")])
    gateway.post(PATH, json=basket(4, net="x"))
    gateway.post("/v1/events/guess", json={})
    gateway.settle_until(lambda: 'unskew_event_backlog_rows{source="baskets"} 2.0' in gateway.get("/metrics").text)
    metrics = gateway.get("/metrics").text
    assert 'unskew_events_total{fate="accepted",source="baskets"} 2.0' in metrics
    assert 'unskew_events_total{fate="refused",source="baskets"} 2.0' in metrics
    assert 'unskew_event_requests_total{source="baskets",status="200"} 1.0' in metrics
    assert 'unskew_event_requests_total{source="baskets",status="422"} 1.0' in metrics
    assert 'unskew_event_requests_total{source="",status="404"} 1.0' in metrics
    assert 'unskew_event_append_seconds_count{source="baskets"} 2.0' in metrics
    assert "guess" not in metrics


def test_a_large_body_is_read_aside_and_taken_whole(gateway, project):
    events = [basket(n, store="x" * 50) for n in range(1000)]
    assert gateway.post(PATH, json=events).json()["accepted"] == 1000
    assert streamed(project) == events


def test_requests_of_one_moment_share_an_append(gateway, project):
    """While one append runs, those that come go together into the next: a few rounds for any number of requests."""
    bodies = [basket(n) for n in range(40)]
    told = gateway.post_together(PATH, bodies)
    assert {each.status_code for each in told} == {200}
    assert sorted(event["basket_id"] for event in streamed(project)) == list(range(40))
    (rounds,) = re.findall(r'unskew_event_append_seconds_count{source="baskets"} (\d+)', gateway.get("/metrics").text)
    assert int(rounds) <= 3


def test_a_client_that_leaves_in_the_middle_of_its_body_gives_its_room_back(gateway):
    messages = [{"type": "http.request", "body": b"[" * 1000, "more_body": True}, {"type": "http.disconnect"}]

    async def receive():
        return messages.pop(0)

    async def send(_message):
        raise AssertionError("nobody is there to answer")

    scope = {"type": "http", "method": "POST", "path": PATH, "headers": []}
    gateway.run(gateway.app(scope, receive, send))
    assert (gateway.app.intake.held_bytes, gateway.app.intake.admission.in_flight) == (0, 0)
