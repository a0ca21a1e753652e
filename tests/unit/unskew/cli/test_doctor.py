"""What `unskew doctor` finds in a project that is well, and in ones that are not."""

import json

import pytest

from tests.unit.unskew.conftest import MODEL, Starter


def findings(told):
    return {(each["name"], each["state"]) for each in told["findings"]}


def test_a_project_that_is_well(trained):
    told = Starter(trained)("doctor").json()
    assert told["ok"] is True
    assert {state for _, state in findings(told)} == {"ok", "note"}
    assert ("clock", "note") in findings(told)  # it stands still, which is right for the example only
    level = next(each for each in told["findings"] if each["name"] == "level")
    assert level["detail"].startswith("0:")
    assert "Not needed yet: Redis" in level["detail"]


def test_a_new_project_says_what_to_do_first(fresh):
    told = fresh("doctor")
    assert told.status == 1
    found = {each["name"]: each for each in json.loads(told.out)["findings"]}
    assert found["definitions"]["state"] == "fail"
    assert "unskew apply" in found["definitions"]["mend"]
    fresh("apply").json()
    notes = {each["name"]: each for each in fresh("doctor").json()["findings"]}
    assert notes["history"]["mend"] == "unskew import orders"


def test_a_model_that_nobody_promoted_is_noted(ready):
    ready.edit("models.py", 'next_week_amount = Model(\n    "next_week_amount"', 'x = Model(\n    "another"')
    ready("train", "another").json()
    noted = [each for each in ready("doctor").json()["findings"] if each["name"] == "registry"]
    assert noted[-1]["mend"] == "unskew promote another"


def test_an_online_store_that_does_not_answer_fails(ready, free_port):
    ready.edit("unskew.toml", "lmdb:.unskew/online", f"redis://127.0.0.1:{free_port}/0")
    told = ready("doctor")
    assert told.status == 1
    found = {each["name"]: each for each in json.loads(told.out)["findings"]}
    assert found["online store"]["state"] == "fail"
    assert found["level"]["detail"].startswith("2 in part")


@pytest.mark.redis
def test_a_redis_that_evicts_fails(ready, start_redis):
    """Where a row is evicted, its key counts as one without events: values would be wrong, and nobody told."""
    server = start_redis(["--save", "", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"])
    ready.edit("unskew.toml", "lmdb:.unskew/online", server.url)
    told = ready("doctor")
    assert told.status == 1
    found = {each["name"]: each for each in json.loads(told.out)["findings"]}
    assert "allkeys-lru" in found["online store"]["detail"]
    assert "noeviction" in found["online store"]["mend"]


def test_a_history_that_was_altered_fails(ready):
    import sqlite3

    with sqlite3.connect(ready.folder / ".unskew" / "registry.db") as database:
        triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE history SET actor = 'nobody' WHERE kind = 'promote'")
    database.close()
    told = ready("doctor")
    assert told.status == 1
    found = {each["name"]: each for each in json.loads(told.out)["findings"]}
    assert found["registry"]["state"] == "fail"
    assert ready("history", MODEL).error()["error"] == "history-broken"
