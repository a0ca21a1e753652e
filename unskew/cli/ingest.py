"""`unskew ingest`: send the rows of a file as events."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unskew.cli import failure
from unskew.cli.options import JsonFlag, ProjectPath
from unskew.project import screen
from unskew.project.progress import Advance, bar
from unskew.project.project import Project

if TYPE_CHECKING:
    from featurestore.ingestion.event_file import FileReport

SourceName = Annotated[str, typer.Argument(metavar="SOURCE", help="The source whose events they are.")]
EventFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="Parquet, CSV, Arrow or lines of JSON (.ndjson, .jsonl), or a folder.")
]


Again = Annotated[
    bool, typer.Option("--again", help="Send also files that were sent before; this undoes later corrections.")
]


def ingest(
    source: SourceName, file: EventFile, again: Again = False, project: ProjectPath = None, as_json: JsonFlag = False
) -> None:
    """Send a file's rows as events: checked one by one, synced, and seen online once the ingest program has them.

    Waits where too many events wait. A file whose bytes were sent into the source before is left out, unless --again is
    given: of the events of one id the one sent last counts, so rows that were corrected since would be put back. A
    file that was cut off is sent from its beginning. Rows that do not fit are kept as dead letters; the status is 1 if
    no row fitted.
    """
    from featurestore.ingestion.event_file import send_file

    with Project.load(project) as opened, bar(f"sending {source}", quiet=as_json) as advance:
        writer = opened.event_writer(source)
        report = send_file(
            writer,
            file,
            sent=opened.sent_files,
            again=again,
            progress=lambda rows: advance("rows", rows, None),
            on_wait=_Waiting(opened, source, advance, quiet=as_json),
        )
        backlog_rows = writer.backlog_rows()
    if as_json:
        screen.emit({"source": source, **asdict(report), "backlog_rows": backlog_rows})
    else:
        _show(source, report, backlog_rows)
    if report.rejected and not report.accepted:
        raise typer.Exit(failure.UNSKEW_ERROR)


class _Waiting:
    """Tell of waiting: at each look in the bar, and once in words, with whether anybody commits the rows."""

    def __init__(self, project: Project, source: str, advance: Advance, *, quiet: bool) -> None:
        self._project, self._source, self._advance = project, source, advance
        self._told = quiet

    def __call__(self, rows: int) -> None:
        waiting = f"waiting: {rows:,} rows are not committed yet"
        self._advance(waiting, 0, None)
        if not self._told:
            self._told = True
            screen.say(f"{waiting}{'' if self._is_committed() else '; no ingest program runs: start `unskew serve`'}")

    def _is_committed(self) -> bool:
        from featurestore.ingestion.heartbeat import is_alive, read_heartbeats

        now_us = self._project.clock.now_us()
        return any(is_alive(beat, now_us) for beat in read_heartbeats(self._project.online, [self._source]))


def _show(source: str, report: FileReport, backlog_rows: int) -> None:
    columns = ("source", "accepted", "rejected", "waiting", "note")
    screen.table("", columns, [(source, report.accepted, report.rejected, backlog_rows, "; ".join(_notes(report)))])
    if report.already_sent:
        screen.say("sent before, so left out; [bold]--again[/] sends such a file, and undoes corrections since")
    if report.rejected:
        rows = [(row.row, row.pointer, row.reason, row.mend, row.dead_letter_id) for row in report.first_rejected]
        screen.table("rejected", ("row", "where", "reason", "mend", "dead letter"), rows)
        screen.say("mend them: [bold]unskew dead-letters fix ID[/], then [bold]unskew dead-letters replay[/]")


def _notes(report: FileReport) -> list[str]:
    notes = [f"already sent: {', '.join(report.already_sent)}"] if report.already_sent else []
    notes += [f"columns not read: {', '.join(report.unread)}"] if report.unread else []
    notes += [f"without a key of any view: {report.without_key:,}"] if report.without_key else []
    return notes
