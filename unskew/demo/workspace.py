"""The demo's project folder: the retail example, written where nothing of the user's is overwritten."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from featurestore.foundation.canonical import bytes_digest
from unskew.demo.stamps import Stamps, file_digests
from unskew.errors import DemoFailed
from unskew.project.examples import example_files, write_files

EXAMPLE = "retail"
EMBEDDED = "lmdb:.unskew/online"
STEP = "project"
LIVE_CLOCK = "shared:.unskew/clock"


def open_workspace(folder: Path) -> Stamps:
    """Return the stamps of the demo in a folder, which must be absent, empty, or a demo's.

    Raises
    ------
    DemoFailed
        If the folder holds something else; nothing was written.
    """
    stamps = Stamps(folder / ".unskew" / "demo.json")
    foreign = folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and stamps.last(STEP) is None
    if foreign:
        raise DemoFailed(
            f"{folder} holds something that is not the demo's", mend="name another folder: unskew demo --directory DIR"
        )
    return stamps


def open_live_workspace(folder: Path, online: str | None) -> Stamps:
    """Make the project of the live demo anew, its clock one that is set; return its stamps.

    Raises
    ------
    DemoFailed
        If the folder holds something that is not a demo's; nothing was written.
    """
    open_workspace(folder)
    if folder.exists():
        shutil.rmtree(folder)
    files = example_files(EXAMPLE)
    files["unskew.toml"] = with_clock(with_online_url(files["unskew.toml"], online or EMBEDDED), LIVE_CLOCK)
    write_files(files, folder)
    stamps = Stamps(folder / ".unskew" / "demo.json")
    stamps.note(STEP, {}, {})
    return stamps


def write_project(folder: Path, online: str | None, stamps: Stamps) -> tuple[list[str], list[str]]:
    """Write the example's files; return the names of those written, and of those left because they were edited.

    A file is written if it is not there, or still is as an earlier run wrote it and the example has changed.
    """
    files = example_files(EXAMPLE)
    files["unskew.toml"] = with_online_url(files["unskew.toml"], online or EMBEDDED)
    ours = stamps.last(STEP) or {}
    present = file_digests(*(folder / name for name in files))
    wanted = {name: bytes_digest(content) for name, content in files.items()}
    edited = [name for name in files if present[name] not in ("", ours.get(name), wanted[name])]
    written = [name for name in files if name not in edited and present[name] != wanted[name]]
    write_files({name: files[name] for name in written}, folder)
    stamps.note(STEP, wanted, {**ours, **{name: wanted[name] for name in files if name not in edited}})
    return written, edited


def with_online_url(settings: bytes, url: str) -> bytes:
    """Return the text of an `unskew.toml` with another online store."""
    quoted = url.replace("\\", "\\\\").replace('"', '\\"')
    return re.sub(rb'(?m)^url = "[^"]*"', lambda _: f'url = "{quoted}"'.encode(), settings, count=1)


def with_clock(settings: bytes, clock: str) -> bytes:
    """Return the text of an `unskew.toml` with another clock."""
    return re.sub(rb'(?m)^now = "[^"]*"', lambda _: f'now = "{clock}"'.encode(), settings, count=1)
