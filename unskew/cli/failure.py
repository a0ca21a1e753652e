"""How errors are told on stderr: what, where, mend; and the exit codes."""

from __future__ import annotations

import json
import sys
from typing import Any

from featurestore.foundation.errors import UnskewError
from unskew.project import screen

UNSKEW_ERROR, USAGE_ERROR, INTERRUPTED = 1, 2, 130


def report(error: UnskewError, *, as_json: bool) -> None:
    """Print an error on stderr: what, where, mend; as JSON if asked."""
    if as_json:
        sys.stderr.write(json.dumps(described(error), ensure_ascii=False) + "\n")
        return
    from rich.markup import escape

    to = screen.console(stderr=True)
    to.print(f"[bold red]error[/] {escape(error.what)}")
    if error.where:
        to.print(f"  [dim]where[/] {escape(error.where)}")
    if error.mend:
        to.print(f"  [green]mend[/]  {escape(error.mend)}")


def described(error: UnskewError) -> dict[str, Any]:
    """Return an error as the JSON object that ``--json`` prints on stderr."""
    return {"error": error.code, "what": error.what, "where": error.where, "mend": error.mend}
