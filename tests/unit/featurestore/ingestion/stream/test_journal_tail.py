"""What a journal does about appenders that died, disks that fail, and files that were changed or replaced."""

import os
import shutil
import subprocess
import sys
from contextlib import closing

import pytest

from featurestore.ingestion.errors import StreamDamaged, StreamReplaced, StreamUnavailable
from featurestore.ingestion.stream import journal_tail
from tests.unit.featurestore.ingestion.stream.journals import (
    HEAD,
    RECORD,
    after_a_power_cut,
    open_journal,
    payloads,
    segments,
)


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
