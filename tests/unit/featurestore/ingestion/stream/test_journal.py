"""What a journal does beside what every stream does (tests/contract/stream): files, faults, syncs."""

import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise

import pytest

from featurestore.ingestion.errors import StreamDamaged, StreamReplaced, StreamUnavailable
from featurestore.ingestion.stream import journal_tail
from featurestore.ingestion.stream.journal import Journal

HEAD, RECORD = 32, 32


def open_journal(folder, **given):
    return Journal(folder, "sales", **{"backlog_limit_rows": 10**9, **given})


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


def payloads(journal, after=""):
    found = []
    while step := journal.read(after, 3, 0):
        found += [entry.payload for entry in step]
        after = step[-1].position
    return found


def segments(folder):
    return sorted(folder.glob("*.events"))


def after_a_power_cut(folder):
    """The state is not synced: at worst it is gone."""
    (folder / "state").unlink()


@pytest.mark.parametrize("state_kept", [True, False])
def test_an_entry_that_an_appender_left_unfinished_is_cut_at_whatever_byte_it_ends(tmp_path, state_kept):
    whole = tmp_path / "whole"
    with closing(open_journal(whole)) as journal:
        journal.append([(b"first", 1), (b"second", 2)])
        synced = segments(whole)[0].stat().st_size
        (whole / "state").unlink()  # so that it does not say of the third that it was synced
        with closing(open_journal(whole)) as other:
            other.append([(b"third, which is torn", 3)])
    data = segments(whole)[0].read_bytes()
    for cut in range(synced, len(data)):
        folder = tmp_path / f"cut{cut}"
        shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("bell", "state"))
        segments(folder)[0].write_bytes(data[:synced])
        if state_kept:
            with closing(open_journal(folder)) as journal:
                assert len(journal.read("", 10, 0)) == 2
        segments(folder)[0].write_bytes(data[:cut])
        with closing(open_journal(folder)) as reader, closing(open_journal(folder)) as journal:
            assert payloads(reader) == [b"first", b"second"]
            journal.append([(b"fourth", 4)])
            assert payloads(reader) == [b"first", b"second", b"fourth"]
            assert journal.backlog().appended_rows == 7


@pytest.mark.parametrize(
    "tail",
    [b"\x00" * 100, b"\xff" * 100, b"\x00" * 31, b"garbage" * 9999],
    ids=["zeros", "ones", "less than a head", "much"],
)
def test_foreign_bytes_behind_the_last_entry_are_cut(folder, journal, tail):
    journal.append([(b"first", 1)])
    with segments(folder)[0].open("ab") as handle:
        handle.write(tail)
    journal.append([(b"second", 1)])
    assert payloads(journal) == [b"first", b"second"]
    assert segments(folder)[0].stat().st_size == HEAD + 2 * RECORD + 11


def test_an_open_journal_goes_on_behind_a_torn_tail_of_another_process(folder, journal):
    journal.append([(b"first", 1)])
    with closing(open_journal(folder)) as other:
        other.append([(b"second", 1)])
    size = segments(folder)[0].stat().st_size
    with closing(open_journal(folder)) as other:
        other.append([(b"torn", 1)])
    (folder / "state").unlink()
    os.truncate(segments(folder)[0], size + 20)
    journal.append([(b"third", 1)])
    assert payloads(journal) == [b"first", b"second", b"third"]


@pytest.mark.parametrize("place", [HEAD + 3, HEAD + 5, HEAD + 9, HEAD + 20, HEAD + RECORD + 1])
def test_bytes_that_were_synced_and_changed_are_said_and_never_cut(folder, journal, place):
    journal.append([(b"first", 1)])
    journal.append([(b"second", 1)])
    path = segments(folder)[0]
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with closing(open_journal(folder)) as fresh:
        for use in (lambda: fresh.read("", 10, 0), lambda: fresh.append([(b"x", 1)]), fresh.backlog):
            with pytest.raises(StreamDamaged, match=path.name):
                use()
    assert path.read_bytes() == data


def test_a_damaged_head_is_said(folder, journal):
    journal.append([(b"first", 1)])
    path = segments(folder)[0]
    for bad in (b"", b"x" * 20, b"x" * 60, path.read_bytes()[:8] + b"\x01" + path.read_bytes()[9:]):
        path.write_bytes(bad)
        with closing(open_journal(folder)) as fresh, pytest.raises(StreamDamaged, match=path.name):
            fresh.append([(b"x", 1)])


def test_a_file_that_lost_its_synced_end_is_said(folder, journal):
    journal.append([(b"first", 1)])
    journal.append([(b"second", 1)])
    position = journal.read("", 10, 0)[-1].position
    journal.commit(position)
    size = segments(folder)[0].stat().st_size
    for left in (size - 1, size - RECORD - 6, HEAD, HEAD + 1):
        os.truncate(segments(folder)[0], left)
        with closing(open_journal(folder)) as fresh:
            for use in (lambda: fresh.append([(b"x", 1)]), lambda fresh=fresh: fresh.read(position, 10, 0)):
                with pytest.raises(StreamDamaged):
                    use()
    with pytest.raises(StreamDamaged):
        journal.append([(b"x", 1)])


def test_an_older_copy_of_the_folder_is_told_by_a_position_beyond_its_end(folder, journal, tmp_path):
    journal.append([(b"first", 1)])
    shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("bell"))
    journal.append([(b"second", 1)])
    position = journal.read("", 10, 0)[-1].position
    with closing(open_journal(tmp_path / "copy")) as restored:
        for use in (lambda: restored.read(position, 10, 0), lambda: restored.commit(position)):
            with pytest.raises(StreamDamaged, match="beyond its end"):
                use()


def test_after_a_power_cut_that_took_the_state_all_entries_are_there_and_the_next_commit_counts(folder):
    with closing(open_journal(folder)) as journal:
        journal.append([(b"first", 1), (b"second", 2)])
        first, second = journal.read("", 10, 0)
        journal.commit(first.position)
    after_a_power_cut(folder)
    with closing(open_journal(folder, backlog_limit_rows=4)) as journal:
        assert [entry.payload for entry in journal.read(first.position, 10, 0)] == [b"second"]
        assert journal.backlog().rows == 3
        journal.commit(second.position)
        journal.append([(b"third", 4)])


def test_a_folder_removed_under_an_open_journal_is_begun_anew(folder, journal):
    journal.append([(b"lost", 1)])
    old = journal.read("", 1, 0)[0].position
    shutil.rmtree(folder)
    journal.append([(b"new", 1)])
    assert payloads(journal) == [b"new"]
    with pytest.raises(StreamReplaced):
        journal.read(old, 1, 0)
    with closing(open_journal(folder)) as other:
        other.append([(b"newer", 1)])
    assert payloads(journal) == [b"new", b"newer"]


def test_an_older_copy_put_in_place_of_an_open_journal_is_synced_anew(folder, journal, tmp_path, syncs):
    """Offsets that were synced before are not so in the copy."""
    journal.append([(b"first", 1)])
    shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("bell", "state"))
    journal.append([(b"second, and long" * 100, 1)])
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "copy", folder)
    before = len(syncs)
    journal.append([(b"third", 1)])
    assert len(syncs) == before + 1
    assert payloads(journal) == [b"first", b"third"]


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


@pytest.mark.parametrize("left", ["seal", "segment without entries", "unnamed segment"])
def test_an_appender_that_died_while_it_began_a_segment_is_no_obstacle(folder, left):
    with closing(open_journal(folder, segment_bytes=HEAD + 1)) as journal:
        journal.append([(b"a", 1)])
        journal.append([(b"b", 1)])
    last = segments(folder)[-1]
    if left == "segment without entries":
        os.truncate(last, HEAD)
    else:
        last.unlink()
    after_a_power_cut(folder)
    if left == "unnamed segment":
        (folder / f".{last.name}.0123456789ab.tmp").write_bytes(b"half")
    with closing(open_journal(folder)) as journal:
        assert payloads(journal) == [b"a"]
        journal.append([(b"c", 1)])
        assert payloads(journal) == [b"a", b"c"]
    assert list(folder.glob(".*")) == []


def test_a_segment_missing_between_two_is_said(folder, small):
    for number in range(4):
        small.append([(b"%d" % number, 1)])
    missing = segments(folder)[1]
    missing.unlink()
    with pytest.raises(StreamDamaged):
        payloads(small)


def test_a_failed_rotation_is_made_good_by_the_next_append(folder, small, monkeypatch):
    small.append([(b"a", 1)])

    def full(path, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(journal_tail, "write_durably", full)
        for _ in range(2):
            with pytest.raises(StreamUnavailable, match="No space left"):
                small.append([(b"b", 1)])
        with closing(open_journal(folder)) as other, pytest.raises(StreamUnavailable):
            other.append([(b"b", 1)])
    with closing(open_journal(folder)) as other:
        other.append([(b"c", 1)])
    small.append([(b"d", 1)])
    assert payloads(small) == [b"a", b"c", b"d"]


PROGRAM = """
import resource, signal, sys
from pathlib import Path
from featurestore.ingestion.errors import StreamUnavailable
from featurestore.ingestion.stream.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]), "sales", backlog_limit_rows=100)
journal.append([(b"first", 1)])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    journal.append([(b"whole", 1), (b"x" * 2000, 1)])
except StreamUnavailable as error:
    print(error)
journal.append([(b"second", 1)])
print(*[entry.payload.decode() for entry in journal.read("", 100, 0)], journal.backlog().rows)
"""


def test_an_append_that_the_disk_has_no_room_for_leaves_nothing(folder):
    """The limit on a file's size stands for the disk's: a write comes back short, the next one fails."""
    run = subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, check=True)
    said, found = run.stdout.splitlines()
    assert "File too large" in said
    assert str(folder) in said
    assert "disk" in said
    assert found == "first second 2"


def test_a_failed_sync_acknowledges_nothing_then_or_later(folder, journal, monkeypatch):
    journal.append([(b"first", 1)])

    def failing(descriptor):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(journal_tail, "sync_data", failing)
        with pytest.raises(StreamUnavailable, match="Input/output error"):
            journal.append([(b"second", 1)])
    with pytest.raises(StreamUnavailable, match="start again"):
        journal.append([(b"third", 1)])
    with closing(open_journal(folder)) as reopened:
        reopened.append([(b"fourth", 1)])


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
