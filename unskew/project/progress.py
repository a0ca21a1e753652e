"""Progress on stderr: a bar where a person watches, nothing otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[str, int, int | None], None]


@contextmanager
def bar(title: str, *, quiet: bool = False) -> Iterator[Advance]:
    """Show a bar until the block ends; the given function is told (what, done, of), ``of`` None if unknown."""
    if quiet or not sys.stderr.isatty():
        yield _silent
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from unskew.project.screen import console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=None)

        def advance(what: str, done: int, of: int | None) -> None:
            shown.update(task, description=f"{title}: {what}" if what else title, completed=done, total=of)

        yield advance


def _silent(what: str, done: int, of: int | None) -> None:
    """Tell nobody."""
