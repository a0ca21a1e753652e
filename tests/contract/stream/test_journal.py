"""The journal as a stream. Its own back door is a walk over the files by the documented layout."""

import shutil
import struct

import pytest

from featurestore.ingestion.stream.journal import Journal
from featurestore.ingestion.stream.open_stream import open_stream
from tests.contract.stream.suite import UNLIMITED, EventStreamSuite


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
