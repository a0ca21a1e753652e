"""`unskew training-set`: build, rebuild, list and show training sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.foundation.clock import format_instant
from unskew.cli.options import AsOf, JsonFlag, NoWait, ProjectPath
from unskew.errors import CommandRefused
from unskew.project import screen
from unskew.project.progress import bar
from unskew.project.project import Project

if TYPE_CHECKING:
    from featurestore.catalog.catalog import Catalog
    from featurestore.definitions import FeatureService, Label
    from featurestore.retrieval.training_set import TrainingSet

app = typer.Typer(help="Point-in-time training sets: build, rebuild, list, show.", no_args_is_help=True)

Spine = Annotated[
    Path, typer.Option("--spine", metavar="FILE", help="Parquet of join keys, instants and request values.")
]
ModelName = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Take service and label of this model.")]
ServiceName = Annotated[str | None, typer.Option("--service", metavar="NAME", help="The feature service.")]
LabelName = Annotated[str | None, typer.Option("--label", metavar="NAME", help="The label. Default: none.")]
TimestampColumn = Annotated[str, typer.Option("--timestamp-column", metavar="NAME", help="The spine's instants.")]
Target = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Also write the rows as Parquet.")]
Digest = Annotated[str, typer.Argument(metavar="DIGEST", help="Of a training set, or its first 8 digits or more.")]


@app.command()
def build(
    *,
    spine: Spine,
    model: ModelName = None,
    service: ServiceName = None,
    label: LabelName = None,
    timestamp_column: TimestampColumn = "timestamp",
    as_of: AsOf = None,
    target: Target = None,
    no_wait: NoWait = False,
    project: ProjectPath = None,
    as_json: JsonFlag = False,
) -> None:
    """Join a spine with features and label, each row as of its own instant.

    Events are in history some seconds after they are online: waits for those that were online when it began.
    """
    from featurestore.retrieval.training_set import build_training_set

    with Project.load(project) as opened, bar("training set", quiet=as_json) as advance:
        wanted, predicted = _wanted(opened, model, service, label)
        as_of_us = opened.instant(as_of)
        if not no_wait:
            _wait(opened, wanted, predicted, quiet=as_json)
        made = build_training_set(
            wanted,
            spine,
            opened.offline,
            as_of_us=as_of_us,
            root=opened.training_sets,
            label=predicted,
            timestamp_column=timestamp_column,
            progress=advance,
        )
        if target is not None:
            made.write_parquet(target)
    _report(made, target, as_json=as_json)


@app.command()
def rebuild(digest: Digest, target: Target = None, project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Compute a training set again from its record, and check that it is the same."""
    with Project.load(project) as opened, bar("training set", quiet=as_json) as advance:
        from featurestore.retrieval.training_set import rebuild_training_set

        catalog: Catalog = opened.catalog
        made = rebuild_training_set(
            digest,
            opened.training_sets,
            opened.offline,
            services=catalog.services,
            labels=catalog.labels,
            progress=advance,
        )
        if target is not None:
            made.write_parquet(target)
    _report(made, target, as_json=as_json)


@app.command("list")
def list_(project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """List the training sets that were built."""
    from featurestore.retrieval.training_record import list_records

    with Project.load(project) as opened:
        found = [_summary(digest, record) for digest, record in list_records(opened.training_sets)]
    if as_json:
        screen.emit({"training_sets": found})
        return
    rows = [(each["digest"][:12], each["service"], each["label"], each["rows"], each["as_of"]) for each in found]
    screen.table("", ("digest", "service", "label", "rows", "as of"), rows)


@app.command()
def show(digest: Digest, project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Show the record of a training set: what it is made from."""
    from featurestore.retrieval.training_record import load_record, record_digest

    with Project.load(project) as opened:
        record = load_record(opened.training_sets, digest)
    if as_json:
        screen.emit({"digest": record_digest(record), "record": record})
        return
    rows = [("digest", record_digest(record)), *_summary("", record).items()]
    rows += [(f"source {name}", f"commit {pin['s']}, {pin['snapshot']}") for name, pin in record["sources"].items()]
    rows += [("spine", record["spine_digest"]), ("result", record["table_digest"]), ("engine", record["engine"])]
    screen.table("", ("", ""), [(name, value) for name, value in rows if value != ""])


def _wanted(
    project: Project, model: str | None, service: str | None, label: str | None
) -> tuple[FeatureService, Label | None]:
    if (model is None) == (service is None):
        raise CommandRefused("it is open which features to join", mend="give one of --model and --service")
    catalog = project.applied_catalog
    if model is not None:
        if label is not None:
            raise CommandRefused("a model has its own label", mend="leave --label out, or give --service instead")
        found = project.model(model)
        return catalog.service(found.service_name), catalog.label(found.label_name)
    return catalog.service(str(service)), None if label is None else catalog.label(label)


def _wait(project: Project, service: FeatureService, label: Label | None, *, quiet: bool) -> None:
    """Wait until history has what is online, or refuse to build without it."""
    from unskew.project.history_wait import MEND, wait_for_history

    views = [*service.views, *([] if label is None else [label.of])]
    lacking = wait_for_history(project, views, screen.silent if quiet else screen.say)
    if lacking:
        raise CommandRefused(lacking, where=f"feature service {service.name!r}", mend=MEND)


def _report(made: TrainingSet, target: Path | None, *, as_json: bool) -> None:
    summary = _summary(made.digest, made.record)
    labelled = None if made.label is None else int((~made.label.nulls).sum())
    written = None if target is None else str(target)
    if as_json:
        screen.emit({**summary, "labelled_rows": labelled, "columns": made.table.column_names, "output": written})
        return
    kept = [("labelled rows", labelled)] + ([("written to", written)] if written else [])
    screen.table("", ("", ""), [*summary.items(), *kept])


def _summary(digest: str, record: dict[str, Any]) -> dict[str, Any]:
    return {
        "digest": digest,
        "service": record["service"]["name"],
        "label": None if record["label"] is None else record["label"]["name"],
        "rows": record["rows"],
        "as_of": format_instant(record["as_of_us"]),
    }
