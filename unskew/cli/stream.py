"""`unskew stream` and `unskew backfill`: commit events, see how that stands, make views servable."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.foundation.clock import format_instant
from unskew.cli.options import JsonFlag, ProjectPath
from unskew.project import screen
from unskew.project.project import Project

if TYPE_CHECKING:
    from featurestore.ingestion.backfill import BackfillReport
    from unskew.project.ingestion import SourceState

COLLECTED_AFTER = (100_000, 20, 100)
"""When cyclic garbage is looked for: logs of many keys are held, which takes time to walk over, and few cycles made."""

app = typer.Typer(help="The ingest program: run, status.", no_args_is_help=True)

WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True, help="Stop when standard input ends.")]
Views = Annotated[
    list[str] | None, typer.Argument(metavar="[VIEW]...", help="All views of their sources. Default: of every source.")
]
Rebuild = Annotated[
    bool,
    typer.Option("--rebuild", help="Write the views and the event index anew; the ingest program must be stopped."),
]
Patience = Annotated[
    float,
    typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait for a source that a program has."),
]


@app.command()
def run(with_parent: WithParent = False, project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Commit events until Ctrl-C or SIGTERM; then commit what waits, bring it to history, and end.

    `unskew serve` starts this program itself unless `[ingestion] program` is "alone". Several share the sources by
    leases. Killing it loses nothing: what was not committed is in the stream.
    """
    from featurestore.ingestion.program import IngestProgram
    from gateway.observability.event_log import log_events
    from unskew.project.ingestion import AppliedSources, means

    gc.set_threshold(*COLLECTED_AFTER)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: _stop(stop, number))
    if with_parent:
        threading.Thread(target=_stop_with_input, args=(stop,), daemon=True).start()
    with Project.load(project) as opened:
        load = AppliedSources(opened.settings.project.definitions, opened.state)
        sources = [each.source.name for each in load()]
        log_events()
        if as_json:
            screen.emit({"project": opened.settings.project.name, "sources": sources})
        elif not with_parent:
            screen.say(f"committing events of {', '.join(sources)}  (Ctrl-C ends)")
        IngestProgram(load, means(opened)).run(stop)


@app.command()
def status(project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Show, for each source, what waits, what was committed last, and which program commits it.

    waiting: events in the stream, not committed yet. commit, as of: the last commit, and the instant from which its
    events are seen online. in history: the last commit that training sets and audits see. rows, duplicates, failed:
    what became of the events since the stream was opened: committed, left out as they equal the newest version of
    their event, or dead letters on which a view's SQL failed.
    """
    from unskew.project.ingestion import source_states

    with Project.load(project) as opened:
        states = source_states(opened)
    if as_json:
        screen.emit({"sources": [described(state) for state in states]})
        return
    columns = ("source", "stream", "waiting", "commit", "as of", "in history", "rows", "duplicates", "failed")
    screen.table("", (*columns, "program", "note"), [_row(state) for state in states])


def backfill(
    views: Views = None,
    rebuild: Rebuild = False,
    wait: Patience = 10.0,
    project: ProjectPath = None,
    as_json: JsonFlag = False,
) -> None:
    """Open streams, and make their views servable from history and stream, with no gap and nothing twice.

    A running ingest program does this by itself for views that are new.
    """
    with Project.load(project) as opened:
        reports = _backfill(opened, views, rebuild=rebuild, patience_s=wait, quiet=as_json)
    if as_json:
        screen.emit({"sources": [report.describe() for report in reports]})
        return
    rows = [
        (each.source, each.s, ", ".join(view.view for view in each.views) or "none", each.committed_rows, each.indexed)
        for each in reports
    ]
    screen.table("", ("source", "commit", "views written", "rows committed", "events indexed"), rows)


def described(state: SourceState) -> dict[str, Any]:
    """Return a source's state as JSON has it."""
    status_, beat = state.status, state.heartbeat
    return {
        "source": state.source,
        "streamed": state.streamed,
        "backlog_rows": state.backlog.rows,
        "appended_rows": state.backlog.appended_rows,
        "commit": status_.s,
        "available_at": format_instant(status_.a_us) if status_.s else None,
        "history_commit": status_.flushed_s,
        "rows": status_.rows,
        "duplicates": status_.duplicates,
        "failed": status_.failed,
        "beyond_retention": status_.beyond_retention,
        "lag_ms": status_.lag_us / 1_000,
        "program": None if beat is None else beat.owner,
        "program_alive": state.alive,
        "error": "" if beat is None else beat.error,
        "risk": state.risk,
    }


def _backfill(
    project: Project, names: Sequence[str] | None, *, rebuild: bool, patience_s: float, quiet: bool
) -> list[BackfillReport]:
    from featurestore.ingestion.backfill import backfill as fill
    from unskew.project.ingestion import committer

    catalog = project.applied_catalog
    views = [catalog.view(name) for name in names] if names else list(catalog.views.values())
    sources = {view.source.name: view.source for view in views}
    reports = []
    for source in sources.values():
        with screen.step(f"backfilling {source.name}", quiet=quiet):
            wait = f"{source.name}: another program commits its events; waiting {patience_s:g} s for it to end"
            tell = partial(screen.silent if quiet else screen.say, wait)
            reports.append(fill(committer(project, source), rebuild=rebuild, patience_s=patience_s, on_wait=tell))
    return reports


def _row(state: SourceState) -> tuple[Any, ...]:
    told = described(state)
    program = "" if told["program"] is None else f"{told['program']}{'' if told['program_alive'] else ' (gone)'}"
    return (
        state.source,
        "open" if state.streamed else "not used",
        told["backlog_rows"],
        told["commit"],
        told["available_at"],
        told["history_commit"],
        told["rows"],
        told["duplicates"],
        told["failed"],
        program,
        told["error"] or told["risk"],
    )


def _stop(stop: threading.Event, number: int) -> None:
    """Stop in an orderly way; at once, at the second signal."""
    stop.set()
    signal.signal(number, signal.SIG_DFL)


def _stop_with_input(stop: threading.Event) -> None:
    """Stop when standard input ends, as it does when the process that holds its other end dies."""
    while os.read(0, 1):
        pass
    stop.set()
