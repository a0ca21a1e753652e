"""One run from training set to registry: what it makes, that it is repeatable, and what it refuses."""

import hashlib

import numpy as np
import onnxruntime
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC

from featurestore.foundation.clock import DAY
from lifecycle import errors
from lifecycle.training import Model, Threshold
from lifecycle.training.train import train_model
from tests.unit.lifecycle.training.conftest import START_US, comes, mixed, numbers, pays, training_set


def fit_classifier(data):
    prepared = ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median"), data.numeric_columns),
            ("levels", OneHotEncoder(handle_unknown="ignore", sparse_output=False), data.text_columns),
        ]
    )
    boosting = GradientBoostingClassifier(n_estimators=data.parameters["trees"], random_state=1)
    return make_pipeline(prepared, boosting).fit(data.inputs, data.target)


def fit_regressor(data):
    return make_pipeline(SimpleImputer(), LinearRegression()).fit(data.inputs, data.target)


def model_of(train=fit_classifier, service=mixed, label=comes, **changes):
    given = {
        "owner": "team@example.org",
        "parameters": {"trees": 10},
        "thresholds": [Threshold("roc_auc", at_least=0.6)],
    }
    return Model("model", service=service, label=label, train=train, **{**given, **changes})


@pytest.fixture
def run(catalog, registry, tmp_path):
    (tmp_path / "project").mkdir()

    def start(model, rows=None, **options):
        rows = training_set(service=mixed, label=comes) if rows is None else rows
        options = {"project": tmp_path / "project", **options}
        return train_model(model, rows, catalog=catalog, registry=registry, **options)

    return start


def test_a_run_registers_a_version_with_all_that_made_it(run, registry, catalog):
    report = run(model_of())
    record = registry.get("model", "latest")
    assert record == report.record
    assert (record.version, record.owner, record.outputs) == (1, "team@example.org", ("probability", "label"))
    assert (record.service_digest, record.label_digest) == (mixed.digest, comes.digest)
    assert (record.catalog_digest, record.training_set_digest) == (catalog.digest, "d" * 64)
    assert record.input_spec == mixed.input_spec.describe()
    assert record.parameters == {"trees": 10}
    assert {"python", "scikit-learn", "onnxruntime"} <= set(record.libraries)
    assert record.metrics["roc_auc"] > 0.8


def test_every_labelled_row_is_trained_on_held_out_or_purged(run):
    report = run(model_of(holdout_fraction=0.25))
    described = report.describe()
    assert described["unlabelled_rows"] == 10
    assert described["holdout_rows"] == round(390 * 0.25)
    assert described["purged_rows"] == 8 * 24 - 1  # one row an hour; a label is known 8 days after its row
    assert described["training_rows"] + described["holdout_rows"] + described["purged_rows"] == 390


def test_the_registered_graph_answers_what_the_report_measured(run, registry):
    report = run(model_of())
    graph = registry.artifacts.load(report.record.artifact_digest)
    session = onnxruntime.InferenceSession(graph)
    outputs = session.run(
        None,
        {
            "numeric": np.array([[9.0, 0.0], [np.nan, 0.0], [-9.0, 0.0]], dtype=np.float32),
            "text": np.array([["east"], ["␀"], ["nowhere"]], dtype=object),
        },
    )
    assert [output.name for output in session.get_outputs()] == ["probability", "label"]
    assert outputs[0].shape == (3,)
    assert outputs[1].dtype == np.bool_
    assert outputs[0][0] > 0.7 > 0.3 > outputs[0][2]


def test_the_same_run_gives_the_same_bytes_and_the_same_version(run, registry):
    first, second = run(model_of()), run(model_of())
    assert second.record == first.record
    assert hashlib.sha256(registry.artifacts.load(second.record.artifact_digest)).hexdigest() == (
        first.record.artifact_digest
    )
    assert len(registry.versions("model")) == 1


def test_a_numeric_label_is_regressed(run, catalog):
    rows = training_set(numbers, pays)
    report = run(model_of(fit_regressor, numbers, pays, thresholds=[Threshold("rmse", at_most=100.0)]), rows)
    assert report.record.outputs == ("prediction",)
    assert set(report.record.metrics) == {"rmse", "mae", "r2"}
    assert report.record.metrics["r2"] > 0.3


def test_the_holdout_may_start_at_an_instant(run):
    report = run(model_of(holdout_from="2024-01-13T00:00:00Z"))
    assert report.split.start_us == START_US + 12 * DAY
    assert report.record.holdout_rows == 390 - 12 * 24


def test_progress_names_the_steps(run):
    steps: list[str] = []
    run(model_of(), progress=steps.append)
    assert [step.split()[0] for step in steps] == ["splitting", "training", "exporting", "checking", "registering"]


def _raise(data):
    raise ZeroDivisionError("no trees")


REFUSALS = {
    "train raises": (_raise, errors.TrainingFailed, "train raised ZeroDivisionError: no trees"),
    "train returns nothing": (lambda data: None, errors.TrainingFailed, "train returned NoneType"),
    "train returns what is not fitted": (
        lambda data: LogisticRegression(),
        errors.TrainingFailed,
        "no fitted scikit-learn estimator",
    ),
    "train fits on numbers alone": (
        lambda data: LogisticRegression().fit(np.nan_to_num(data.numeric), data.target),
        errors.TrainingFailed,
        "fitted on 2 columns, the service has 3",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_training_function_that_fails_is_named_and_nothing_registered(run, registry, name):
    train, kind, what = REFUSALS[name]
    with pytest.raises(kind) as caught:
        run(model_of(train))
    assert what in caught.value.what
    line = f", test_train.py:{_raise.__code__.co_firstlineno + 1}" if train is _raise else ""
    assert caught.value.where == "model model" + line
    assert caught.value.mend
    assert registry.models() == ()


def test_an_estimator_without_an_onnx_form_is_refused_by_name(run, registry):
    def train(data):
        return HistGradientBoostingClassifier(max_iter=5).fit(data.inputs, data.target)

    with pytest.raises(errors.ExportFailed, match="HistGradientBoosting"):
        run(model_of(train, service=numbers), training_set(service=numbers))
    assert registry.models() == ()


def test_a_classifier_without_probabilities_is_refused(run):
    def train(data):
        return make_pipeline(SimpleImputer(), LinearSVC()).fit(data.inputs, data.target)

    with pytest.raises(errors.LifecycleError, match="predict_proba"):
        run(model_of(train, service=numbers), training_set(service=numbers))


def test_a_regressor_of_two_targets_is_refused(run, registry):
    def train(data):
        both = np.stack([data.target, data.target], axis=1)
        return make_pipeline(SimpleImputer(), LinearRegression()).fit(data.inputs, both)

    with pytest.raises(errors.TrainingFailed, match=r"shape \(\d+, 2\)"):
        run(model_of(train, numbers, pays, thresholds=[]), training_set(numbers, pays))
    assert registry.models() == ()


def test_a_classifier_of_three_classes_is_refused(run):
    def train(data):
        three = np.arange(len(data.target)) % 3
        return make_pipeline(SimpleImputer(), LogisticRegression()).fit(data.inputs, three)

    with pytest.raises(errors.TrainingFailed, match=r"shape \(\d+, 3\)"):
        run(model_of(train, service=numbers), training_set(service=numbers))


def test_a_file_that_changes_during_the_run_fails_it(run, registry, tmp_path):
    source = tmp_path / "project" / "models.py"
    source.write_text("one")

    def train(data):
        source.write_text("two")
        return fit_classifier(data)

    with pytest.raises(errors.InputsChanged, match=r"models\.py changed"):
        run(model_of(train))
    assert registry.models() == ()


def test_a_file_that_appears_during_the_run_fails_it(run, tmp_path):
    def train(data):
        (tmp_path / "project" / "late.py").write_text("x = 1")
        return fit_classifier(data)

    with pytest.raises(errors.InputsChanged, match=r"late\.py"):
        run(model_of(train))


def test_a_training_set_of_other_definitions_is_refused(run):
    with pytest.raises(errors.TrainingRefused, match="is of numbers and comes, not of mixed and comes"):
        run(model_of(), training_set(service=numbers))


def test_a_training_set_without_label_is_refused(run):
    with pytest.raises(errors.TrainingRefused, match="no label"):
        run(model_of(), training_set(label=None))


def test_labels_that_are_all_the_same_are_refused(run):
    rows = training_set()
    at = rows.table.column_names.index("comes")
    import pyarrow as pa

    same = rows.table.set_column(at, "comes", pa.array([True] * rows.rows))
    from dataclasses import replace

    with pytest.raises(errors.TrainingRefused, match="training labels is True"):
        run(model_of(), replace(rows, table=same))
