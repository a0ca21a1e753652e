"""`unskew train`: from a training set to a registered version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from unskew.cli.options import JsonFlag, ProjectPath
from unskew.project import screen
from unskew.project.project import Project

if TYPE_CHECKING:
    from lifecycle.training.train import TrainingReport

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A model of models.py.")]
TrainingSetDigest = Annotated[
    str | None,
    typer.Option("--training-set", metavar="DIGEST", help="Default: the only one, or the one as of latest, that fits."),
]


def train(
    model: ModelName,
    training_set: TrainingSetDigest = None,
    project: ProjectPath = None,
    as_json: JsonFlag = False,
) -> None:
    """Train a model on a training set, check its ONNX graph against scikit-learn, and register it."""
    from unskew.project.training import train_model_on

    with Project.load(project) as opened, screen.step(f"training {model}", quiet=as_json):
        report = train_model_on(opened, opened.model(model), training_set, None if as_json else _tell)
    if as_json:
        screen.emit(report.describe())
        return
    _show(report)


def _show(report: TrainingReport) -> None:
    told = report.describe()
    rows = [
        ("model", f"{told['model']} version {told['version']}"),
        ("rows", f"{told['training_rows']:,} trained on, {told['holdout_rows']:,} held out"),
        ("left out", f"{told['purged_rows']:,} purged, {told['unlabelled_rows']:,} without a matured label"),
        *((name, value) for name, value in told["metrics"].items()),
        ("ONNX − scikit-learn", f"{told['onnx_worst_difference']:.2g} at worst"),
    ]
    screen.table("", ("", ""), rows)
    screen.say(f"next: [bold]unskew promote {told['model']} {told['version']}[/]")


def _tell(step: str) -> None:
    screen.say(f"[dim]{step}[/]")
