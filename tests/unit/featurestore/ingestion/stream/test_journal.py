"""What a journal does beside what every stream does (tests/contract/stream): files, segments, syncs."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise

import pytest

from featurestore.ingestion.errors import StreamUnavailable
from featurestore.ingestion.stream import journal_tail
from tests.unit.featurestore.ingestion.stream.journals import (
    open_journal,
    payloads,
    segments,
)


def test_full_segments_are_sealed_and_positions_go_on(folder, small):
    small.append([(b"a", 1), (b"b", 1)])
    small.append([(b"c", 1)])
    small.append([(b"d" * 1000, 1)])
    paths = segments(folder)
    assert len(paths) == 3
    starts = [int(path.stem, 16) for path in paths]
    sizes = [path.stat().st_size for path in paths]
    assert [later - earlier for earlier, later in pairwise(starts)] == sizes[:-1]
    assert payloads(small) == [b"a", b"b", b"c", b"d" * 1000]
    positions = [entry.position for entry in small.read("", 100, 0)]
    assert [payloads(small, position)[:1] for position in positions] == [[b"b"], [b"c"], [b"d" * 1000], []]


def test_an_entry_larger_than_a_segment_has_one_of_its_own(folder):
    with closing(open_journal(folder, segment_bytes=1000)) as journal:
        for size in (10, 5000, 10, 100_000, 10):
            journal.append([(b"x" * size, 1)])
        assert [len(payload) for payload in payloads(journal)] == [10, 5000, 10, 100_000, 10]
        assert len(segments(folder)) == 3


def test_trimmed_segments_are_removed_but_for_the_last(folder, small):
    for number in range(5):
        small.append([(b"%d" % number, 1)])
    positions = [entry.position for entry in small.read("", 100, 0)]
    small.trim(positions[0])
    assert len(segments(folder)) == 4
    small.trim(positions[2])
    assert payloads(small) == [b"3", b"4"]
    small.trim(positions[4])
    assert payloads(small) == [b"4"]
    assert len(segments(folder)) == 1
    assert small.backlog().appended_rows == 5
    with closing(open_journal(folder)) as fresh:
        assert fresh.backlog().appended_rows == 5
        fresh.append([(b"5", 1)])
    assert payloads(small, positions[4]) == [b"5"]


def test_a_reader_behind_the_trimmed_part_reads_on_with_what_is_left(folder, small):
    small.append([(b"0", 1)])
    behind = small.read("", 1, 0)[0].position
    for number in range(1, 6):
        small.append([(b"%d" % number, 1)])
    small.trim([entry.position for entry in small.read("", 100, 0)][3])
    assert payloads(small, behind) == [b"4", b"5"]


def test_reading_while_others_append_rotate_and_trim_misses_and_doubles_nothing(folder):
    """The reader trims what it has read, as the ingest program does; two appenders fill a segment with each append."""
    with (
        closing(open_journal(folder, segment_bytes=200)) as reader,
        closing(open_journal(folder, segment_bytes=200)) as one,
        closing(open_journal(folder, segment_bytes=200)) as two,
        ThreadPoolExecutor(2) as pool,
    ):

        def append(journal, name):
            for number in range(60):
                journal.append([(b"%s:%d" % (name, number) + b"." * (number % 7) * 20, 1)])

        done = [pool.submit(append, one, b"one"), pool.submit(append, two, b"two")]
        found, after = list[str](), ""
        while len(found) < 120:
            step = reader.read(after, 7, 5)
            assert step
            found += [entry.payload.rstrip(b".").decode() for entry in step]
            after = step[-1].position
            reader.commit(after)
            reader.trim(after)
        for appender in done:
            appender.result()
    for name in ("one", "two"):
        assert [row for row in found if row.startswith(name)] == [f"{name}:{number}" for number in range(60)]
    assert len(segments(folder)) == 1


def test_threads_share_syncs_and_none_returns_before_its_entry_is_synced(folder, journal, syncs):
    start = threading.Barrier(32)

    def append(thread):
        start.wait()
        for number in range(6):
            payload = b"<%d:%d>" % (thread, number)
            journal.append([(payload, 1)])
            assert payload in segments(folder)[0].read_bytes()[: max(syncs)]

    with ThreadPoolExecutor(32) as pool:
        for done in [pool.submit(append, thread) for thread in range(32)]:
            done.result()
    assert len(journal.read("", 1000, 0)) == 192
    assert len(syncs) <= 40
    assert max(syncs) == segments(folder)[0].stat().st_size


def test_one_append_is_one_sync_and_reading_what_is_synced_is_none(journal, syncs):
    journal.append([(b"first", 1)])
    assert len(syncs) == 1
    journal.append([(b"second", 1), (b"third", 1)])
    assert len(syncs) == 2
    assert len(journal.read("", 10, 0)) == 3
    assert journal.read(journal.read("", 10, 0)[-1].position, 10, 0) == []
    assert len(syncs) == 2


def test_a_reader_gives_nothing_that_is_not_synced(folder, journal, monkeypatch):
    """An appender hangs in its sync: the reader, whose own sync goes through, gives the entry only then."""
    journal.append([(b"first", 1)])
    hanging, reading = threading.Event(), threading.Event()
    real = os.fdatasync

    def hang(descriptor):
        if threading.current_thread().name == "appender":
            hanging.set()
            reading.wait(10)
        else:
            synced.append(os.fstat(descriptor).st_size)
        real(descriptor)

    synced: list[int] = []
    monkeypatch.setattr(journal_tail, "sync_data", hang)
    appender = threading.Thread(target=journal.append, args=([(b"second", 1)],), name="appender")
    appender.start()
    assert hanging.wait(10)
    with closing(open_journal(folder)) as reader:
        (first,) = reader.read("", 1, 0)
        assert synced == []
        assert [entry.payload for entry in reader.read(first.position, 10, 0)] == [b"second"]
        assert synced == [segments(folder)[0].stat().st_size]
    reading.set()
    appender.join()


def test_a_closed_journal_opens_again_at_the_next_call(journal):
    journal.append([(b"first", 1)])
    journal.close()
    assert payloads(journal) == [b"first"]
    journal.append([(b"second", 1)])
    assert payloads(journal) == [b"first", b"second"]


def test_counting_makes_nothing_where_nothing_was_ever_appended(folder, journal):
    assert journal.backlog().rows == 0
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with closing(open_journal(tmp_path / "file" / "sales")) as journal:
        for use in (
            lambda: journal.append([(b"x", 1)]),
            lambda: journal.read("", 1, 0),
            journal.backlog,
            lambda: journal.acquire("one", 1),
        ):
            with pytest.raises(StreamUnavailable, match="file"):
                use()


def test_a_look_at_a_journal_that_was_never_used_makes_nothing(tmp_path):
    with closing(open_journal(tmp_path / "sales")) as journal:
        assert journal.backlog().rows == 0
    assert not (tmp_path / "sales").exists()


def test_a_lease_says_who_has_it_and_leaves_one_file(folder, journal):
    for owner in ("one", "two"):
        lease = journal.acquire(owner, 60)
        assert owner in (folder / "lease").read_text()
        assert len(list(folder.glob("lease-*"))) == 1
        lease.release()
        assert list(folder.glob("lease-*")) == []
    assert journal.risk() == ""
