"""What `unskew doctor` looks at of ingestion: what waits, who commits it, what was refused, what may be lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from unskew.project.finding import Finding
from unskew.project.ingestion import SourceState, source_states
from unskew.project.project import Project

_START = 'start one: `unskew serve`, or `unskew stream run` where [ingestion] program is "alone"'

_DEAD_LETTERS = {
    "refused": "fix, replay or drop them",
    "failed": "fix, replay or drop them",
    "beyond-retention": "drop them: they are committed; where one corrects an earlier event, first raise [ingestion] "
    "lateness, and run `unskew backfill --rebuild`",
}


def streams(project: Project) -> Iterator[Finding]:
    """Fail for each source whose events nobody commits; note what may lose events, and what came too late."""
    for state in source_states(project):
        if state.streamed or state.backlog.rows:
            yield _committed(state)
            yield from _notes(state)


def dead_letters(project: Project) -> Iterator[Finding]:
    """Note how many rows of each source were refused, or could not be committed as they should."""
    counts = Counter((letter.source, letter.kind) for letter in project.dead_letters.list())
    for (source, kind), rows in sorted(counts.items()):
        mend = f"unskew dead-letters list --source {source}; then {_DEAD_LETTERS[kind]}"
        yield Finding("dead letters", "note", f"{source}: {rows} row(s), {kind}", mend)


def _committed(state: SourceState) -> Finding:
    status, beat = state.status, state.heartbeat
    told = f"{state.source}: {state.backlog.rows} event(s) wait; commit {status.s}, {status.flushed_s} in history"
    if beat is not None and state.alive:
        if beat.error:
            return Finding("streams", "fail", f"{told}; {beat.owner} cannot commit: {beat.error}", None)
        return Finding("streams", "ok", f"{told}; {beat.owner} commits them")
    gone = "no ingest program runs" if beat is None else f"the ingest program {beat.owner} is gone"
    if state.backlog.rows:
        return Finding("streams", "fail", f"{told}; {gone}", _START)
    return Finding("streams", "ok", f"{told}; {gone}, and none is needed until there are events")


def _notes(state: SourceState) -> Iterator[Finding]:
    if state.risk:
        yield Finding("streams", "note", f"{state.source}: {state.risk}", "configure the server to sync every write")
    late = state.status.beyond_retention
    if late:
        told = f"{state.source}: {late} event(s) were so late that online values may lack a correction by them"
        mend = (
            f"raise [ingestion] lateness; `unskew backfill --rebuild` of the views of {state.source} mends their values"
        )
        yield Finding("streams", "note", told, mend)
