"""What `unskew doctor` finds in a project that is well, and in ones that are not."""

import json

import pytest

from tests.unit.unskew.conftest import MODEL, Starter

pytestmark = pytest.mark.slow


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


def found(starter, name):
    return [each for each in json.loads(starter("doctor").out)["findings"] if each["name"] == name]


def test_a_project_that_serves_says_what_is_routed_and_materialised(trained):
    starter = Starter(trained)
    assert [each["state"] for each in found(starter, "routes")] == ["ok"]
    (told,) = found(starter, "materialised")
    assert (told["state"], told["detail"]) == (
        "ok",
        "customer_ordering: as of 2024-07-01T00:00:00Z, commit 1 of orders",
    )
    assert found(starter, "quarantine") == []


def test_a_version_on_a_route_that_no_gateway_could_load_fails(ready):
    ready.edit("features.py", '        ordering["count_7d"],\n', "")
    ready("apply", "--allow-breaking").json()
    assert ready("doctor").status == 1
    (told,) = found(ready, "routes")
    assert told["state"] == "fail"
    assert f"{MODEL} version 1" in told["detail"]
    assert "next_week_amount_inputs" in told["detail"]
    assert "promote" in told["mend"]


def test_a_view_that_was_never_materialised_as_it_is_is_noted(ready):
    ready.edit("features.py", '        Count(over="7d"),\n', '        Count(over="7d"),\n        Count(over="3d"),\n')
    ready("apply").json()
    (told,) = found(ready, "materialised")
    assert (told["state"], told["mend"]) == ("note", "unskew materialise customer_ordering")
    assert "never materialised" in told["detail"]
    ready("materialise").json()
    assert [each["state"] for each in found(ready, "materialised")] == ["ok"]


def test_rows_imported_since_and_rows_set_aside_are_noted(ready):
    part = ready.folder / "part.csv"
    header = "order_id,customer_id,timestamp,amount,channel"
    part.write_text(f"{header}\n90001,7,2024-01-01T10:00:00Z,12.50,app\n90002,7,yesterday,1,app\n")
    ready("import", "orders", part, "--on-bad", "quarantine").json()
    (behind,) = found(ready, "materialised")
    assert (behind["state"], behind["detail"].endswith("commit 1 of orders, which has 2 now")) == ("note", True)
    (aside,) = found(ready, "quarantine")
    assert (aside["state"], aside["detail"].startswith("orders: 1 row(s) set aside")) == ("note", True)
    assert ready("doctor").json()["ok"] is True


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
