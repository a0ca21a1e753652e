"""`unskew dead-letters`: rows that were refused or could not be committed: look, correct, send again, drop."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.foundation.clock import format_instant
from unskew.cli import failure
from unskew.cli.options import JsonFlag, ProjectPath
from unskew.errors import CommandRefused
from unskew.project import screen
from unskew.project.project import Project

if TYPE_CHECKING:
    from featurestore.ingestion.dead_letter import DeadLetter
    from unskew.project.dead_letter_mending import Replayed

app = typer.Typer(help="Rows that were refused: list, show, fix, replay, drop.", no_args_is_help=True)

LetterId = Annotated[str, typer.Argument(metavar="ID", help="As `unskew dead-letters list` and the answers say it.")]
LetterIds = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which.")]
OfSource = Annotated[str | None, typer.Option("--source", "-s", metavar="NAME", help="Those of one source.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
Rows = Annotated[int, typer.Option("--rows", "-n", metavar="N", min=1, help="How many to show, the newest.")]
Values = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="COLUMN=VALUE", help="A value as JSON has it; texts need no quotes; repeat."),
]
Edit = Annotated[bool, typer.Option("--edit", help="Edit the row in $EDITOR, as JSON.")]


@app.command("list")
def list_(source: OfSource = None, rows: Rows = 20, project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Show which there are, the newest last."""
    with Project.load(project) as opened:
        found = opened.dead_letters.list(source)
    counts = Counter((letter.source, letter.kind) for letter in found)
    if as_json:
        screen.emit({"dead_letters": [described(letter) for letter in found[-rows:]], "total": len(found)})
        return
    screen.table("", ("source", "kind", "rows"), [(*of, count) for of, count in sorted(counts.items())])
    columns = ("id", "source", "kind", "since", "where", "reason")
    screen.table("", columns, [_row(letter) for letter in found[-rows:]])


@app.command()
def show(letter: LetterId, project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Show one: the row as it was sent, what is wrong with it, and the mend."""
    with Project.load(project) as opened:
        found = opened.dead_letters.get(letter)
    _show(found, as_json=as_json)


@app.command()
def fix(
    letter: LetterId,
    set_: Values = None,
    edit: Edit = False,
    project: ProjectPath = None,
    as_json: JsonFlag = False,
) -> None:
    """Correct a row; it stays a dead letter until it is replayed. Tells what is still wrong with it, if anything."""
    from unskew.project.dead_letter_mending import edited, still_wrong, with_values

    if bool(set_) == edit:
        raise CommandRefused("nothing says what to correct", mend="use --set COLUMN=VALUE, or --edit, and not both")
    with Project.load(project) as opened:
        found = opened.dead_letters.get(letter)
        source = opened.applied_catalog.source(found.source)
        row = edited(found.row) if edit else with_values(source, found.row, set_ or [])
        changed = opened.dead_letters.amend(letter, row)
        wrong = still_wrong(source, row)
    if as_json:
        screen.emit({**described(changed), "still_wrong": wrong})
        return
    _show(changed, as_json=False)
    told = f"still wrong: {wrong}" if wrong else f"it fits now: [bold]unskew dead-letters replay {letter}[/]"
    screen.say(told)


@app.command()
def replay(
    letters: LetterIds = None,
    source: OfSource = None,
    all_: All = False,
    project: ProjectPath = None,
    as_json: JsonFlag = False,
) -> None:
    """Send rows again; those that are taken stop being dead letters, the others stay, each with its reason.

    A row that is sent becomes the newest version of its event: where the event was sent anew meanwhile, drop the dead
    letter instead. Rows beyond retention are left out: they were committed. The
    status is 1 if rows were refused and none was taken.
    """
    from unskew.project.dead_letter_mending import replay as send

    with Project.load(project) as opened:
        chosen = _chosen(opened, letters, source, all_=all_)
        told = send(opened, chosen)
    if as_json:
        screen.emit(asdict(told))
    else:
        _show_replayed(told)
    if told.refused and not told.sent:
        raise typer.Exit(failure.UNSKEW_ERROR)


def _show_replayed(told: Replayed) -> None:
    screen.table("", ("sent", "still refused", "left out"), [(told.sent, len(told.refused), told.left_out)])
    if told.refused:
        screen.table("still refused", ("id", "where", "reason", "mend"), [tuple(row.values()) for row in told.refused])


@app.command()
def drop(
    letters: LetterIds = None,
    source: OfSource = None,
    all_: All = False,
    project: ProjectPath = None,
    as_json: JsonFlag = False,
) -> None:
    """Forget rows for good."""
    with Project.load(project) as opened:
        chosen = _chosen(opened, letters, source, all_=all_)
        dropped = opened.dead_letters.remove([letter.id for letter in chosen])
    if as_json:
        screen.emit({"dropped": dropped})
        return
    screen.say(f"{dropped:,} dead letter(s) dropped")


def described(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as JSON has it."""
    told = asdict(letter)
    told["instant"] = format_instant(told.pop("instant_us"))
    return told


def _chosen(project: Project, letters: list[str] | None, source: str | None, *, all_: bool) -> list[DeadLetter]:
    ways = [bool(letters), source is not None, all_]
    if sum(ways) != 1:
        raise CommandRefused("it is not said which dead letters", mend="name some by ID, or a --source, or say --all")
    if letters:
        return [project.dead_letters.get(letter) for letter in dict.fromkeys(letters)]
    if source is not None:
        source = project.applied_catalog.source(source).name
    return project.dead_letters.list(source)


def _row(letter: DeadLetter) -> tuple[Any, ...]:
    since = format_instant(letter.instant_us)
    return (letter.id, letter.source, letter.kind, since, letter.pointer, letter.reason)


def _show(letter: DeadLetter, *, as_json: bool) -> None:
    if as_json:
        screen.emit(described(letter))
        return
    told = described(letter)
    row = told.pop("row")
    screen.table("", ("", ""), list(told.items()))
    cells = row.items() if isinstance(row, dict) else [("", row)]
    screen.table("row", ("column", "value"), [(name, json.dumps(value, ensure_ascii=False)) for name, value in cells])
