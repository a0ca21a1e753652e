"""What `unskew init` makes: the starter example, its name changed, its data generated."""

from __future__ import annotations

import re
from pathlib import Path

from featurestore.catalog.load import load_module
from unskew.errors import ProjectExists
from unskew.project.examples import example_files, write_files

EXAMPLE = "starter"


def make_project(folder: Path) -> list[Path]:
    """Write a small project that runs into an absent or empty folder; return its files, relative to it.

    Raises
    ------
    ProjectExists
        If the folder holds anything already, or is a file; nothing was written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        state = "is not empty" if folder.is_dir() else "is a file"
        raise ProjectExists(f"{folder} {state}", mend="name a folder that does not exist yet")
    files = example_files(EXAMPLE)
    files["unskew.toml"] = _named(files["unskew.toml"], folder.absolute().name)
    files[".gitignore"] = b".unskew/\n"
    write_files(files, folder)
    load_module(folder / "make_data.py").make(folder / "data")
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def _named(settings: bytes, name: str) -> bytes:
    """Return the settings with the project called after its folder."""
    called = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or EXAMPLE
    return settings.replace(f'name = "{EXAMPLE}"'.encode(), f'name = "{called}"'.encode())
