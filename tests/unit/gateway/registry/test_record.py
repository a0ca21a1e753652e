import dataclasses
import json
import subprocess
import sys

import pytest

from gateway.errors import RecordRefused
from gateway.registry.record import Threshold, from_description, thresholds_from


def test_a_record_survives_the_trip_through_plain_data(make_record):
    record = make_record(version=3, artifact_digest="a" * 64, created_at_us=17)
    again = from_description(json.loads(json.dumps(record.describe())))
    assert again == record
    assert again.record_hash == record.record_hash


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"owner": "other@example.org"},
        {"metrics": {"roc_auc": 0.810000000001, "log_loss": 0.5}},
        {"parameters": {"depth": 4}},
        {"input_spec": []},
        {"code_dirty": False},
        {"created_at_us": 1},
        {"thresholds": ()},
        {"outputs": ("probabilities", "label")},
    ],
)
def test_the_hash_covers_every_field(make_record, change):
    assert make_record(**change).record_hash != make_record().record_hash


def test_the_content_digest_leaves_out_version_and_instant_only(make_record):
    assert make_record(version=2, created_at_us=9).content_digest == make_record().content_digest
    assert make_record(artifact_digest="b" * 64).content_digest != make_record().content_digest
    for each in dataclasses.fields(make_record()):
        assert each.name in make_record().describe()


def test_the_hash_is_the_same_in_another_process(make_record):
    script = (
        "import json, sys; from gateway.registry.record import from_description;"
        "print(from_description(json.load(sys.stdin)).record_hash)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(make_record().describe()),
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)},
    )
    assert ran.stdout.strip() == make_record().record_hash


@pytest.mark.parametrize("owner", ["", "  ", "\t\n"])
def test_no_owner_no_record(make_record, owner):
    with pytest.raises(RecordRefused, match=r"model spend: no owner is named \(state owner="):
        make_record(owner=owner)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_metric_that_is_no_number_is_refused_by_name(make_record, value):
    with pytest.raises(RecordRefused, match=r"model spend: metric 'roc_auc' is .*report finite metrics"):
        make_record(metrics={"log_loss": 0.5, "roc_auc": value})


@pytest.mark.parametrize("model", ["", "1st", "a/b", "..", "a b", "ä", "x" * 64, "spend\n"])
def test_a_name_that_cannot_be_a_folder_is_refused(make_record, model):
    with pytest.raises(RecordRefused, match="cannot name a model"):
        make_record(model=model)


def test_what_is_not_plain_data_is_refused(make_record):
    with pytest.raises(RecordRefused, match="not plain data"):
        make_record(parameters={"model": object()})
    with pytest.raises(RecordRefused, match="not plain data"):
        make_record(parameters={"rate": float("nan")})


def test_thresholds_include_their_ends():
    assert Threshold("auc", at_least=0.7).holds(0.7)
    assert not Threshold("auc", at_least=0.7).holds(0.6999999)
    assert Threshold("loss", at_most=0.5).holds(0.5)
    assert not Threshold("loss", at_most=0.5).holds(0.5000001)
    assert not Threshold("loss", at_least=0.1, at_most=0.5).holds(0.05)


def test_a_missing_metric_does_not_hold():
    assert not Threshold("auc", at_least=0.0).holds(None)
    assert not Threshold("auc", at_most=1.0).holds(None)


@pytest.mark.parametrize("bounds", [{}, {"at_least": float("nan")}, {"at_least": 0.5, "at_most": float("inf")}])
def test_a_threshold_without_a_finite_bound_is_refused(bounds):
    with pytest.raises(RecordRefused, match="no finite bound"):
        Threshold("auc", **bounds)


def test_thresholds_are_read_from_plain_data():
    read = thresholds_from([{"metric": "auc", "at_least": 0.7}, {"metric": "loss", "at_most": 0.5}])
    assert read == (Threshold("auc", at_least=0.7), Threshold("loss", at_most=0.5))
