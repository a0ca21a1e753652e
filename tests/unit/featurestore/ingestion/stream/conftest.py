import os
import time
from contextlib import closing

import pytest

from featurestore.ingestion.stream import journal_tail
from tests.unit.featurestore.ingestion.stream.journals import (
    HEAD,
    open_journal,
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "sales"


@pytest.fixture
def journal(folder):
    with closing(open_journal(folder)) as journal:
        yield journal


@pytest.fixture
def small(folder):
    """One that begins a new segment as soon as the last holds something."""
    with closing(open_journal(folder, segment_bytes=HEAD + 1)) as journal:
        yield journal


@pytest.fixture
def syncs(monkeypatch):
    """The sizes of files as they were synced, one entry a sync."""
    sizes, real = [], os.fdatasync

    def counted(descriptor):
        time.sleep(0.002)
        real(descriptor)
        sizes.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(journal_tail, "sync_data", counted)
    return sizes
