"""Real processes: racing operators, a killed one, and the system calls of one that is acknowledged."""

import hashlib
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from gateway.registry.registry import Registry

pytestmark = pytest.mark.slow

PREPARE = """
import sys
from pathlib import Path
from featurestore.foundation.clock import SystemClock
from gateway.errors import RouteConflict
from gateway.registry.record import ModelRecord, Threshold
from gateway.registry.registry import open_registry
root, *arguments = sys.argv[1:]
registry = open_registry(f"sqlite:{root}/registry.db", Path(root) / "artifacts", SystemClock())
"""
RACE = """
import time
print("ready", flush=True)
sys.stdin.readline()
for revision in range(1, 11):
    try:
        registry.challenge("spend", 2, weights=(revision, int(arguments[0])), actor="ann", expected_revision=revision)
        print("won", revision, flush=True)
    except RouteConflict as conflict:
        print("lost", revision, flush=True)
    while registry.route("spend").revision <= revision:
        time.sleep(0.001)
"""
REGISTER = """
import os, signal
record = registry.get("spend", 1)
from dataclasses import replace
draft = replace(record, artifact_digest="", parameters={"run": arguments[0]})
registered = registry.register(draft, b"new" + arguments[0].encode())
registry.promote("spend", registered.version, actor="ann")
os.write(1, b"acknowledged %d" % registered.version)
os.kill(os.getpid(), signal.SIGKILL)
"""


FOLDERS = """
import os
real = os.fsync
def traced(descriptor):
    print(os.readlink(f"/proc/self/fd/{descriptor}"), flush=True)
    real(descriptor)
os.fsync = traced
from pathlib import Path
from gateway.registry.artifact_store import ArtifactStore
from gateway.registry.database import Database
root = Path(sys.argv[1])
Database(f"sqlite:{root}/new/state/registry.db").close()
for _ in range(2):
    print("save", flush=True)
    ArtifactStore(root / "new" / "artifacts").save(b"model")
"""


def _start(root: Path, script: str, *arguments: str, tracer: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*tracer, sys.executable, "-c", PREPARE + script, str(root), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
    )


def test_of_racing_operators_exactly_one_wins_each_revision(three_versions: Registry, tmp_path: Path):
    three_versions.promote("spend", 1, actor="ann")
    racers = [_start(tmp_path, RACE, str(weight)) for weight in (1, 2, 3, 4)]
    pipes = [(racer.stdin, racer.stdout) for racer in racers if racer.stdin and racer.stdout]
    assert [said.readline() for _, said in pipes] == ["ready\n"] * 4
    for told, _ in pipes:
        told.write("go\n")
        told.flush()
    ends = [racer.communicate(timeout=60)[0].splitlines() for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0, 0]
    outcomes = Counter(line for lines in ends for line in lines)
    for revision in range(1, 11):
        assert outcomes[f"won {revision}"] == 1
        assert outcomes[f"lost {revision}"] == 3
    route = three_versions.route("spend")
    assert route is not None
    assert route.revision == 11
    assert len(three_versions.history("spend")) == 3 + 11
    three_versions.verify()


def test_what_was_acknowledged_survives_kill_9(three_versions: Registry, tmp_path: Path):
    for run, version in (("a", 4), ("b", 5)):
        killed = _start(tmp_path, REGISTER, run)
        assert killed.communicate(timeout=60)[0] == f"acknowledged {version}"
        assert killed.returncode == -9
        assert three_versions.get("spend", "champion").version == version
        assert three_versions.artifacts.load(three_versions.get("spend", version).artifact_digest)
    three_versions.verify()


def test_the_name_of_every_new_folder_is_synced(three_versions: Registry, tmp_path: Path):
    """So is that of a model file which is there already: who wrote it may have been killed before its folder was."""
    told = _start(tmp_path, FOLDERS).communicate(timeout=60)[0].replace(str(tmp_path), "").split("save")
    database, first, second = (part.splitlines()[0 if at == 0 else 1 :] for at, part in enumerate(told))
    digest = hashlib.sha256(b"model").hexdigest()[:2]
    assert database[:2] == ["", "/new"]
    assert database[-1] == "/new/state"
    assert [each for each in first if "tmp" not in each] == [
        "/new", "/new/artifacts", "/new/artifacts/sha256", f"/new/artifacts/sha256/{digest}",
    ]  # fmt: skip
    assert second == [f"/new/artifacts/sha256/{digest}"]


def _can_trace() -> bool:
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "-o", "/dev/null", "true"], check=False).returncode == 0


@pytest.mark.skipif(not _can_trace(), reason="no strace on this machine, or not allowed to trace")
def test_all_is_synced_before_it_is_acknowledged(three_versions: Registry, tmp_path: Path):
    """Kill -9 leaves the page cache alone, so that only a trace of system calls shows the syncs."""
    trace = tmp_path / "trace"
    calls = "trace=write,pwrite64,fsync,fdatasync,rename,renameat,renameat2"
    tracer = (str(shutil.which("strace")), "-f", "-y", "-o", str(trace), "-e", calls)
    killed = _start(tmp_path, REGISTER, "a", tracer=tracer)
    assert killed.communicate(timeout=60)[0] == "acknowledged 4"
    lines = trace.read_text().splitlines()
    acknowledged = next(at for at, line in enumerate(lines) if "acknowledged 4" in line)
    named = next(at for at, line in enumerate(lines) if re.search(r"rename.*\.onnx", line))
    temporary_synced = next(at for at, line in enumerate(lines) if re.search(r"fsync\(.*\.onnx\..*tmp>", line))
    logged = [at for at, line in enumerate(lines) if "registry.db-wal>" in line and "pwrite64" in line]
    logged = [at for at in logged if at < acknowledged]
    synced = [at for at, line in enumerate(lines) if re.search(r"f(data)?sync\(.*registry\.db-wal>", line)]
    assert temporary_synced < named < min(logged)
    assert re.search(r"fsync\(.*artifacts/sha256/\w\w>", lines[named + 1])
    assert any(max(logged) < at < acknowledged for at in synced)
    commits = [at for at in synced if at < acknowledged]
    assert len(commits) >= 2, "one sync for the registration, one for the promotion"
