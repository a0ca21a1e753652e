"""What is shown: results on stdout, what is going on on stderr; a JSON object is one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


UNWATCHED_COLUMNS = 200
"""How wide lines are where nobody watches: in a file, a pipe, a log."""


def console(*, stderr: bool = False) -> Console:
    """Return a Rich console on stdout or stderr; colours, and the screen's width, only where a person reads."""
    from rich.console import Console

    watched = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=None if watched else UNWATCHED_COLUMNS)


def say(text: str) -> None:
    """Tell a person something on stderr; Rich markup is understood."""
    console(stderr=True).print(text)


def silent(text: str) -> None:
    """Tell nobody; in place of `say`."""


def emit(payload: Mapping[str, Any]) -> None:
    """Print one JSON object as one line on stdout."""
    sys.stdout.write(json.dumps(payload, ensure_ascii=False, allow_nan=False, default=_plain) + "\n")
    sys.stdout.flush()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on stdout; numbers to the right, nothing cut off."""
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for at, name in enumerate(columns):
        numbers = bool(rows) and all(isinstance(row[at], int | float) for row in rows)
        shown.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        shown.add_row(*("" if cell is None else escape(_cell(cell)) for cell in row))
    console().print(shown)


@contextmanager
def step(text: str, *, quiet: bool) -> Iterator[None]:
    """Show on stderr that something is under way, until it ends; nothing if ``quiet`` or nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    with console(stderr=True).status(text):
        yield


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".") if abs(value) < 1e6 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
