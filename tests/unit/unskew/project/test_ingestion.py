import logging
import os
import socket
import subprocess
import sys

import pytest

from featurestore.foundation.clock import SECOND
from featurestore.foundation.errors import CatalogError
from featurestore.ingestion.heartbeat import Heartbeat, is_alive
from featurestore.ingestion.program import Happening
from unskew.project.ingestion import AppliedSources, HappeningLog, ingest_settings
from unskew.project.project import Project

HERE = socket.gethostname()


def beat(owner, at_us=0):
    return Heartbeat("orders", owner, since_us=0, at_us=at_us)


def test_a_program_of_this_machine_is_known_by_its_process_whatever_the_clock_says():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert is_alive(beat(f"{HERE}:{process.pid}"), now_us=10**15)
        assert process.stdin is not None
        process.stdin.close()
    assert not is_alive(beat(f"{HERE}:{process.pid}"), now_us=0)
    assert is_alive(beat(f"{HERE}:{os.getpid()}"), now_us=0)


def test_a_program_of_another_machine_is_known_by_the_age_of_its_heartbeat():
    assert is_alive(beat("elsewhere:1", at_us=0), now_us=40 * SECOND)
    assert not is_alive(beat("elsewhere:1", at_us=0), now_us=60 * SECOND)


def test_what_is_applied_is_followed_and_what_is_only_written_is_not(ready):
    with Project.load(ready.folder) as project:
        load = AppliedSources(project.settings.project.definitions, project.state)
    (streamed,) = load()
    assert ([view.name for view in streamed.views], load()[0].source) == (["customer_ordering"], streamed.source)
    ready.edit("features.py", 'Count(over="7d"),\n', 'Count(over="7d"),\n        Count(over="3d"),\n')
    assert load()[0].views == streamed.views
    ready("apply").json()
    assert len(load()[0].views[0].features) == len(streamed.views[0].features) + 1
    ready.edit("features.py", 'Count(over="3d"),\n', "")
    with pytest.raises(CatalogError):
        AppliedSources(project.settings.project.definitions, project.state)()


def test_a_failure_that_repeats_itself_is_logged_once(caplog):
    tell = HappeningLog()
    with caplog.at_level(logging.INFO):
        for kind, detail in [("failed", "no"), ("failed", "no"), ("opened", "yes"), ("failed", "no")]:
            tell(Happening(kind, "orders", detail))
            tell(Happening("failed", "others", "no"))
    told = [record.getMessage() for record in caplog.records if "orders" in record.getMessage()]
    assert told == ["orders: failed: no", "orders: opened: yes", "orders: failed: no"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO", "WARNING"]


def test_the_settings_reach_the_program(ready):
    given = {"commit_rows": 7, "history_interval_s": 0.5, "cache_bytes": 9, "lease_ttl_s": 2}
    with (ready.folder / "unskew.toml").open("a") as file:
        file.write('[ingestion]\nlateness = "1d"\n' + "\n".join(f"{name} = {value}" for name, value in given.items()))
    with Project.load(ready.folder) as project:
        told = ingest_settings(project)
    assert {name: getattr(told, name) for name in given} == given
    assert told.lateness_us == 86_400 * SECOND
