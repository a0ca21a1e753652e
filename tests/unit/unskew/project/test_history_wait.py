"""Training sets and audits do not miss a commit that was online before they began."""

import os
import socket

import pytest

from featurestore.ingestion.heartbeat import Heartbeat, write_heartbeat
from tests.unit.unskew.conftest import SERVICE
from unskew.project import history_wait
from unskew.project.ingestion import committer
from unskew.project.project import Project


@pytest.fixture
def ahead(ready, tmp_path):
    """A project whose online store shows an order that history lacks."""
    path = tmp_path / "order.csv"
    path.write_text("order_id,customer_id,timestamp,amount,channel\n900001,7,2024-06-28T10:00:00Z,12.50,app\n")
    ready("backfill").json()
    ready("ingest", "orders", path).json()
    with Project.load(ready.folder) as project:
        made = committer(project, project.applied_catalog.source("orders"))
        made.open()
        assert made.step(0.0) == 1
        made.close()
    return ready


def build(starter, *options):
    spine = starter.folder / "data" / "spine.parquet"
    return starter("training-set", "build", "--service", SERVICE, "--spine", spine, *options)


def test_a_training_set_waits_for_what_is_online(ahead, monkeypatch):
    waited = []

    def program(seconds):
        waited.append(seconds)
        ahead("backfill").json()

    monkeypatch.setattr(history_wait, "sleep", program)
    told = ahead.plainly(
        "training-set", "build", "--service", SERVICE, "--spine", ahead.folder / "data" / "spine.parquet"
    )
    assert (told.status, len(waited)) == (0, 1)
    assert "waiting until history has the commits that are online: 1 of 2 of orders" in told.err
    build(ahead).json()
    assert len(waited) == 1


def test_without_a_program_it_is_refused_unless_it_shall_not_wait(ahead, monkeypatch):
    monkeypatch.setattr(history_wait, "GRACE_S", 0.2)
    refused = build(ahead).error()
    assert "history has commit 1 of 2 of orders, and no ingest program runs" in refused["what"]
    assert "unskew backfill" in refused["mend"]
    build(ahead, "--no-wait").json()


def test_a_program_that_does_not_write_history_is_not_waited_for_without_end(ahead, monkeypatch):
    monkeypatch.setattr(history_wait, "MARGIN_S", 0.2 - 30)
    with Project.load(ahead.folder) as project:
        owner = f"{socket.gethostname()}:{os.getpid()}"
        write_heartbeat(project.online, Heartbeat("orders", owner, since_us=0, at_us=0))
    assert "0.2 seconds have passed" in build(ahead).error()["what"]


def test_an_audit_says_what_history_lacks_and_goes_on(ahead, monkeypatch):
    monkeypatch.setattr(history_wait, "GRACE_S", 0.2)
    told = ahead.plainly("audit")
    assert told.status == 0
    assert "no ingest program runs" in told.err
    assert "history has" not in ahead.plainly("audit", "--no-wait").err


def test_when_an_audit_begins_is_read_as_an_instant_or_a_time_ago(ready):
    assert "24h" in ready("audit", "--since", "1x").error()["mend"]
    ready("audit", "--since", "24h", "--until", "2024-07-01T00:00:00Z").json()
