"""Files that are whole or absent, and stay once named: temporary file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``; after a crash it holds the old bytes or the new, never a part."""
    with durable_path(path) as temporary:
        temporary.write_bytes(data)


def create_durably(path: Path, data: bytes) -> None:
    """Create ``path`` with ``data``; of several callers exactly one succeeds.

    Raises
    ------
    FileExistsError
        If ``path`` exists, whatever it holds; its name is on the disk by then, whoever made it.
    """
    make_folder(path.parent)
    temporary = _temporary_beside(path)
    try:
        temporary.write_bytes(data)
        sync_file(temporary)
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


@contextmanager
def durable_path(path: Path) -> Iterator[Path]:
    """Give a temporary path to write; on a clean exit sync it and rename it to ``path``, else remove it."""
    make_folder(path.parent)
    temporary = _temporary_beside(path)
    try:
        yield temporary
        sync_file(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold an advisory lock on ``path`` (made if absent); blocks until it is free; a killed holder frees it."""
    make_folder(path.parent)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def make_folder(path: Path) -> None:
    """Make a folder and those above it, each name flushed to the disk."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Flush a file's bytes to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Flush a folder's names to the disk, without which a rename may be undone by a power cut."""
    sync_file(path)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits, reading it in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
