"""`unskew plan` and `unskew apply`: what the definitions would change, and putting them in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from unskew.cli.options import JsonFlag, ProjectPath
from unskew.project import screen
from unskew.project.project import Project

if TYPE_CHECKING:
    from featurestore.catalog.plan import Plan

AllowBreaking = Annotated[
    bool, typer.Option("--allow-breaking", help="Apply although something that is relied on would change.")
]


def plan(project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Show what `unskew apply` would change, and what of it would break something."""
    from featurestore.catalog.applied import current_catalog
    from featurestore.catalog.plan import plan as compare

    with Project.load(project) as opened:
        current = current_catalog(opened.state)
        made = compare(None if current is None else current.description, opened.catalog)
    if as_json:
        screen.emit(made.describe())
    else:
        _show(made, "nothing to apply: the definitions are in force already")


def apply(project: ProjectPath = None, allow_breaking: AllowBreaking = False, as_json: JsonFlag = False) -> None:
    """Put the definitions in force; refuse a breaking change unless it is allowed."""
    from featurestore.catalog.applied import apply as put_in_force

    with Project.load(project) as opened:
        done = put_in_force(opened.catalog, opened.state, opened.clock, allow_breaking=allow_breaking)
    if as_json:
        applied = {"revision": done.applied.revision, "digest": done.applied.digest, "written": done.written}
        screen.emit({**applied, "plan": done.plan.describe()})
        return
    _show(done.plan, "nothing changed")
    screen.say(f"revision [bold]{done.applied.revision}[/] is in force ({done.applied.digest[:12]})")


def _show(made: Plan, nothing: str) -> None:
    if not made.changes:
        screen.say(nothing)
        return
    rows = [(("breaks: " if c.breaking else "") + c.kind, c.what, c.detail) for c in made.changes]
    screen.table("", ("change", "of", "detail"), rows)
