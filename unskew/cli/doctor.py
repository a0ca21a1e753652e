"""`unskew doctor`: whether a project is set up, and at which level it is."""

from __future__ import annotations

from dataclasses import asdict

import typer

from unskew.cli import failure
from unskew.cli.options import JsonFlag, ProjectPath
from unskew.project import screen
from unskew.project.project import Project

MARKS = {"ok": "ok", "note": "note", "fail": "FAIL"}


def doctor(project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Check versions, settings, folders, definitions, stores and registry; exit 1 if something fails."""
    from unskew.project.checkup import examine

    with Project.load(project) as opened:
        findings = examine(opened)
        file = opened.settings.file
    failed = [finding for finding in findings if finding.state == "fail"]
    if as_json:
        screen.emit({"project": str(file), "ok": not failed, "findings": [asdict(finding) for finding in findings]})
    else:
        rows = [(MARKS[each.state], each.name, each.detail, each.mend) for each in findings]
        screen.table(str(file), ("", "what", "found", "mend"), rows)
    if failed:
        raise typer.Exit(failure.UNSKEW_ERROR)
