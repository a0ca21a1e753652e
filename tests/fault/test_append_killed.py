"""kill -9 at every step of a stream commit's way into history: the commits are in it whole, or not at all.

A step is any call by which a program touches files, as the interpreter's audit events tell it: the child dies just
before the n-th of them, for every n.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa

from featurestore.definitions import Delay, EventSource
from featurestore.foundation.clock import FixedClock
from featurestore.offline import snapshot
from featurestore.offline.row_check import stored_schema
from featurestore.offline.stream_commit import append_commits
from featurestore.semantics.value import Int64, Timestamp

SOURCE = EventSource(
    "clicks",
    schema={"id": Int64, "ts": Timestamp},
    event_timestamp="ts",
    event_id="id",
    available_at=Delay("0s"),
    path="x",
)
MONTH_US = 32 * 86_400_000_000
FIRST, SECOND = (1, 3), (4, 9)
STEPS = {"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "shutil.rmtree", "os.listdir"}

PROGRAM = """
import sys
from pathlib import Path
from tests.fault.test_append_killed import append_at_every_step
append_at_every_step(Path(sys.argv[1]))
"""


def append(root: Path, first: int, last: int) -> None:
    """Append a row per commit, in two months."""
    commits = list(range(first, last + 1))
    instants = [commit % 2 * MONTH_US for commit in commits]
    columns = [commits, instants, instants, instants, commits, commits, [False] * len(commits)]
    table = pa.table(dict(zip(stored_schema(SOURCE).names, columns, strict=True)), schema=stored_schema(SOURCE))
    append_commits(SOURCE, root, table, first=first, last=last, clock=FixedClock(0))


def die_at(step: int) -> None:
    """Kill this process just before its ``step``-th touch of a file from here on."""
    left = step

    def count(event: str, _: object) -> None:
        nonlocal left
        if event in STEPS:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def append_at_every_step(folder: Path) -> None:
    """Append the second range in a child that dies at step 1, 2, ... until one lives; each on a history of its own."""
    step, killed = 0, True
    while killed:
        step += 1
        root = folder / str(step)
        append(root, *FIRST)
        child = os.fork()
        if child == 0:
            die_at(step)
            append(root, *SECOND)
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    print(step, flush=True)


def test_kill_9_at_every_step_leaves_the_commits_whole_or_absent(tmp_path):
    program = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, cwd=Path.cwd(), check=True
    )
    steps = int(program.stdout)
    found = []
    for step in range(1, steps + 1):
        root = tmp_path / str(step)
        seen = snapshot.latest(root, SOURCE)
        seen.verify()
        found.append(seen.sequence)
        assert seen.rows == seen.sequence
        if seen.sequence < SECOND[1]:
            append(root, *SECOND)
        whole = snapshot.latest(root, SOURCE)
        whole.verify()
        assert (whole.sequence, whole.rows) == (9, 9)
        assert {path.name for path in whole.folder.glob("data/*")} == {"000003", "000009"}
        assert {path.name for path in whole.folder.glob("commits/[!.]*")} == {"000003.json", "000009.json"}
    assert found == sorted(found), "later steps never undo what earlier ones made durable"
    assert set(found) == {3, 9}
    assert found.count(3) > 10
    print(f"killed at {steps - 1} steps: absent after {found.count(3)}, there after {found.count(9) - 1}")
