"""`unskew ingest` and `unskew dead-letters`: files become events, and what was refused is mended and sent again."""

import json
from functools import partialmethod

import pytest

from featurestore.ingestion.event_writer import EventWriter

HEADER = "order_id,customer_id,timestamp,amount,channel"
GOOD = "900001,7,2024-06-28T10:00:00Z,12.50,app"
BAD = "900002,7,yesterday,1.00,app"


@pytest.fixture
def orders(tmp_path):
    path = tmp_path / "orders.csv"

    def write(*lines):
        path.write_text("\n".join([HEADER, *lines, ""]))
        return path

    return write


def test_a_file_is_sent_and_its_bad_rows_told(fresh, orders):
    fresh("apply").json()
    told = fresh("ingest", "orders", orders(GOOD, BAD)).json()
    assert (told["accepted"], told["rejected"], told["backlog_rows"]) == (1, 1, 1)
    (rejected,) = told["first_rejected"]
    assert (rejected["row"], rejected["pointer"]) == (3, "/timestamp")
    plain = fresh.plainly("ingest", "orders", orders(GOOD, BAD), "--again")
    assert (plain.status, "yesterday" in plain.out, "dead-letters fix" in plain.err) == (0, True, True)


def test_a_file_that_was_sent_before_is_left_out_and_told(fresh, orders):
    fresh("apply").json()
    path = orders(GOOD)
    assert fresh("ingest", "orders", path).json()["already_sent"] == []
    told = fresh("ingest", "orders", path).json()
    assert (told["accepted"], told["already_sent"], told["backlog_rows"]) == (0, [str(path)], 1)
    plain = fresh.plainly("ingest", "orders", path)
    assert (plain.status, "already sent" in plain.out, "--again" in plain.err) == (0, True, True)
    assert fresh("ingest", "orders", path, "--again").json()["backlog_rows"] == 2


def test_rows_that_no_view_has_a_key_of_are_told(fresh, orders):
    fresh("apply").json()
    path = orders("900001,,2024-06-28T10:00:00Z,12.50,app", GOOD)
    assert fresh("ingest", "orders", path).json()["without_key"] == 1
    assert "without a key of any view: 1" in fresh.plainly("ingest", "orders", path, "--again").out


def test_a_file_of_which_nothing_fits_ends_in_failure(fresh, orders):
    fresh("apply").json()
    told = fresh("ingest", "orders", orders(BAD))
    assert (told.status, json.loads(told.out)["rejected"]) == (1, 1)


def test_an_unknown_source_or_file_is_refused(fresh, orders):
    fresh("apply").json()
    assert fresh("ingest", "order", orders(GOOD)).error()["mend"] == "did you mean 'orders'?"
    assert fresh("ingest", "orders", "absent.csv").error()["error"] == "import-refused"


@pytest.fixture
def refused(fresh, orders):
    """A project with one refused row, and the row's id."""
    fresh("apply").json()
    told = fresh("ingest", "orders", orders(GOOD, BAD)).json()
    return fresh, told["first_rejected"][0]["dead_letter_id"]


def test_a_refused_row_is_looked_at_corrected_and_sent(refused):
    starter, letter = refused
    (listed,) = starter("dead-letters", "list").json()["dead_letters"]
    assert listed == starter("dead-letters", "show", letter).json()
    assert (listed["id"], listed["kind"], listed["source"]) == (letter, "refused", "orders")
    assert listed["row"] == {
        "order_id": 900002, "customer_id": 7, "timestamp": "yesterday", "amount": "1.00", "channel": "app",
    }  # fmt: skip
    half = starter("dead-letters", "fix", letter, "--set", "timestamp=noon", "--set", "amount=2.50").json()
    assert (half["row"]["amount"], "noon" in half["still_wrong"]) == (2.5, True)
    told = starter("dead-letters", "replay", letter)
    kept = json.loads(told.out)
    assert told.status == 1, "nothing was taken"
    assert (kept["sent"], [row["pointer"] for row in kept["refused"]]) == (0, ["/timestamp"])
    fixed = starter("dead-letters", "fix", letter, "--set", "timestamp=2024-06-28T12:00:00Z").json()
    assert fixed["still_wrong"] == ""
    assert starter("dead-letters", "replay", "--all").json() == {"sent": 1, "refused": [], "left_out": 0}
    assert starter("dead-letters", "list").json() == {"dead_letters": [], "total": 0}


def test_a_row_is_edited_as_json(refused, monkeypatch, tmp_path):
    starter, letter = refused
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/yesterday/2024-06-28T12:00:00Z/' \"$1\"; touch -d '+2 sec' \"$1\"\n")
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    assert starter("dead-letters", "fix", letter, "--edit").json()["still_wrong"] == ""
    assert starter("dead-letters", "replay", "--source", "orders").json()["sent"] == 1


def test_an_editor_that_fails_changes_nothing_and_is_told(refused, monkeypatch):
    starter, letter = refused
    monkeypatch.setenv("EDITOR", "false")
    monkeypatch.delenv("VISUAL", raising=False)
    told = starter("dead-letters", "fix", letter, "--edit").error()
    assert "nothing was changed" in told["what"]
    assert "--set" in told["mend"]


def test_a_file_that_waits_for_a_full_backlog_says_that_nobody_commits(fresh, orders, monkeypatch):
    fresh("apply").json()
    fresh.edit("unskew.toml", "[online]", "[ingestion]\nbacklog_limit_rows = 1\n\n[online]")
    fresh("ingest", "orders", orders(GOOD)).json()
    monkeypatch.setattr("featurestore.ingestion.event_writer.PAUSE_S", 0.0)
    init = EventWriter.__init__
    monkeypatch.setattr(EventWriter, "__init__", partialmethod(init, patience_s=0.2))
    told = fresh.plainly("ingest", "orders", orders(GOOD.replace("900001", "900003")))
    assert told.status == 1
    assert "waiting: 1 rows are not committed yet; no ingest program runs: start `unskew serve`" in told.err
    assert told.err.count("are not committed yet") == 1


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        (("fix",), "--set"),
        (("fix", "--set", "amount=1", "--edit"), "not both"),
        (("fix", "--set", "amounts=1"), "amount"),
        (("replay",), "--all"),
        (("drop", "--all", "--source", "orders"), "--all"),
    ],
)
def test_a_command_that_does_not_say_what_to_do_is_refused(refused, arguments, mend):
    starter, letter = refused
    given = [*arguments[:1], letter, *arguments[1:]] if arguments[0] == "fix" else arguments
    assert mend in starter("dead-letters", *given).error()["mend"]


def test_rows_are_dropped_for_good(refused):
    starter, letter = refused
    assert starter("dead-letters", "drop", letter).json() == {"dropped": 1}
    assert starter("dead-letters", "show", letter).error()["error"] == "dead-letter-unknown"
