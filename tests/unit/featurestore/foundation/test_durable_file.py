from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from featurestore.foundation.durable_file import (
    create_durably,
    durable_path,
    exclusive_lock,
    file_digest,
    write_durably,
)


def test_writing_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    write_durably(path, b"one")
    write_durably(path, b"two")
    assert path.read_bytes() == b"two"
    assert [found.name for found in path.parent.iterdir()] == ["file"]


def _write_half(path: Path) -> None:
    with durable_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError


def test_a_failed_write_leaves_the_old_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")
    with pytest.raises(RuntimeError):
        _write_half(path)
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_creating_twice_fails_and_keeps_the_first(tmp_path: Path) -> None:
    path = tmp_path / "file"
    create_durably(path, b"first")
    with pytest.raises(FileExistsError):
        create_durably(path, b"second")
    assert path.read_bytes() == b"first"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def _create(path: Path, wins: multiprocessing.Queue[int], number: int) -> None:
    try:
        create_durably(path, str(number).encode())
        wins.put(number)
    except FileExistsError:
        pass


def _count_up(lock: Path, counter: Path) -> None:
    for _ in range(20):
        with exclusive_lock(lock):
            counter.write_text(str(int(counter.read_text()) + 1))


def test_of_racing_creators_exactly_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    wins: multiprocessing.Queue[int] = context.Queue()
    racers = [context.Process(target=_create, args=(tmp_path / "file", wins, number)) for number in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert (tmp_path / "file").read_bytes() == str(wins.get(timeout=5)).encode()
    assert wins.empty()


def test_a_lock_lets_one_in_at_a_time(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    context = multiprocessing.get_context("fork")
    racers = [context.Process(target=_count_up, args=(tmp_path / "lock", counter)) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert counter.read_text() == "80"


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert file_digest(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_every_new_folder_is_flushed_into_the_one_above(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    program = f"""
import os
from pathlib import Path
from featurestore.foundation.durable_file import create_durably
real = os.fsync
def traced(descriptor):
    print(os.readlink(f"/proc/self/fd/{{descriptor}}"))
    real(descriptor)
os.fsync = traced
create_durably(Path({str(folder)!r}) / "file", b"x")
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    synced = told.stdout.split()
    assert synced[0] == str(tmp_path)
    assert synced[1] == str(tmp_path / "a")
    assert synced[2].endswith(".tmp")
    assert synced[3] == str(folder)
