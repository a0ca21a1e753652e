import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from featurestore.foundation.clock import FixedClock
from featurestore.ingestion.dead_letter import DeadLetters, DeadRow
from featurestore.ingestion.errors import DeadLettersUnavailable, DeadLetterUnknown

REFUSED = DeadRow("refused", "'7' is not a whole number", "/id", "send a JSON number", {"id": "7", "shop": "Köln"})
FAILED = DeadRow("failed", "division by zero", "", "mend the expression", {"id": 8}, id="sales:12:0")


@pytest.fixture
def clock():
    return FixedClock(1_500_000_000_000_000)


@pytest.fixture
def letters(tmp_path, clock):
    return DeadLetters(tmp_path / "dead-letters", clock)


def test_what_is_kept_is_found_by_another_process_s_reader(letters, clock, tmp_path):
    first = letters.add("sales", [REFUSED, FAILED])
    clock.set(1_600_000_000_000_000)
    second = letters.add("visits", [REFUSED])
    other = DeadLetters(tmp_path / "dead-letters")
    found = other.list()
    assert [letter.id for letter in found] == [*first, *second]
    assert len(set(first + second)) == 3
    one, failed, _ = found
    assert (one.source, one.instant_us, one.kind, one.reason, one.pointer, one.mend, one.row) == (
        "sales", 1_500_000_000_000_000, "refused", REFUSED.reason, "/id", REFUSED.mend, REFUSED.row
    )  # fmt: skip
    assert (failed.id, failed.kind, failed.row) == ("sales:12:0", "failed", {"id": 8})
    assert [letter.id for letter in other.list("visits")] == second
    assert other.get(first[0]) == one


def test_nothing_is_there_at_first(letters):
    assert letters.list() == []
    assert letters.remove(["x"]) == 0
    with pytest.raises(DeadLetterUnknown, match="'x'"):
        letters.get("x")
    assert letters.add("sales", []) == []


def test_a_letter_of_one_id_is_there_once(letters, tmp_path):
    letters.add("sales", [FAILED])
    DeadLetters(tmp_path / "dead-letters").add("sales", [FAILED, REFUSED])
    assert sorted(letter.kind for letter in letters.list()) == ["failed", "refused"]
    assert letters.remove(["sales:12:0"]) == 1
    assert [letter.kind for letter in letters.list()] == ["refused"]


def test_removing_takes_those_named_from_whoever_wrote_them(letters, tmp_path):
    other = DeadLetters(tmp_path / "dead-letters")
    mine, theirs = letters.add("sales", [REFUSED] * 3), other.add("sales", [REFUSED] * 2)
    assert letters.remove([mine[1], *theirs, "unknown"]) == 3
    assert [letter.id for letter in other.list()] == [mine[0], mine[2]]
    again = other.add("sales", [REFUSED])
    assert [letter.id for letter in letters.list()] in ([mine[0], mine[2], *again], [*again, mine[0], mine[2]])
    assert letters.remove([*mine, *again]) == 3
    assert [path.name for path in (tmp_path / "dead-letters").iterdir()] == ["lock"]


def test_an_amended_row_stands_in_the_letter_s_place(letters):
    first, second = letters.add("sales", [REFUSED, REFUSED])
    amended = letters.amend(second, {"id": 7})
    assert amended.row == {"id": 7}
    assert letters.get(second) == amended
    assert letters.get(first).row == REFUSED.row
    assert [letter.id for letter in letters.list()] == [first, second]
    assert amended.reason == REFUSED.reason
    with pytest.raises(DeadLetterUnknown):
        letters.amend("unknown", {})


def test_a_full_place_keeps_no_refused_rows_but_every_acknowledged_one(tmp_path):
    letters = DeadLetters(tmp_path, limit_bytes=300)
    kept = [letters.add("sales", [REFUSED, FAILED]) for _ in range(4)]
    assert kept[0][0]
    assert kept[-1] == ["", "sales:12:0"]
    assert sum(path.stat().st_size for path in tmp_path.glob("*.jsonl")) < 2000


def test_rows_that_json_cannot_say_are_kept_as_text(letters):
    letters.add(
        "sales", [DeadRow("refused", "r", "", "m", {"shop": "\ud800"}), DeadRow("refused", "r", "", "m", object)]
    )
    assert [type(letter.row) for letter in letters.list()] == [str, str]
    assert "ud800" in str(letters.list()[0].row)


def test_what_a_killed_process_left_of_a_line_is_passed_over(letters, tmp_path):
    whole = letters.add("sales", [REFUSED, REFUSED])
    (path,) = (tmp_path / "dead-letters").glob("*.jsonl")
    data = path.read_bytes()
    line = data[: data.index(b"\n") + 1]
    for cut in range(len(line)):
        path.write_bytes(data + line[:cut])
        assert [letter.id for letter in DeadLetters(tmp_path / "dead-letters").list()] == whole
    assert letters.remove(whole[:1]) == 1
    assert [letter.id for letter in letters.list()] == whole[1:]


def test_lines_are_json_that_people_can_read(letters, tmp_path):
    letters.add("sales", [REFUSED])
    (path,) = (tmp_path / "dead-letters").glob("*.jsonl")
    told = json.loads(path.read_text())
    assert told["instant"] == "2017-07-14T02:40:00Z"
    assert told["row"] == {"id": "7", "shop": "Köln"}


def test_threads_that_add_and_remove_at_once_lose_nothing(letters, tmp_path):
    other = DeadLetters(tmp_path / "dead-letters")

    def work(number):
        ids = (letters, other)[number % 2].add("sales", [REFUSED] * 20)
        assert letters.remove(ids[::2]) == 10
        return ids[1::2]

    with ThreadPoolExecutor(8) as pool:
        kept = [one for ids in pool.map(work, range(24)) for one in ids]
    assert sorted(letter.id for letter in letters.list()) == sorted(kept)


def test_letters_are_synced_with_their_names_before_they_are_told(letters, tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())), real(fd)))
    letters.add("sales", [REFUSED])
    (path,) = (tmp_path / "dead-letters").glob("*.jsonl")
    assert str(path) in synced
    assert synced.index(str(tmp_path / "dead-letters"), synced.index(str(path))) > 0
    del synced[:]
    letters.add("sales", [REFUSED])
    assert synced == [str(path)]


PROGRAM = """
import resource, signal, sys
from pathlib import Path
from featurestore.ingestion.dead_letter import DeadLetters, DeadRow
from featurestore.ingestion.errors import DeadLettersUnavailable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
letters, row = DeadLetters(Path(sys.argv[1])), DeadRow("refused", "r", "", "m", "x" * 2000)
letters.add("sales", [row])
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    letters.add("sales", [row])
except DeadLettersUnavailable as error:
    print(error)
letters.add("sales", [DeadRow("refused", "r", "", "m", "small")])
print(len(letters.list()))
"""


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path):
    """The limit on a file's size stands for the disk's: a write comes back short, the next one fails."""
    run = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True)
    said, count = run.stdout.splitlines()
    assert "File too large" in said
    assert str(tmp_path) in said
    assert count == "2"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DeadLettersUnavailable, match="file"):
        DeadLetters(tmp_path / "file" / "folder").add("sales", [REFUSED])
