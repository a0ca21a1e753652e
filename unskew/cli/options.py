"""Options that many commands share, declared once."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; errors as JSON on stderr.")]
ProjectPath = Annotated[
    Path | None,
    typer.Option(
        "--project", "-p", metavar="PATH", help="The project's unskew.toml or folder. Default: here or above."
    ),
]
Actor = Annotated[str, typer.Option("--actor", metavar="NAME", help="Who does it. Default: the user logged in.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; stays in the history.")]
ExpectedRevision = Annotated[
    int | None,
    typer.Option(
        "--expected-revision", metavar="N", help="Change the route only if it is at this revision (0: no route)."
    ),
]
Override = Annotated[
    bool, typer.Option("--override", help="Go on although the gate says no; needs --reason, and stays in the history.")
]
AsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="INSTANT", help="The present instant to use. Default: the project's.")
]
NoWait = Annotated[
    bool,
    typer.Option("--no-wait", help="Take history as it is, also where it lacks commits that are online already."),
]


def actor_or_user(actor: str) -> str:
    """Return the actor, by default who is logged in; empty if that cannot be told."""
    if actor:
        return actor
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
