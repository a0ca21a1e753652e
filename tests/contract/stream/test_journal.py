"""The journal as a stream. Its own back door is a walk over the files by the documented layout."""

import shutil
import struct
import subprocess
import sys

import pytest

from featurestore.ingestion.stream.journal import Journal
from featurestore.ingestion.stream.open_stream import open_stream
from tests.contract.stream.suite import REPOSITORY, UNLIMITED, EventStreamSuite
from tests.syscall_trace import NAMES, SYNCS, WRITES, require_strace, trace_command


def raw_records(path):
    """The records of a segment, seals included, as (payload, rows), sharing no code with the product."""
    data, at = path.read_bytes(), 32
    while at < len(data):
        _, length, rows = struct.unpack_from("<III", data, at)
        yield data[at + 32 : at + 32 + length], rows
        at += 32 + length


class TestJournal(EventStreamSuite):
    @pytest.fixture(autouse=True)
    def a_folder(self, tmp_path):
        self.url, self.folder = "memory://", tmp_path / "streams"

    def open(self, limit_rows=UNLIMITED, clock=None):
        return open_stream(self.url, self.folder, "sales", backlog_limit_rows=limit_rows, clock=clock)

    def raw_entries(self):
        paths = sorted((self.folder / "sales").glob("*.events"))
        return [record for path in paths for record in raw_records(path) if record[1]]

    def raw_clear(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class TestJournalOfSmallSegments(TestJournal):
    """The same with a file for every other entry or so."""

    def open(self, limit_rows=UNLIMITED, clock=None):
        folder = self.folder / "sales"
        return Journal(folder, "sales", backlog_limit_rows=limit_rows, clock=clock, segment_bytes=100)


PROGRAM = """
import sys, threading
from pathlib import Path
from featurestore.ingestion.stream import journal_tail
from featurestore.ingestion.stream.journal import Journal
if sys.argv[2] == "without the sync":
    journal_tail.sync_data = lambda descriptor: None
journal = Journal(Path(sys.argv[1]), "sales", backlog_limit_rows=10**9, segment_bytes=600)
def append(thread):
    for number in range(5):
        journal.append([(b"event <%d:%d>" % (thread, number), 1)])
        print(f"acknowledged <{thread}:{number}>", flush=True)
threads = [threading.Thread(target=append, args=(thread,)) for thread in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def unsynced(trace):
    """Acknowledgements of events whose bytes were not synced when they were given."""
    found = []
    for thread in range(6):
        for number in range(5):
            (written,) = trace.writes("*.events", f"event <{thread}:{number}>")
            (told,) = trace.writes("pipe:*", f"acknowledged <{thread}:{number}>")
            if not trace.is_synced(written, before=told):
                found.append((thread, number))
    return found


def run_traced(tmp_path, how):
    require_strace()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "sales"), how]
    return trace_command(command, tmp_path, WRITES + SYNCS + NAMES, cwd=REPOSITORY, stdout=subprocess.PIPE)


@pytest.mark.slow
def test_a_trace_of_system_calls_shows_the_sync_before_the_acknowledgement(tmp_path):
    """Six threads, a file for every few entries."""
    trace = run_traced(tmp_path, "with the sync")
    assert unsynced(trace) == []
    assert len(trace.syncs("*.events")) < 30 + 10


@pytest.mark.slow
def test_a_build_without_the_sync_is_found_out(tmp_path):
    assert len(unsynced(run_traced(tmp_path, "without the sync"))) == 30


@pytest.mark.slow
def test_a_new_file_is_on_the_disk_by_name_before_anything_is_acknowledged_from_it(tmp_path):
    trace = run_traced(tmp_path, "with the sync")
    folder = str(tmp_path / "sales")
    names = [call for call in trace.calls if call.name.startswith("rename") and ".events" in call.text]
    assert len(names) == 3
    for call in names:
        path = call.text.split('"')[-2]
        first = min((write for write in trace.writes(path)), key=lambda write: write.began, default=None)
        assert first is None or any(call.ended < sync.began < first.began for sync in trace.syncs(folder))
