"""`unskew audit`: every logged feature value held against history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from unskew.cli.options import JsonFlag, NoWait, ProjectPath
from unskew.errors import CommandRefused
from unskew.project import screen
from unskew.project.project import Project

if TYPE_CHECKING:
    from lifecycle.monitoring.audit_report import AuditReport

FINDINGS = 1
"""The exit status if more differs than is tolerated."""

Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="Predictions at or after an instant, or so long ago, as 24h."),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="WHEN", help="Predictions before an instant, or so long ago.")
]
Models = Annotated[list[str] | None, typer.Option("--model", metavar="MODEL", help="A model to audit; repeat.")]
Sample = Annotated[
    float,
    typer.Option(
        "--sample", metavar="FRACTION", min=0, max=1, help="The fraction of the predictions to audit, by their id."
    ),
]
Tolerance = Annotated[
    float,
    typer.Option(
        "--tolerance",
        metavar="FRACTION",
        min=0,
        max=1,
        help="The fraction of values that may differ at status 0.",
    ),
]


def audit(
    *,
    since: Since = None,
    until: Until = None,
    model: Models = None,
    sample: Sample = 1.0,
    tolerance: Tolerance = 0.0,
    no_wait: NoWait = False,
    project: ProjectPath = None,
    as_json: JsonFlag = False,
) -> int:
    """Recompute the logged feature values from history and compare them bit for bit; status 1 if any differs.

    Events are in history some seconds after they are online: waits for those that were online when it began.
    """
    from lifecycle.monitoring.audit import AuditScope
    from unskew.project.auditing import audit_project

    with Project.load(project) as opened, screen.step("auditing", quiet=as_json):
        now_us = opened.clock.now_us()
        scope = AuditScope(_instant(since, now_us), _instant(until, now_us), tuple(model) if model else None, sample)
        if not no_wait:
            _wait(opened, quiet=as_json)
        report = audit_project(opened, scope)
    within = report.within(tolerance)
    if as_json:
        screen.emit({**report.describe(), "tolerance": tolerance, "within_tolerance": within})
    else:
        _show(report)
    return 0 if within else FINDINGS


def _wait(project: Project, *, quiet: bool) -> None:
    """Wait until history has what is online; where it does not come, tell: what lacks is counted as pending."""
    from unskew.project.history_wait import MEND, wait_for_history

    tell = screen.silent if quiet else screen.say
    lacking = wait_for_history(project, project.applied_catalog.views.values(), tell)
    if lacking:
        tell(f"{lacking}: {MEND}")


def _instant(text: str | None, now_us: int) -> int | None:
    """Read an instant, or a duration before now."""
    from featurestore.foundation.clock import parse_duration, parse_instant
    from featurestore.foundation.errors import ClockError

    if text is None:
        return None
    try:
        return now_us - parse_duration(text)
    except ClockError:
        pass
    try:
        return parse_instant(text)
    except ClockError as error:
        mend = "write an instant as 2017-12-31T00:00:00Z, or how long ago it was as 24h (s, m, h, d)"
        raise CommandRefused(error.what, where=text, mend=mend) from None


def _show(report: AuditReport) -> None:
    told = report.describe()
    screen.table("", ("", ""), [(name, told[name]) for name in ("predictions", "compared", "equal", "mismatches")])
    wrong = {name: each for name, each in told["by_feature"].items() if each["mismatches"]}
    rows = [(name, cause, count) for name, each in wrong.items() for cause, count in each["causes"].items()]
    if rows:
        screen.table("\nmismatches", ("feature", "cause", "values"), rows)
        screen.table("\nexamples", _EXAMPLE, [_example(each) for each in told["examples"]])
    for reason, count in told["not_auditable"].items():
        screen.say(f"{count:,} predictions left out: {_REASONS[reason]}")
    for view, found in told["behind"].items():
        screen.say(
            f"{found['predictions']:,} reads of {view} were a minute or more behind a commit that had touched their "
            f"key, for instance of prediction {found['example']}"
        )
    for name, reason in told["not_compared"].items():
        screen.say(f"{name} left out: {reason}")
    log = told["log"]
    if log["lost"] or log["dropped"]:
        screen.say(f"the log misses {log['lost']:,} records that were lost and {log['dropped']:,} that were dropped")


def _example(each: dict[str, Any]) -> tuple[Any, ...]:
    keys = ", ".join(f"{name} {value}" for name, value in each["keys"].items())
    values = [_value(**each[side]) for side in ("logged", "recomputed")]
    return (each["feature"], each["cause"], each["prediction_id"], keys, each["instant"], *values, each["why"])


def _value(value: Any, status: str | None) -> str:
    return f"{value} ({status})" if status else str(value)


_EXAMPLE = ("feature", "cause", "prediction", "key", "instant", "logged", "history gives", "why")
_REASONS = {
    "pending": "history does not hold their commits yet; audit again when the ingest program has written them",
    "degraded": "they were answered without features",
    "no-sequence": "no commit sequence was logged",
    "unregistered": "the registry does not have their model version as it was logged",
    "undefined": "their feature service is no longer defined",
}
