"""`unskew materialise` and `unskew features`: fill the online store, and read it as the gateway does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.foundation.clock import format_instant
from unskew.cli.options import AsOf, JsonFlag, ProjectPath
from unskew.errors import CommandRefused
from unskew.project import screen
from unskew.project.progress import bar
from unskew.project.project import Project

if TYPE_CHECKING:
    from featurestore.definitions import FeatureService, FeatureView
    from featurestore.materialisation.materialise import MaterialisationReport

Views = Annotated[list[str] | None, typer.Argument(metavar="[VIEW]...", help="Default: every view.")]
Rebuild = Annotated[
    bool,
    typer.Option(
        "--rebuild", help="First remove what the store holds of the views, of any history; reads may fail meanwhile."
    ),
]
Service = Annotated[str, typer.Argument(metavar="SERVICE", help="The feature service to read.")]
Keys = Annotated[list[str], typer.Option("--key", "-k", metavar="NAME=VALUE", help="A join key of an entity; repeat.")]
Inputs = Annotated[
    list[str] | None, typer.Option("--input", "-i", metavar="NAME=VALUE", help="A request value; repeat.")
]


def materialise(
    views: Views = None,
    as_of: AsOf = None,
    rebuild: Rebuild = False,
    project: ProjectPath = None,
    as_json: JsonFlag = False,
) -> None:
    """Bring current values from history to the online store; may be repeated, killed and taken up again.

    Not for views of a source that has had an event: the ingest program keeps them. Without VIEW such are left out.
    """
    with Project.load(project) as opened:
        catalog = opened.applied_catalog
        chosen = [catalog.view(name) for name in views] if views else list(catalog.views.values())
        as_of_us = _not_in_the_future(opened, as_of)
        left_out = [] if views else [view.name for view in chosen if opened.offline.is_streamed(view.source)]
        chosen = [view for view in chosen if view.name not in left_out]
        reports = [run(opened, view, as_of_us, quiet=as_json, rebuild=rebuild) for view in chosen]
        _check_readable(reports, opened.clock.now_us())
    if as_json:
        screen.emit({"views": [report.describe() for report in reports], "streamed": left_out})
        return
    rows = [(r.view, r.sequence, format_instant(r.as_of_us), r.rows, r.skipped_newer, r.resumed) for r in reports]
    screen.table("", ("view", "commit", "as of", "rows", "kept newer", "resumed"), rows)
    for report in reports:
        if report.skipped_newer:
            screen.say(f"{report.view}: {report.skipped_newer:,} rows were left alone, as the store has newer ones")
    for name in left_out:
        screen.say(
            f"{name} was left out: the ingest program keeps it current ([bold]unskew stream status[/]); in another "
            "online store than before, begin with [bold]unskew backfill --rebuild[/]"
        )


def run(project: Project, view: FeatureView, as_of_us: int, *, quiet: bool, rebuild: bool) -> MaterialisationReport:
    """Materialise one view, with a bar."""
    from featurestore.materialisation.materialise import materialise as bring

    with bar(f"materialising {view.name}", quiet=quiet) as advance:
        return bring(
            view,
            project.offline,
            project.online,
            as_of_us,
            project.ledger,
            progress=lambda done, of: advance("", done, of),
            rebuild=rebuild,
        )


def _not_in_the_future(project: Project, as_of: str | None) -> int:
    """Return the instant to materialise as of: the gateway could not read a later one until then."""
    as_of_us, now_us = project.instant(as_of), project.clock.now_us()
    if as_of_us > now_us:
        raise CommandRefused(
            f"{format_instant(as_of_us)} is later than now, {format_instant(now_us)}: until then no read is exact",
            where="--as-of",
            mend="leave it out; or set the project's clock right ([clock] now)",
        )
    return as_of_us


def _check_readable(reports: list[MaterialisationReport], now_us: int) -> None:
    """Refuse to end well where an earlier run, of a clock that was wrong, left rows that nobody can read yet."""
    for report in reports:
        if report.readable_from_us > now_us:
            raise CommandRefused(
                f"the store holds rows as of {format_instant(report.readable_from_us)}, later than now, and keeps them",
                where=f"feature view {report.view!r}",
                mend=f"write them anew: `unskew materialise {report.view} --rebuild`",
            )


def features(
    service: Service,
    *,
    key: Keys,
    input_: Inputs = None,
    as_of: AsOf = None,
    project: ProjectPath = None,
    as_json: JsonFlag = False,
) -> None:
    """Read what a model would be given for one key, from the online store."""
    keys, inputs = _pairs(key, "--key"), _pairs(input_ or [], "--input")
    with Project.load(project) as opened:
        chosen = opened.applied_catalog.service(service)
        found = read(opened, chosen, keys, inputs, opened.instant(as_of))
    if as_json:
        screen.emit({"service": service, "as_of": format_instant(found["instant_us"]), "features": found["features"]})
        return
    rows = [
        (name, _shown(each["value"]), each["status"], each["age_seconds"]) for name, each in found["features"].items()
    ]
    screen.table("", ("feature", "value", "status", "age in seconds"), rows)


def read(
    project: Project, service: FeatureService, keys: dict[str, str], inputs: dict[str, str], t_us: int
) -> dict[str, Any]:
    """Return value, status and age of every output of a service for one row, and the instant read at."""
    from featurestore.retrieval.online_features import OnlineFeatures
    from featurestore.semantics.json_value import writer
    from featurestore.semantics.status import Status
    from featurestore.semantics.value import column

    rows = {view.entity.name: [_key(view.entity, keys)] for view in service.views}
    given = {request.name: column(request.dtype, [_value(request, inputs)]) for request in service.requests}
    _refuse_unknown(keys, [view.entity.join_key for view in service.views], "--key")
    _refuse_unknown(inputs, list(given), "--input")
    found = OnlineFeatures(service).read_blocking(project.online, rows, t_us)
    outputs = service.evaluate({**found.columns, **given})
    features = {}
    for name, part in outputs.items():
        value = None if part.nulls[0] else writer(part.dtype)(part.values.tolist()[0])
        status = Status(int(found.statuses[name][0])) if name in found.statuses else Status(int(part.nulls[0]))
        age = found.ages_us[name].to_pylist()[0] if name in found.ages_us else None
        features[name] = {
            "value": value,
            "status": status.name.lower(),
            "age_seconds": None if age is None else age / 1e6,
        }
    return {"instant_us": t_us, "features": features}


def _pairs(given: list[str], option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE, as in {option} household_id=17")
        if name in pairs:
            raise typer.BadParameter(f"{option} {name} is given twice")
        pairs[name] = value
    return pairs


def _key(entity: Any, keys: dict[str, str]) -> Any:
    if entity.join_key not in keys:
        raise CommandRefused(f"no key of entity {entity.name} is given", mend=f"add --key {entity.join_key}=VALUE")
    return _read(entity.dtype, keys[entity.join_key], f"--key {entity.join_key}")


def _value(request: Any, inputs: dict[str, str]) -> Any:
    text = inputs.get(request.name)
    if text is None or (text == "null" and request.dtype.name != "string"):
        return None
    return _read(request.dtype, text, f"--input {request.name}")


def _read(dtype: Any, text: str, where: str) -> Any:
    """Read a value as the gateway would read it from JSON; texts need no quotes here."""
    import json

    from featurestore.semantics.json_value import UnreadableValue, reader

    try:
        plain = text if dtype.name in ("string", "timestamp") else json.loads(text)
        return reader(dtype)(plain)
    except json.JSONDecodeError:
        raise CommandRefused(f"{text!r} is not a value of {dtype}", where=where, mend="write it as in JSON") from None
    except UnreadableValue as error:
        raise CommandRefused(str(error), where=where, mend=error.mend) from None


def _refuse_unknown(given: dict[str, str], known: list[str], option: str) -> None:
    from featurestore.definitions.definition import nearest

    for name in given:
        if name not in known:
            raise CommandRefused(f"{option} {name} is not needed here", mend=nearest(name, known))


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
