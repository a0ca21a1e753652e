"""A streamed source takes no imports, says why, and takes them again when its stream is closed."""

import threading

import pytest

from featurestore.foundation.durable_file import exclusive_lock
from featurestore.foundation.errors import OfflineStoreError
from featurestore.offline import snapshot
from featurestore.offline.stream_mark import (
    SourceStreamed,
    close_stream_mark,
    is_streamed,
    open_stream_mark,
    opened_by,
    stream_mark_path,
)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "offline"


def test_an_import_into_a_streamed_source_is_refused(take_in, rows, root, baskets):
    take_in(rows((1, 5)))
    open_stream_mark(root, baskets, "unskew serve on host a, first event")
    with pytest.raises(SourceStreamed, match="opened by unskew serve on host a, first event") as refused:
        take_in(rows((2, 6)))
    assert "'baskets'" in refused.value.what
    assert "unskew ingest baskets FILE" in str(refused.value.mend)
    assert snapshot.latest(root, baskets).sequence == 1
    close_stream_mark(root, baskets)
    assert take_in(rows((2, 6))).sequence == 2


def test_the_first_mark_stands_and_closing_twice_is_harmless(root, baskets):
    assert not is_streamed(root, baskets)
    open_stream_mark(root, baskets, "one")
    open_stream_mark(root, baskets, "two")
    assert is_streamed(root, baskets)
    assert opened_by(root, baskets) == "one"
    close_stream_mark(root, baskets)
    close_stream_mark(root, baskets)
    assert not is_streamed(root, baskets)
    assert opened_by(root, baskets) == ""


def test_a_mark_waits_for_an_import_under_way(root, baskets):
    opened = threading.Thread(target=open_stream_mark, args=(root, baskets, "one"))
    with exclusive_lock(snapshot.source_folder(root, "baskets") / ".lock"):
        opened.start()
        opened.join(0.1)
        assert not is_streamed(root, baskets)
    opened.join(10)
    assert is_streamed(root, baskets)


def test_a_damaged_mark_still_refuses(take_in, rows, root, baskets):
    open_stream_mark(root, baskets, "one")
    stream_mark_path(root, baskets).write_text("{")
    with pytest.raises(OfflineStoreError, match=r"streamed.json: the mark of an open stream cannot be read"):
        take_in(rows((1, 5)))
