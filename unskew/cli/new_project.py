"""`unskew init`: an empty project that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unskew.cli.options import JsonFlag
from unskew.project import screen

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Where to make it; absent or empty.")]


def init(folder: Folder, as_json: JsonFlag = False) -> None:
    """Make a small project that runs: definitions, a model, generated data; its README says what to type next."""
    from unskew.project.scaffold import make_project

    files = make_project(folder)
    if as_json:
        screen.emit({"project": str(folder.absolute()), "files": [str(path) for path in files]})
        return
    for path in files:
        screen.say(f"  [dim]wrote[/] {folder / path}")
    screen.say(f"next: [bold]cd {folder} && unskew apply && unskew import[/], then what README.md says")
