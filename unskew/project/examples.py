"""The example projects that come with unskew, and copying them."""

from __future__ import annotations

from pathlib import Path

import unskew
from featurestore.foundation.durable_file import write_durably

SUFFIXES = (".md", ".py", ".toml")


def example_files(name: str) -> dict[str, bytes]:
    """Return an example's files by their path in it, sorted."""
    folder = _folder() / name
    found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    return {path.name: path.read_bytes() for path in found}


def write_files(files: dict[str, bytes], folder: Path) -> None:
    """Write files into a folder, each whole or not at all."""
    for name, content in files.items():
        write_durably(folder / name, content)


def _folder() -> Path:
    """Return where the examples are: in the installed package, or in the repository it is run from."""
    package = Path(unskew.__file__).parent
    installed = package / "examples"
    return installed if installed.is_dir() else package.parent / "examples"
