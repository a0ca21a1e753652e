"""An import killed at any moment leaves the old history or the new, and the next import goes on from there."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from featurestore.definitions import Delay, EventSource
from featurestore.foundation.clock import FixedClock
from featurestore.offline import snapshot
from featurestore.offline.event_import import import_file
from featurestore.semantics.value import Int64, Timestamp

SOURCE = EventSource(
    "clicks",
    schema={"id": Int64, "ts": Timestamp},
    event_timestamp="ts",
    event_id="id",
    available_at=Delay("0s"),
    path="x",
)
ROWS, FILES, KILLS = 20_000, 3, 8

PROGRAM = """
import sys
from pathlib import Path
from tests.fault.test_import_killed import SOURCE
from featurestore.foundation.clock import FixedClock
from featurestore.offline.event_import import import_file
print("ready", flush=True)
for path in sorted(Path(sys.argv[1]).glob("*.csv")):
    print(import_file(SOURCE, path, Path(sys.argv[2]), FixedClock(0)).sequence, flush=True)
"""


def start(inputs, root):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(inputs), str(root)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finished(inputs, root):
    """Import what is missing, and check that the history is whole and nothing else is there."""
    for path in sorted(inputs.glob("*.csv")):
        import_file(SOURCE, path, root, FixedClock(0))
    whole = snapshot.latest(root, SOURCE)
    whole.verify()
    assert whole.rows == FILES * ROWS
    folders = {path.name for path in snapshot.source_folder(root, "clicks").glob("data/*")}
    assert folders == {f"{sequence:06d}" for sequence in range(1, FILES + 1)}


@pytest.mark.slow
def test_kill_9_leaves_whole_commits_and_loses_no_acknowledged_one(tmp_path):
    chance = random.Random(20)
    inputs = tmp_path / "in"
    inputs.mkdir()
    for number in range(FILES):
        lines = [f"{number * ROWS + i},2017-0{1 + i % 9}-01T00:00:00Z" for i in range(ROWS)]
        (inputs / f"{number}.csv").write_text("id,ts\n" + "\n".join(lines) + "\n")
    undisturbed = start(inputs, tmp_path / "undisturbed")
    began = time.monotonic()
    undisturbed.communicate()
    seconds = time.monotonic() - began
    inside = 0
    for kill in range(KILLS):
        root = tmp_path / f"offline{kill}"
        process = start(inputs, root)
        time.sleep(seconds * chance.uniform(0.0, 0.9))
        process.send_signal(signal.SIGKILL)
        acknowledged = [int(line) for line in process.communicate()[0].split()]
        seen = snapshot.latest(root, SOURCE)
        seen.verify()
        assert seen.sequence >= max(acknowledged, default=0)
        assert seen.rows == ROWS * seen.sequence
        committed = {path.parent.name for path in seen.paths}
        inside += any(path.name not in committed for path in snapshot.source_folder(root, "clicks").glob("data/*"))
        finished(inputs, root)
    print(f"killed inside a commit {inside} times of {KILLS}")
