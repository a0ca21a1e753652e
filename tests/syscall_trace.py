"""Watch the system calls of real processes by strace: what is written, what is synced, what is told, in which order."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import pytest

WRITES = ("write", "pwrite64", "writev", "pwritev", "sendto", "sendmsg")
SYNCS = ("fsync", "fdatasync")
NAMES = ("rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "openat", "ftruncate")
SHOWN_BYTES = 4096
_STARTED = re.compile(
    r"(?P<pid>\d+) +(?P<name>\w+)\((?P<text>.*?)(?:(?P<open> <unfinished \.\.\.>)|\) += (?P<result>.*))$"
)
_RESUMED = re.compile(r"(?P<pid>\d+) +<\.\.\. (?P<name>\w+) resumed>(?P<text>.*?)\) += (?P<result>.*)$")
_TARGET = re.compile(r"-?\d+<(?P<path>.*?)>(?:,|$)")


@dataclass
class SystemCall:
    """One call, as strace shows it.

    Attributes
    ----------
    text
        The arguments, strings of at most `SHOWN_BYTES`.
    began, ended
        Places in the order of what was seen of all processes; ``ended`` is None if it never returned.
    """

    pid: int
    name: str
    text: str
    began: int
    ended: int | None = None
    result: str = ""

    @property
    def path(self) -> str:
        """What the first argument, a file descriptor, is open on: a path, a pipe or a socket; else empty."""
        found = _TARGET.match(self.text)
        return found["path"] if found else ""

    @property
    def data(self) -> str:
        """The arguments behind the first."""
        return self.text.partition(", ")[2]


@dataclass
class Trace:
    """The calls of the traced processes, in the order in which they began."""

    calls: list[SystemCall] = field(default_factory=list)

    def writes(self, pattern: str, containing: str = "") -> list[SystemCall]:
        """Return writes to what a pattern of paths names (``*.events``; ``*TCP:*`` and ``*UNIX*`` for sockets)."""
        return [
            call
            for call in self.calls
            if call.name in WRITES and fnmatch(call.path, pattern) and containing in call.data
        ]

    def syncs(self, pattern: str = "*") -> list[SystemCall]:
        """Return syncs of what a pattern of paths names."""
        return [call for call in self.calls if call.name in SYNCS and fnmatch(call.path, pattern)]

    def is_synced(self, write: SystemCall, before: SystemCall) -> bool:
        """Tell whether a sync of the written file began after the write and was over before another call began."""
        assert write.ended is not None
        return any(
            write.ended < sync.began and sync.ended is not None and sync.ended < before.began and sync.result == "0"
            for sync in self.syncs()
            if sync.path == write.path
        )


def require_strace() -> None:
    """Skip the test where strace is not installed or may not trace."""
    if shutil.which("strace") is None:
        pytest.skip("no strace on this machine")
    if subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")


def trace_command(command: Sequence[str], folder: Path, calls: Sequence[str] = WRITES + SYNCS, **given) -> Trace:
    """Run a command and its children to the end, which must be a good one, and return what they called."""
    output = folder / "strace.txt"
    subprocess.run([*_strace(output, calls), *command], check=True, timeout=120, **given)
    return parse(output.read_text(errors="replace"))


@contextmanager
def tracing(processes: int | Sequence[int], folder: Path, calls: Sequence[str] = WRITES + SYNCS) -> Iterator[Trace]:
    """Trace running processes, by id, and all their threads; the one trace is filled when the block ends."""
    pids = [processes] if isinstance(processes, int) else processes
    output = folder / f"strace-{pids[0]}.txt"
    attached = [argument for pid in pids for argument in ("-p", str(pid))]
    tracer = subprocess.Popen([*_strace(output, calls), *attached], stderr=subprocess.PIPE)
    trace = Trace()
    try:
        for pid in pids:
            _wait_until_traced(pid, tracer)
        yield trace
    finally:
        tracer.terminate()
        tracer.communicate(timeout=30)
    trace.calls.extend(parse(output.read_text(errors="replace")).calls)


def parse(text: str) -> Trace:
    """Read strace's output; calls that were interrupted by those of other threads are put together."""
    trace, unfinished = Trace(), dict[tuple[int, str], SystemCall]()
    for place, line in enumerate(text.splitlines()):
        if started := _STARTED.match(line):
            call = SystemCall(int(started["pid"]), started["name"], started["text"], place)
            trace.calls.append(call)
            if started["open"]:
                unfinished[call.pid, call.name] = call
            else:
                call.ended, call.result = place, started["result"]
        elif resumed := _RESUMED.match(line):
            found = unfinished.pop((int(resumed["pid"]), resumed["name"]), None)
            if found is not None:
                found.ended, found.result = place, resumed["result"]
                found.text += resumed["text"]
    return trace


def _strace(output: Path, calls: Sequence[str]) -> list[str]:
    return ["strace", "-f", "-qq", "-yy", "-s", str(SHOWN_BYTES), "-e", f"trace={','.join(calls)}", "-e", "signal=none",
            "-o", str(output)]  # fmt: skip


def _wait_until_traced(pid: int, tracer: "subprocess.Popen[bytes]") -> None:
    threads = Path(f"/proc/{pid}/task")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and tracer.poll() is None:
        if all("TracerPid:\t0\n" not in (thread / "status").read_text() for thread in threads.iterdir()):
            return
        time.sleep(0.01)
    pytest.skip("strace cannot attach to a process here")
