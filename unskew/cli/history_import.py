"""`unskew import`: take files into history."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.foundation.clock import format_instant
from unskew.cli.options import JsonFlag, ProjectPath
from unskew.errors import CommandRefused
from unskew.project import screen
from unskew.project.progress import bar
from unskew.project.project import Project

if TYPE_CHECKING:
    from featurestore.definitions import Source
    from featurestore.offline.import_report import ImportReport

SourceName = Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="Default: every source, from its path.")]
DataPath = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="Parquet, CSV or Arrow, or a folder. Default: the source's path."),
]


class BadRows(StrEnum):
    """What to do with rows that do not fit: refuse the whole file, or set them aside."""

    REFUSE = "refuse"
    QUARANTINE = "quarantine"


OnBadRows = Annotated[BadRows, typer.Option("--on-bad", help="What to do with rows that do not fit.")]


def import_(
    source: SourceName = None,
    file: DataPath = None,
    project: ProjectPath = None,
    on_bad: OnBadRows = BadRows.REFUSE,
    as_json: JsonFlag = False,
) -> None:
    """Take files into history: checked row by row, one commit a source, all or nothing.

    Not for a source that has had an event: its files are sent by `unskew ingest`. Without SOURCE such are left out.
    """
    with Project.load(project) as opened:
        catalog = opened.applied_catalog
        chosen = list(catalog.sources.values()) if source is None else [catalog.source(source)]
        if not chosen:
            raise CommandRefused(
                "no source is defined", where=str(opened.settings.project.definitions), mend="define an EventSource"
            )
        streamed = [] if source is not None else [each for each in chosen if opened.offline.is_streamed(each)]
        left_out = [each.name for each in streamed]
        reports = [_import(opened, each, file, on_bad, quiet=as_json) for each in chosen if each.name not in left_out]
    if as_json:
        screen.emit({"imports": [_described(report) for report in reports], "streamed": left_out})
        return
    columns = ("source", "commit", "rows", "quarantined", "from", "to", "note")
    screen.table("", columns, [_row(report) for report in reports])
    for name in left_out:
        screen.say(f"{name} takes events and was left out: [bold]unskew ingest {name} FILE[/] sends a file's rows")


def _import(project: Project, source: Source, file: Path | None, on_bad: BadRows, *, quiet: bool) -> ImportReport:
    from featurestore.offline.event_import import import_file

    data = project.root / source.path if file is None else file
    with bar(f"importing {source.name}", quiet=quiet) as advance:
        return import_file(
            source,
            data,
            project.settings.offline.path,
            project.clock,
            on_bad=on_bad.value,
            progress=lambda rows: advance("rows", rows, None),
        )


def _described(report: ImportReport) -> dict[str, Any]:
    return {
        "source": report.source,
        "sequence": report.sequence,
        "rows": report.rows,
        "quarantined": report.quarantined,
        "already_imported": report.already_imported,
        "inputs": list(report.inputs),
        "unread_columns": list(report.unread_columns),
        "bad": [str(cell) for cell in report.bad],
        "from": _instant(report.min_event_us),
        "to": _instant(report.max_event_us),
    }


def _row(report: ImportReport) -> tuple[Any, ...]:
    notes = ["already imported"] if report.already_imported else []
    notes += [f"columns not read: {', '.join(report.unread_columns)}"] if report.unread_columns else []
    notes += [f"set aside: {report.bad[0]}"] if report.bad else []
    edges = (_instant(report.min_event_us), _instant(report.max_event_us))
    return (report.source, report.sequence, report.rows, report.quarantined, *edges, "; ".join(notes))


def _instant(instant_us: int | None) -> str | None:
    return None if instant_us is None else format_instant(instant_us)
