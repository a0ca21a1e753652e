"""`unskew stream` and `unskew backfill`, and what other commands say of a source that takes events."""

import json
import re

import pytest

from tests.unit.unskew.cli.test_doctor import found
from tests.unit.unskew.cli.test_json_shapes import PAGE as JSON_PAGE

pytestmark = pytest.mark.slow

HEADER = "order_id,customer_id,timestamp,amount,channel"
VIEW = "customer_ordering"


@pytest.fixture
def order(ready, tmp_path):
    """Send one order of 2024-06-28 as an event."""

    def send(number, customer=7, amount="12.50", timestamp="2024-06-28T10:00:00Z"):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"{HEADER}\n{number},{customer},{timestamp},{amount},app\n")
        return ready("ingest", "orders", path, "--again").json()

    return send


def state(starter):
    (told,) = starter("stream", "status").json()["sources"]
    return told


def test_a_backfill_opens_a_stream_and_commits_what_waits(ready, order):
    assert (state(ready)["streamed"], state(ready)["backlog_rows"]) == (False, 0)
    order(900001)
    assert (state(ready)["streamed"], state(ready)["backlog_rows"]) == (False, 1)
    (told,) = ready("backfill").json()["sources"]
    assert (told["source"], told["committed_rows"]) == ("orders", 1)
    assert [view["view"] for view in told["views"]] == [VIEW]
    after = state(ready)
    assert (after["streamed"], after["backlog_rows"], after["rows"]) == (True, 0, 1)
    assert after["commit"] == after["history_commit"] == told["s"] == 2
    assert (after["program"], after["program_alive"]) == (None, False)
    assert ready("backfill", VIEW).json()["sources"][0]["views"] == []
    assert ready("backfill", VIEW, "--rebuild").json()["sources"][0]["views"] != []
    assert "orders" in ready.plainly("stream", "status").out
    assert ready("backfill", "ordering").error()["mend"]


def test_the_members_of_a_source_are_those_that_the_page_explains(ready):
    section = JSON_PAGE.read_text().partition("| member of `sources` |")[2].partition("\n\n")[0]
    explained = re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in section.splitlines()[2:]))
    assert explained.count("source") == 1
    assert set(explained) == set(state(ready))


def test_an_event_sent_again_changes_nothing(ready, order):
    order(900001)
    order(900001)
    ready("backfill").json()
    assert (state(ready)["rows"], state(ready)["duplicates"], state(ready)["failed"]) == (1, 1, 0)
    assert all(name in ready.plainly("stream", "status").out for name in ("duplicates", "failed"))


def test_an_older_version_sent_again_is_a_newer_one(ready, order):
    """What `unskew ingest` of a file that was sent before would do, and replaying an old dead letter does."""
    for amount in ("12.50", "99.00", "12.50"):
        order(900001, amount=amount)
    ready("backfill").json()
    assert (state(ready)["rows"], state(ready)["duplicates"]) == (3, 0)
    a_second_later = ("--as-of", "2024-07-01T00:00:01Z")
    told = ready("features", "next_week_amount_inputs", "--key", "customer_id=7", *a_second_later).json()
    once = told["features"][f"{VIEW}.amount_sum_28d"]["value"]
    order(900001, amount="99.00")
    ready("backfill").json()
    told = ready("features", "next_week_amount_inputs", "--key", "customer_id=7", *a_second_later).json()
    assert told["features"][f"{VIEW}.amount_sum_28d"]["value"] - once == pytest.approx(86.50)


def test_an_event_of_the_future_is_counted_once_its_time_has_come_and_one_without_a_key_never(ready, order):
    def count(as_of):
        told = ready("features", "next_week_amount_inputs", "--key", "customer_id=7", "--as-of", as_of).json()
        return told["features"][f"{VIEW}.count_7d"]["value"]

    before, after = "2024-07-20T10:00:00Z", "2024-07-20T10:00:01Z"
    order(900001, timestamp="2024-07-20T10:00:00.5Z")
    assert order(900002, customer="", timestamp="2024-07-20T10:00:00.5Z")["without_key"] == 1
    ready("backfill").json()
    assert (state(ready)["rows"], count(before), count(after)) == (2, 0, 1)


def test_values_after_an_event_are_those_that_count_it(ready, order):
    def count():
        a_second_later = ("--as-of", "2024-07-01T00:00:01Z")  # the project's clock stands, and commits come after it
        told = ready("features", "next_week_amount_inputs", "--key", "customer_id=7", *a_second_later).json()
        features = told["features"]
        return features[f"{VIEW}.count_7d"]["value"]

    before = count()
    order(900001)
    ready("backfill").json()
    assert count() == before + 1


def test_files_and_runs_that_would_disturb_a_stream_are_refused_or_left_out(ready, order, tmp_path):
    order(900001)
    ready("backfill").json()
    refused = ready("import", "orders").error()
    assert (refused["error"], "unskew ingest" in refused["mend"]) == ("source-streamed", True)
    assert ready("import").json() == {"imports": [], "streamed": ["orders"]}
    assert "unskew ingest orders FILE" in ready.plainly("import").err
    refused = ready("materialise", VIEW).error()
    assert (refused["error"], "unskew backfill" in refused["mend"]) == ("view-streamed", True)
    assert ready("materialise").json() == {"views": [], "streamed": [VIEW]}
    told = ready.plainly("materialise").err
    assert "unskew stream status" in told
    assert "unskew backfill --rebuild" in told


def test_doctor_tells_of_events_that_nobody_commits(ready, order):
    assert found(ready, "streams") == []
    order(900001)
    told = ready("doctor")
    (waiting,) = found(ready, "streams")
    assert (told.status, waiting["state"], "unskew stream run" in waiting["mend"]) == (1, "fail", True)
    assert "1 event(s) wait" in waiting["detail"]
    ready("backfill").json()
    (committed,) = found(ready, "streams")
    assert (committed["state"], "0 event(s) wait" in committed["detail"]) == ("ok", True)
    (view,) = found(ready, "materialised")
    assert (view["state"], "keeps it current" in view["detail"]) == ("ok", True)


def test_doctor_tells_of_rows_that_were_refused(ready, tmp_path):
    (tmp_path / "bad.csv").write_text(f"{HEADER}\n1,7,yesterday,1,app\n2,7,now,1,app\n")
    assert json.loads(ready("ingest", "orders", tmp_path / "bad.csv").out)["rejected"] == 2
    (told,) = found(ready, "dead letters")
    assert (told["state"], told["detail"]) == ("note", "orders: 2 row(s), refused")
    assert "unskew dead-letters" in told["mend"]


@pytest.mark.redis
def test_doctor_tells_of_a_redis_that_may_lose_acknowledged_events(ready, order, start_redis):
    ready.edit("unskew.toml", "lmdb:.unskew/online", start_redis().url)
    order(900001)
    ready("backfill").json()
    notes = [each for each in found(ready, "streams") if each["state"] == "note"]
    assert len(notes) == 1
    assert "append" in notes[0]["detail"]


def test_doctor_tells_of_a_view_as_defined_now_that_lacks_commits(ready, order):
    """A feature is added to a view, and no program has written the new revision yet."""

    def looked():
        (view,) = found(ready, "materialised")
        return view["state"], "unskew backfill" in (view["mend"] or "")

    former, present = 'Count(over="7d")', 'Count(over="7d"), Count(over="8d")'
    ready("backfill").json()
    ready.edit("features.py", former, present)
    ready("apply").json()
    assert looked() == ("note", True)
    ready("backfill").json()
    assert looked() == ("ok", False)
    ready.edit("features.py", present, former)
    ready("apply", "--allow-breaking").json()
    assert looked() == ("fail", True)
