"""Frames that are whole, torn or damaged are told apart, wherever the bytes were hurt."""

import random
from pathlib import Path

import pytest

from gateway.predictionlog.frame import MAGIC, MARK, Condition, frame, read_frames

PAYLOADS = [b"Lfirst", b"R" + bytes(range(256)) * 3, b"N{}", b"R" + MARK + b"in a payload", b"Rlast"]


def written(path: Path, data: bytes) -> tuple[list[bytes], Condition]:
    path.write_bytes(data)
    condition = Condition()
    with path.open("rb") as handle:
        return list(read_frames(handle, condition)), condition


@pytest.fixture
def whole() -> bytes:
    return MAGIC + b"".join(map(frame, PAYLOADS))


def test_whole_frames_are_read_back(tmp_path, whole):
    assert written(tmp_path / "s", whole) == (PAYLOADS, Condition(0, 0))
    assert written(tmp_path / "s", MAGIC) == ([], Condition(0, 0))
    assert written(tmp_path / "s", b"") == ([], Condition(0, 0))


def test_a_file_cut_anywhere_gives_the_frames_before_and_is_torn_not_damaged(tmp_path, whole):
    for cut in [*range(40), *random.Random(2).sample(range(len(whole)), 60)]:
        found, condition = written(tmp_path / "s", whole[:cut])
        assert found == PAYLOADS[: len(found)]
        assert condition.damaged_bytes == 0
        assert condition.torn_bytes + len(MAGIC) * (cut >= len(MAGIC)) + len(b"".join(map(frame, found))) == cut


@pytest.mark.parametrize("tail", [b"\0" * 4096, MARK, b"junk" * 9, MARK + b"\xff\xff\xff\x7f" + b"x" * 99])
def test_what_a_crash_leaves_at_the_end_is_torn(tmp_path, whole, tail):
    assert written(tmp_path / "s", whole + tail) == (PAYLOADS, Condition(len(tail), 0))


def test_any_byte_changed_loses_its_frame_only(tmp_path, whole):
    chance = random.Random(3)
    for at in chance.sample(range(len(whole)), 80):
        hurt = bytearray(whole)
        hurt[at] ^= 1 << chance.randrange(8)
        found, condition = written(tmp_path / "s", bytes(hurt))
        in_last = at >= len(whole) - len(frame(PAYLOADS[-1]))
        lost = [payload for payload in PAYLOADS if payload not in found]
        assert len(lost) == (0 if at < len(MAGIC) else 1)
        assert bool(condition.damaged_bytes) is not in_last
        assert bool(condition.torn_bytes) is in_last
