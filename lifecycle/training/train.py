"""Make one version of a model: split, train, export, check, measure, register.

Nothing is registered unless every step went well: a run that fails leaves the registry as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from featurestore.catalog.catalog import Catalog
from featurestore.definitions import FeatureService, Label
from featurestore.retrieval.training_set import TrainingSet
from gateway.registry.record import ModelRecord
from lifecycle.errors import TrainingFailed, TrainingRefused
from lifecycle.training import metrics
from lifecycle.training.holdout import Split, split_in_time
from lifecycle.training.model import Model
from lifecycle.training.onnx_check import Agreement, Outputs, ask_estimator, compare, run_graph
from lifecycle.training.onnx_export import CLASSIFIER_OUTPUTS, REGRESSOR_OUTPUTS, export, first_line
from lifecycle.training.run_inputs import code_files, code_state, hash_files, library_versions, refuse_changes
from lifecycle.training.training_data import TrainingData, joined_inputs
from lifecycle.training.training_table import TrainingTable

Progress = Callable[[str], None]


class Registrar(Protocol):
    """What a run needs of the registry."""

    def register(self, record: ModelRecord, onnx: bytes, /) -> ModelRecord:
        """Keep a record and its graph; return the record with version, digest and instant filled in."""
        ...


def _silent(_step: str, /) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class TrainingReport:
    """What a run made, and from how many rows.

    Attributes
    ----------
    record
        The registered record: version, metrics, digests.
    agreement
        How near the graph is to scikit-learn on the held-out rows.
    split
        Which rows did what.
    unlabelled_rows
        Rows whose label had not matured, or is null: in no part.
    """

    record: ModelRecord
    agreement: Agreement
    split: Split
    unlabelled_rows: int

    def describe(self) -> dict[str, Any]:
        """Return it as plain data."""
        record = self.record
        return {
            "model": record.model,
            "version": record.version,
            "owner": record.owner,
            "record_hash": record.record_hash,
            "artifact_digest": record.artifact_digest,
            "training_set_digest": record.training_set_digest,
            "training_rows": record.training_rows,
            "holdout_rows": record.holdout_rows,
            "purged_rows": int(self.split.purged.sum()),
            "unlabelled_rows": self.unlabelled_rows,
            "holdout_from_us": self.split.start_us,
            "metrics": dict(record.metrics),
            "onnx_worst_difference": self.agreement.worst,
        }


def train_model(
    model: Model,
    rows: TrainingSet,
    *,
    catalog: Catalog,
    registry: Registrar,
    project: Path,
    inputs: Iterable[Path] = (),
    progress: Progress = _silent,
) -> TrainingReport:
    """Train a model on a training set and register it.

    Parameters
    ----------
    model
        The project's model.
    rows
        The training set of its service and label.
    catalog
        The definitions the set was built from.
    registry
        Where the new version is kept.
    project
        The project's folder, whose Python files are inputs of the run, and whose commit is recorded.
    inputs
        Further files that the run reads: the training set's data.
    progress
        Called with the name of each step as it begins.

    Raises
    ------
    LifecycleError
        If any step fails (see the tree in `lifecycle.errors`); nothing is then registered.
    """
    where = f"model {model.name}"
    paths = [*code_files(project), *inputs]
    before = hash_files(paths)
    service, label = _definitions(model, rows, catalog, where)
    progress("splitting in time")
    table = TrainingTable.of(rows, where)
    split = split_in_time(
        table.instants_us,
        ~table.target.nulls,
        fraction=model.holdout_fraction,
        start_us=model.holdout_from_us,
        label_span_us=label.matures_us,
    )
    progress(f"training on {int(split.train.sum()):,} rows")
    data = table.data(split.train, model.parameters)
    estimator = _fit(model, data, classifier=table.classifier, where=where)
    progress("exporting to ONNX")
    graph = export(estimator, data, classifier=table.classifier, where=where)
    progress(f"checking on {int(split.holdout.sum()):,} held-out rows")
    outputs, agreement = _check(graph, estimator, table, split.holdout, where)
    measured = _measure(table, split.holdout, outputs, where)
    refuse_changes(before, hash_files([*code_files(project), *paths]), where)
    progress("registering")
    record = ModelRecord(
        **_definition(model, service, label),
        **_circumstances(project),
        catalog_digest=catalog.digest,
        training_set_digest=rows.digest,
        training_rows=int(split.train.sum()),
        holdout_rows=int(split.holdout.sum()),
        outputs=CLASSIFIER_OUTPUTS if table.classifier else REGRESSOR_OUTPUTS,
        metrics=measured,
    )
    return TrainingReport(registry.register(record, graph), agreement, split, int(table.target.nulls.sum()))


def _definitions(model: Model, rows: TrainingSet, catalog: Catalog, where: str) -> tuple[FeatureService, Label]:
    """Return the model's service and label, once the training set is known to be of these very two."""
    service, label = catalog.service(model.service_name), catalog.label(model.label_name)
    found = rows.label_definition
    if rows.service != service or found is None or found != label:
        raise TrainingRefused(
            f"training set {rows.digest[:12]} is of {rows.service.name} and {found.name if found else 'no label'}, "
            f"not of {service.name} and {label.name} as they are defined now",
            where=where,
            mend=f"build one: unskew training-set build --model {model.name} --spine FILE",
        )
    return service, label


def _line_of(model: Model, error: Exception) -> str:
    """Return the last line of the training function's own file that was running, as ``, models.py:21``."""
    code = getattr(model.train, "__code__", None)
    frames = [frame for frame in extract_tb(error.__traceback__) if code and frame.filename == code.co_filename]
    return f", {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _fit(model: Model, data: TrainingData, *, classifier: bool, where: str) -> Any:
    if classifier and (data.target.all() or not data.target.any()):
        raise TrainingRefused(
            f"each of the {len(data.target)} training labels is {bool(data.target[0])}",
            where=where,
            mend="take a longer spine, or look at the label's definition",
        )
    try:
        estimator = model.train(data)
    except Exception as error:
        raise TrainingFailed(
            f"train raised {first_line(error)}", where=where + _line_of(model, error), mend="mend the training function"
        ) from error
    return _checked(estimator, data, classifier=classifier, where=where)


def _checked(estimator: Any, data: TrainingData, *, classifier: bool, where: str) -> Any:
    if not hasattr(estimator, "fit") or not hasattr(estimator, "n_features_in_"):
        raise TrainingFailed(
            f"train returned {type(estimator).__name__}, which is no fitted scikit-learn estimator",
            where=where,
            mend="fit it on data.inputs and data.target, and return it",
        )
    wanted = "predict_proba" if classifier else "predict"
    if not hasattr(estimator, wanted):
        raise TrainingFailed(
            f"train returned a {type(estimator).__name__}, which has no {wanted}",
            where=where,
            mend=f"return a fitted scikit-learn {'classifier' if classifier else 'regressor'} that has {wanted}",
        )
    columns = len(data.numeric_names) + len(data.text_names)
    if estimator.n_features_in_ != columns:
        raise TrainingFailed(
            f"the estimator was fitted on {estimator.n_features_in_} columns, the service has {columns}",
            where=where,
            mend="fit it on data.inputs; drop columns inside it (ColumnTransformer), or from the service",
        )
    return estimator


def _check(
    graph: bytes, estimator: Any, table: TrainingTable, chosen: NDArray[np.bool_], where: str
) -> tuple[Outputs, Agreement]:
    part = table.part(chosen)
    outputs = run_graph(graph, part, where)
    asked = joined_inputs(part, table.numeric_names, table.text_names)
    expected = ask_estimator(estimator, asked, classifier=table.classifier, where=where)
    return outputs, compare(expected, outputs, table.instants_us[chosen], where)


def _measure(table: TrainingTable, chosen: NDArray[np.bool_], outputs: Outputs, where: str) -> dict[str, float]:
    answers = table.answers(chosen)
    if table.classifier:
        return metrics.classification_metrics(answers, outputs["probability"], outputs["label"], where)
    return metrics.regression_metrics(answers, outputs["prediction"])


def _definition(model: Model, service: FeatureService, label: Label) -> dict[str, Any]:
    return {
        "model": model.name,
        "owner": model.owner,
        "service": service.name,
        "service_digest": service.digest,
        "input_spec": service.input_spec.describe(),
        "missing": service.missing,
        "label": label.name,
        "label_digest": label.digest,
        "thresholds": tuple(model.thresholds),
        "parameters": dict(model.parameters),
    }


def _circumstances(project: Path) -> dict[str, Any]:
    code = code_state(project)
    return {"code_commit": code.commit, "code_dirty": code.dirty, "libraries": library_versions()}
