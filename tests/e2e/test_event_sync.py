"""Law 8 as the system sees it: the gateway's answer to an event leaves after the sync of what it acknowledges."""

from contextlib import ExitStack, contextmanager
from threading import Thread

import httpx
import pytest

from tests.serving_project import start, stocked_project, stop
from tests.syscall_trace import require_strace, tracing

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PATH = "/v1/events/baskets"
CLIENTS, REQUESTS = (1, 2, 3), 6
"""Three clients at a time; each sends as many events at once as its number says, so that its answers can be told."""
ALL = len(CLIENTS) * REQUESTS
DURABLE = ("--save", "", "--appendonly", "yes", "--appendfsync")
SERVE = 'runpy.run_module("tests.serving_project", run_name="__main__")'
WITHOUT_SYNC = f"""
import runpy
from featurestore.ingestion.stream import journal_tail
journal_tail.sync_data = lambda descriptor: None
{SERVE}
"""
WITHOUT_WAITING = f"""
import runpy, threading, time
from gateway.serving import append_round
append = append_round.append_what_fits
def append_soon(stream, batches):
    threading.Thread(target=lambda: (time.sleep(0.1), append(stream, batches))).start()
    return [None] * len(batches)
append_round.append_what_fits = append_soon
{SERVE}
"""


def basket(number, ts="2017-12-30T10:00:00Z", store=None):
    return {"basket_id": number, "household_id": 17, "ts": ts, "net": "12.50", "store": store or f"store-{number}"}


@contextmanager
def traced(tmp_path, online_url="lmdb:online", build=None, server=None):
    """Serve a project by some build of the gateway; give a client, and the trace of it and its Redis."""
    require_strace()
    project = stocked_project(tmp_path / "project", online_url)
    process, url = start(project, ("-c", build) if build else None)
    pids = [process.pid] if server is None else [process.pid, server.process.pid]
    try:
        with httpx.Client(base_url=url, timeout=30) as client, ExitStack() as stack:
            client.post(PATH, json=basket(1)).raise_for_status()
            yield client, stack.enter_context(tracing(pids, tmp_path))
    finally:
        assert stop(process) == 0
        project.close()


def mark(client, number):
    return f"from-{client}-{number}"


def send_all(client):
    """Send the events of all clients, each one's request after the answer to its last."""

    def send(rows):
        for number in range(REQUESTS):
            events = [basket(1_000 * rows + number, store=mark(rows, number))] * rows
            assert client.post(PATH, json=events).json()["accepted"] == rows

    threads = [Thread(target=send, args=(rows,)) for rows in CLIENTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def answered(trace):
    """Give each request's mark, and its answer."""
    for rows in CLIENTS:
        answers = trace.writes("*TCP:*", containing=f'\\"accepted\\":{rows},')
        assert len(answers) == REQUESTS
        yield from ((mark(rows, number), answer) for number, answer in enumerate(answers))


def early_answers(trace):
    """Return the marks of requests that were answered before the journal was synced behind their events."""
    found = []
    for name, answer in answered(trace):
        written = trace.writes("*/stream/baskets/*.events", containing=name)
        if not any(write.ended < answer.began and trace.is_synced(write, before=answer) for write in written):
            found.append(name)
    return found


def early_replies(trace):
    """Return marks of requests that Redis replied to before it synced, and of those answered before Redis replied.

    One append of a source is under way at a time: the first reply to any, after an event is in the file, is its own.
    """
    replies = trace.writes("*TCP:*", containing=r'"*2\r\n:1')
    unsynced, unasked = [], []
    for name, answer in answered(trace):
        writes = trace.writes("*.aof", containing=name)
        told = [(write, next((reply for reply in replies if write.ended < reply.began), None)) for write in writes]
        if not any(reply is not None and reply.began < answer.began for _, reply in told):
            unasked.append(name)
        if any(reply is not None and not trace.is_synced(write, before=reply) for write, reply in told):
            unsynced.append(name)
    return unsynced, unasked


def test_what_an_answer_acknowledges_is_synced_before_it(tmp_path):
    """Accepted events in the journal, and refused ones among the dead letters."""
    with traced(tmp_path) as (client, trace):
        told = client.post(PATH, json=[basket(2), basket(3, ts="yesterday")]).json()
    (answer,) = trace.writes("*TCP:*", containing="dead_letter_id")
    (event,) = trace.writes("*/stream/baskets/*", containing="store-2")
    (letter,) = trace.writes("*/dead-letters/*", containing=told["rejected"][0]["dead_letter_id"])
    assert trace.is_synced(event, before=answer)
    assert trace.is_synced(letter, before=answer)


@pytest.mark.parametrize(("build", "early"), [(None, 0), (WITHOUT_SYNC, ALL), (WITHOUT_WAITING, ALL)])
def test_answers_to_clients_at_a_time_leave_after_the_sync_of_the_journal(tmp_path, build, early):
    """And builds that do not sync, or do not wait for it, are found out by the same check."""
    with traced(tmp_path, build=build) as (client, trace):
        send_all(client)
    assert len(early_answers(trace)) == early


@pytest.mark.redis
@pytest.mark.parametrize(
    ("fsync", "build", "unsynced", "unasked"),
    [("always", None, 0, 0), ("no", None, ALL, 0), ("always", WITHOUT_WAITING, 0, ALL)],
)
def test_answers_leave_after_redis_has_synced_and_said_so(tmp_path, start_redis, fsync, build, unsynced, unasked):
    """Of gateway and server in one trace; a server or a build that does not wait is found out by the same check."""
    server = start_redis((*DURABLE, fsync))
    with traced(tmp_path, server.url, build, server) as (client, trace):
        send_all(client)
    assert [len(found) for found in early_replies(trace)] == [unsynced, unasked]
