"""Events as a user sends them: `unskew serve` with the ingest program beside it, real processes, kills and restarts."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import httpx
import pytest

from featurestore.foundation.clock import MINUTE, SharedClock, format_instant, parse_instant
from tests.e2e.serve_process import served_by_process
from tests.unit.unskew.conftest import MODEL, SERVICE, Starter, unskew

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PATH = "/v1/events/orders"
START_US = parse_instant("2024-07-01T00:00:00Z")
CUSTOMER = 7


@pytest.fixture(scope="module")
def promoted(tmp_path_factory):
    """A project with a champion, whose clock stands in a file; nothing in its online store. Nobody changes it."""
    folder = tmp_path_factory.mktemp("starter") / "promoted"
    assert unskew("init", folder).status == 0
    starter = Starter(folder)
    SharedClock(folder / "clock").set(START_US)
    toml = (folder / "unskew.toml").read_text().partition("[clock]")[0]
    ingestion = "[ingestion]\nhistory_interval_s = 0.2\nlease_ttl_s = 1\n"
    (folder / "unskew.toml").write_text(f'{toml}[clock]\nnow = "shared:clock"\n{ingestion}')
    starter("apply").json()
    starter("import").json()
    starter("training-set", "build", "--model", MODEL, "--spine", folder / "data" / "spine.parquet").json()
    starter("train", MODEL).json()
    starter("promote", MODEL, "--actor", "ann").json()
    return folder


@pytest.fixture(params=["lmdb", pytest.param("redis", marks=pytest.mark.redis)])
def starter(request, promoted, tmp_path):
    made = Starter(shutil.copytree(promoted, tmp_path / "shop"))
    if request.param == "redis":
        server = request.getfixturevalue("start_redis")(("--appendonly", "yes", "--appendfsync", "always"))
        made.edit("unskew.toml", "lmdb:.unskew/online", server.url)
    made("materialise").json()
    return made


def order(number, **changes):
    event = {
        "order_id": number,
        "customer_id": CUSTOMER,
        "timestamp": "2024-06-30T10:00:00Z",
        "amount": "10.00",
        "channel": "app",
    }
    return event | changes


def tick(starter, by_us=MINUTE):
    """Let time pass, for all of the project's processes."""
    clock = SharedClock(starter.folder / "clock")
    clock.set(clock.now_us() + by_us)


def orders_of_7d(starter):
    told = starter("features", SERVICE, "--key", f"customer_id={CUSTOMER}").json()
    return told["features"]["customer_ordering.count_7d"]["value"]


def source(starter):
    (told,) = starter("stream", "status").json()["sources"]
    return told


def eventually(holds, seconds=20.0):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to hold"
        time.sleep(0.05)


def committed(starter, rows):
    return lambda: source(starter)["rows"] == rows


def test_an_event_is_in_the_next_prediction_and_in_history(starter):
    before = orders_of_7d(starter)
    with served_by_process(starter.folder) as client:
        sent = client.post(PATH, json={"events": [order(900001), order(900002), order(900003, amount=True)]})
        assert (sent.status_code, sent.json()["accepted"], len(sent.json()["rejected"])) == (200, 2, 1)
        assert client.post(PATH, json=order(900001)).json()["accepted"] == 1
        eventually(committed(starter, 2))
        tick(starter)
        asked = {"keys": {"customer_id": CUSTOMER}, "options": {"explain": True}}
        told = client.post(f"/v1/models/{MODEL}/predict", json=asked).json()
        assert told["features"]["customer_ordering.count_7d"]["value"] == before + 2
        client.post(PATH, json=order(900004)).raise_for_status()
    after = source(starter)
    assert (after["rows"], after["duplicates"], after["backlog_rows"]) == (3, 1, 0)
    assert (after["commit"], after["program"]) == (after["history_commit"], None)
    found = starter("dead-letters", "list").json()["dead_letters"]
    assert [letter["row"]["order_id"] for letter in found] == [900003]


def test_a_correction_replaces_its_event(starter):
    with served_by_process(starter.folder) as client:
        client.post(PATH, json=order(900001)).raise_for_status()
        eventually(committed(starter, 1))
        tick(starter)
        before = orders_of_7d(starter)
        corrected = client.post(PATH, json=order(900001, customer_id=CUSTOMER + 1))
        assert corrected.json()["accepted"] == 1
        eventually(committed(starter, 2))
        tick(starter)
        assert orders_of_7d(starter) == before - 1


def test_an_ingest_program_that_is_killed_is_started_again_and_loses_nothing(starter):
    before = orders_of_7d(starter)
    with served_by_process(starter.folder) as client:
        for number in range(900001, 900021):
            client.post(PATH, json=order(number)).raise_for_status()
            if number % 7 == 0:
                eventually(lambda: source(starter)["program_alive"])
                os.kill(int(source(starter)["program"].rpartition(":")[2]), signal.SIGKILL)
        eventually(committed(starter, 20), seconds=40)
        tick(starter)
        assert orders_of_7d(starter) == before + 20
    assert (source(starter)["rows"], source(starter)["duplicates"]) == (20, 0)


def test_a_gateway_that_is_killed_leaves_no_program_behind_and_no_event_out(starter):
    process = subprocess.Popen(
        [sys.executable, "-m", "unskew", "serve", "--json", "--port", "0", "--project", str(starter.folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with httpx.Client(base_url=url, timeout=20) as client:
            eventually(lambda: answers(client))
            for number in range(900001, 900011):
                client.post(PATH, json=order(number)).raise_for_status()
            eventually(lambda: source(starter)["program_alive"])
            client.post(PATH, json=order(900011)).raise_for_status()
        process.kill()
    eventually(lambda: source(starter)["program"] is None)
    after = source(starter)
    assert (after["rows"], after["backlog_rows"]) == (11, 0)
    assert after["commit"] == after["history_commit"]


def answers(client):
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_program_alone_takes_what_a_file_sends(starter, tmp_path):
    starter.edit("unskew.toml", "[ingestion]\n", '[ingestion]\nprogram = "alone"\n')
    lines = tmp_path / "orders.ndjson"
    lines.write_text("\n".join(json.dumps(order(900001 + n, timestamp=format_instant(START_US))) for n in range(3)))
    with served_by_process(starter.folder) as client:
        assert starter("ingest", "orders", lines).json()["accepted"] == 3
        assert source(starter)["program"] is None
        program = subprocess.Popen(
            [sys.executable, "-m", "unskew", "stream", "run", "--json", "--project", str(starter.folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with program:
            assert program.stdout is not None
            assert set(json.loads(program.stdout.readline())) == {"project", "sources"}
            eventually(committed(starter, 3))
            program.send_signal(signal.SIGINT)
            assert program.wait(timeout=20) == 0
        assert client.get("/livez").status_code == 200
    assert source(starter)["history_commit"] == source(starter)["commit"]
