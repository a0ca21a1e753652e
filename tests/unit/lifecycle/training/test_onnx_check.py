"""The comparison of graph and estimator: what passes, what fails, and which row is named."""

import numpy as np
import pytest

from featurestore.semantics.model_input import ModelInput
from lifecycle.errors import ExportFailed, ExportMismatch
from lifecycle.training.onnx_check import ABSOLUTE, compare, run_graph

INSTANTS = np.array([0, 1_000_000, 2_000_000], dtype=np.int64)


def held_against(expected, **outputs):
    arrays = {name: np.array(values) for name, values in outputs.items()}
    return compare(np.array(expected), arrays, INSTANTS[: len(expected)], "model m")


def test_answers_within_the_tolerance_pass_and_the_worst_is_told():
    found = held_against([100.0, 0.0, -5.0], prediction=[100.0 + 5e-4, 5e-6, -5.0])
    assert found.rows == 3
    assert found.worst == pytest.approx(5e-4)


@pytest.mark.parametrize("off", [2 * ABSOLUTE, np.nan, np.inf])
def test_a_row_beyond_the_tolerance_is_named(off):
    with pytest.raises(ExportMismatch, match="held-out row 1 at 1970-01-01T00:00:01Z") as caught:
        held_against([0.0, 0.0, 0.0], prediction=[ABSOLUTE, off, 0.0])
    assert "1 of 3" in caught.value.what
    assert caught.value.where == "model m"


def test_the_tolerance_is_the_stated_sum():
    edge = 9e-5  # 1e-5 + 1e-5 * 8
    held_against([8.0], prediction=[8.0 + edge * 0.999])
    with pytest.raises(ExportMismatch):
        held_against([8.0], prediction=[8.0 + edge * 1.01])


def test_the_worst_of_several_rows_is_the_one_named():
    with pytest.raises(ExportMismatch, match="held-out row 2"):
        held_against([0.0, 0.0, 0.0], prediction=[0.0, 1e-3, 1e-2])


def test_labels_follow_the_probability_but_may_differ_at_a_half():
    held_against([0.5 + 1e-6, 0.9], probability=[0.5 + 1e-6, 0.9], label=[False, True])
    with pytest.raises(ExportMismatch):
        held_against([0.9], probability=[0.9], label=[False])


def test_bytes_that_are_no_graph_are_refused():
    with pytest.raises(ExportFailed, match="does not run the graph"):
        run_graph(b"no graph", ModelInput(np.zeros((1, 1), np.float32), np.empty((1, 0), object)), "model m")
