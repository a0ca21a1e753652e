"""Train one of a project's models: find its training set, rebuild it, run, register."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from featurestore.retrieval.training_record import list_records
from featurestore.retrieval.training_set import rebuild_training_set
from lifecycle.training.model import Model
from lifecycle.training.train import TrainingReport, train_model
from unskew.errors import CommandRefused
from unskew.project.project import Project


def train_model_on(
    project: Project, model: Model, digest: str | None, progress: Callable[[str], None] | None = None
) -> TrainingReport:
    """Rebuild a training set, which shows that it is still the same, and train a model on it.

    Parameters
    ----------
    digest
        The training set; ``None`` for the one as of latest of those that fit the model.
    progress
        Told the name of each step.

    Raises
    ------
    CommandRefused
        If no training set fits, or several do equally.
    """
    catalog = project.applied_catalog
    rows = rebuild_training_set(
        digest or _newest(project, model),
        project.training_sets,
        project.offline,
        services=catalog.services,
        labels=catalog.labels,
    )
    return train_model(
        model,
        rows,
        catalog=catalog,
        registry=project.registry,
        project=project.root,
        inputs=_files(project, rows.digest, rows.record["spine_digest"]),
        progress=progress or _silent,
    )


def _files(project: Project, digest: str, spine: str) -> list[Path]:
    """Return the files of a training set, which may not change under the run; its sources' are immutable."""
    root = project.training_sets
    return [root / "records" / f"{digest}.json", root / "spines" / f"{spine}.parquet", project.settings.file]


def _newest(project: Project, model: Model) -> str:
    catalog = project.applied_catalog
    wanted = catalog.service(model.service_name).digest, catalog.label(model.label_name).digest
    fitting = [
        (record["as_of_us"], digest)
        for digest, record in list_records(project.training_sets)
        if record["label"] is not None and (record["service"]["digest"], record["label"]["digest"]) == wanted
    ]
    latest = [digest for as_of_us, digest in fitting if as_of_us == max(fitting)[0]]
    if len(latest) == 1:
        return latest[0]
    if not latest:
        raise CommandRefused(
            f"no training set of {model.service_name} and {model.label_name}, as they are defined now, was built",
            where=str(project.training_sets),
            mend=f"build one: unskew training-set build --model {model.name} --spine FILE",
        )
    raise CommandRefused(
        f"{len(latest)} training sets fit: {', '.join(digest[:12] for digest in latest)}",
        where=str(project.training_sets),
        mend="name one: --training-set DIGEST",
    )


def _silent(step: str) -> None:
    """Tell nobody."""
