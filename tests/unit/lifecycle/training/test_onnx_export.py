"""The exported graph: the same bytes in every process, flat named outputs, the inputs that have columns."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from lifecycle.training.onnx_export import export
from lifecycle.training.training_table import TrainingTable
from tests.unit.lifecycle.training.conftest import mixed, numbers, pays, training_set
from tests.unit.lifecycle.training.test_train import fit_classifier, fit_regressor

REPOSITORY = Path(__file__).parents[4]
EXPORT = """
from hashlib import sha256
from tests.unit.lifecycle.training.test_onnx_export import exported
print(sha256(exported()).hexdigest())
"""


def data(service=mixed, **options):
    table = TrainingTable.of(training_set(service, **options), "test")
    return table.data(~table.target.nulls, {"trees": 5})


def exported():
    given = data()
    return export(fit_classifier(given), given, classifier=True, where="test")


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_process():
    """A hash seed orders sets, and the converter keeps its opsets in one: seeds 1 and 3 differed."""
    digests = set()
    for seed in ("1", "3", "4"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", EXPORT], env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1


def shape(value):
    return [dimension.dim_value or None for dimension in value.type.tensor_type.shape.dim]


def test_a_classifier_takes_two_tables_and_gives_two_columns():
    graph = onnx.load_from_string(exported()).graph
    assert {given.name: shape(given) for given in graph.input} == {"numeric": [None, 2], "text": [None, 1]}
    assert {given.name: shape(given) for given in graph.output} == {"probability": [None], "label": [None]}


def test_a_regressor_of_numbers_takes_one_table_and_gives_one_column():
    given = data(numbers, label=pays)
    graph = onnx.load_from_string(export(fit_regressor(given), given, classifier=False, where="test")).graph
    assert {each.name: shape(each) for each in graph.input} == {"numeric": [None, 2]}
    assert {each.name: shape(each) for each in graph.output} == {"prediction": [None]}


def test_a_finished_graph_is_valid_onnx():
    onnx.checker.check_model(onnx.load_from_string(exported()))
