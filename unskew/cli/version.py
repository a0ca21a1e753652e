"""`unskew version`."""

from __future__ import annotations

from importlib.metadata import version as installed

from unskew.cli.options import JsonFlag
from unskew.project import screen


def version(as_json: JsonFlag = False) -> None:
    """Print the version."""
    if as_json:
        screen.emit({"unskew": installed("unskew")})
    else:
        screen.console().print(f"unskew {installed('unskew')}")
