"""`unskew demo`: real retail events to a served prediction."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from unskew.cli.options import JsonFlag
from unskew.project import screen

Once = Annotated[bool, typer.Option("--once", help="Stop after the requests, instead of serving until Ctrl-C.")]
Online = Annotated[
    str | None,
    typer.Option("--online", metavar="URL", help="As redis://127.0.0.1:6379/0. Default: the embedded LMDB."),
]
Directory = Annotated[
    Path | None, typer.Option("--directory", metavar="DIR", help="Where to make the project. Default: unskew-demo.")
]
Live = Annotated[
    bool, typer.Option("--live", help="Replay a month as if live, then audit what was served; starts anew each time.")
]
Predictions = Annotated[
    int, typer.Option("--predictions", metavar="N", min=1, help="With --live: predictions to ask for, at least.")
]


def demo(
    *,
    once: Once = False,
    live: Live = False,
    online: Online = None,
    directory: Directory = None,
    predictions: Predictions = 56_000,
    as_json: JsonFlag = False,
) -> None:
    """Make the retail project, train, promote and serve its model, and ask it; the last line on stdout is JSON."""
    from unskew.demo.demo import DEFAULT_FOLDER, run_demo
    from unskew.demo.live import DEFAULT_LIVE_FOLDER, run_live_demo

    signal.signal(signal.SIGTERM, _interrupt)
    if live:
        folder = directory or DEFAULT_LIVE_FOLDER
        run_live_demo(folder=folder, online=online, predictions=predictions, report=screen.emit)
        return
    try:
        run_demo(folder=directory or DEFAULT_FOLDER, online=online, once=once, report=screen.emit, quiet=as_json)
    except KeyboardInterrupt:
        if once:
            raise
        screen.say("\nended; run it again: finished steps are not repeated")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that the gateway beside us ends too."""
    raise KeyboardInterrupt
