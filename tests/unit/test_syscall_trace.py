import subprocess
import sys

import pytest

from tests.syscall_trace import parse, require_strace, trace_command, tracing

PROGRAM = """
import os, sys, threading
path, sync = sys.argv[1], sys.argv[2] == "sync"
sys.stdin.readline()
file = os.open(path, os.O_CREAT | os.O_WRONLY)
def work():
    os.write(file, b"event 1")
    if sync:
        os.fdatasync(file)
    os.write(1, b"acknowledged 1")
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.parametrize(("how", "synced"), [("sync", True), ("no sync", False)])
def test_a_missing_sync_is_seen_in_a_thread_of_a_command(tmp_path, how, synced):
    require_strace()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "a.events"), how]
    trace = trace_command(command, tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    (write,) = trace.writes("*/a.events", "event 1")
    (told,) = trace.writes("pipe:*", "acknowledged 1")
    assert trace.is_synced(write, before=told) == synced
    assert trace.writes("*/b.events") == []


def test_a_running_process_is_traced(tmp_path):
    require_strace()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "a.events"), "sync"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        with tracing(process.pid, tmp_path) as trace:
            process.communicate(b"go\n")
        (write,) = trace.writes("*/a.events", "event 1")
        (told,) = trace.writes("pipe:*", "acknowledged 1")
        assert trace.is_synced(write, before=told)


def test_calls_that_others_interrupt_are_put_together_and_a_sync_under_way_is_no_sync():
    trace = parse(
        '7 write(3</x/a.events>, "event", 5) = 5\n'
        "7 fdatasync(3</x/a.events> <unfinished ...>\n"
        '8 write(1<pipe:[1]>, "early", 5) = 5\n'
        '8 write(3</x/a.events>, "later", 5) = 5\n'
        "7 <... fdatasync resumed>) = 0\n"
        '7 write(1<pipe:[1]>, "told", 4) = 4\n'
        "8 fdatasync(3</x/a.events>) = -1 EIO (Input/output error)\n"
        '8 write(1<pipe:[1]>, "wrong", 5) = 5\n'
    )
    (event,), (later,) = trace.writes("*.events", "event"), trace.writes("*.events", "later")
    early, told, wrong = trace.writes("pipe:*")
    assert [trace.is_synced(event, before=call) for call in (early, told, wrong)] == [False, True, True]
    assert not trace.is_synced(later, before=wrong)
