import os
import signal
import subprocess
import sys
import time

from unskew.project.ingest_process import IngestProcess, ingest_command

PROGRAM = """
import os, pathlib, signal, sys, threading, time
place = pathlib.Path(sys.argv[1])
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set() if sys.argv[2] != "deaf" else None)
threading.Thread(target=lambda: (os.read(0, 1), stop.set()), daemon=True).start()
with place.open("a") as told: told.write("started\\n")
if sys.argv[2] == "dies": sys.exit(3)
stop.wait()
with place.open("a") as told: told.write("stopped\\n")
"""


def command(place, kind="obeys"):
    return [sys.executable, "-c", PROGRAM, str(place), kind]


def told(place):
    return place.read_text().split() if place.exists() else []


def eventually(holds, seconds=10.0):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to hold"
        time.sleep(0.01)


def test_a_program_is_stopped_and_may_finish(tmp_path):
    place = tmp_path / "told"
    with IngestProcess(command(place)) as kept:
        kept.start()
        eventually(lambda: told(place))
        assert kept.pid is not None
    assert told(place) == ["started", "stopped"]
    assert kept.pid is None


def test_one_that_was_never_started_need_not_stop(tmp_path):
    with IngestProcess(command(tmp_path / "told")):
        pass
    assert told(tmp_path / "told") == []


def test_a_killed_program_is_started_again(tmp_path):
    place = tmp_path / "told"
    with IngestProcess(command(place), first_pause_s=0.01) as kept:
        kept.start()
        eventually(lambda: told(place) == ["started"])
        assert kept.pid is not None
        os.kill(kept.pid, signal.SIGKILL)
        eventually(lambda: told(place) == ["started", "started"])
    assert told(place)[-1] == "stopped"


def test_one_that_dies_at_once_is_started_again_after_longer_and_longer(tmp_path, caplog):
    with IngestProcess(command(tmp_path / "told", "dies"), first_pause_s=0.01) as kept:
        kept.start()
        eventually(lambda: len(told(tmp_path / "told")) == 3)
    pauses = [record.args[1] for record in caplog.records if "status 3" in record.getMessage()]
    assert pauses[:2] == [0.01, 0.02]


def test_one_that_does_not_end_is_killed_after_the_grace(tmp_path, caplog):
    place = tmp_path / "told"
    with IngestProcess(command(place, "deaf"), stop_grace_s=0.2) as kept:
        kept.start()
        eventually(lambda: told(place))
    assert told(place) == ["started"]
    assert "is killed" in caplog.text


def test_a_program_whose_parent_is_killed_stops_by_itself(tmp_path):
    place = tmp_path / "told"
    code = (
        "import sys, time\n"
        "from unskew.project.ingest_process import IngestProcess\n"
        "IngestProcess(sys.argv[1:]).start()\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, *command(place)]) as parent:
        eventually(lambda: told(place))
        parent.kill()
    eventually(lambda: told(place) == ["started", "stopped"])


def test_the_command_is_of_the_same_interpreter_and_project(tmp_path):
    words = ingest_command(tmp_path / "unskew.toml")
    assert (words[0], words[-1]) == (sys.executable, str(tmp_path / "unskew.toml"))
