"""Figures on held-out rows, against values worked out by hand."""

import math

import numpy as np
import pytest

from lifecycle.errors import TrainingRefused
from lifecycle.training.metrics import classification_metrics, regression_metrics
from lifecycle.training.model import METRICS


def test_classification_figures_by_hand():
    target = np.array([True, True, False, False])
    probability = np.array([0.9, 0.4, 0.6, 0.2], dtype=np.float32)
    found = classification_metrics(target, probability, probability > 0.5, "model m")
    assert set(found) == set(METRICS["classification"])
    assert found["roc_auc"] == 0.75  # three of the four pairs are in order
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.04) / 4)
    assert found["log_loss"] == pytest.approx(-(math.log(0.9) + 2 * math.log(0.4) + math.log(0.8)) / 4)
    assert (found["accuracy"], found["positive_fraction"]) == (0.5, 0.5)


def test_regression_figures_by_hand():
    found = regression_metrics(np.array([0.0, 2.0]), np.array([1.0, 5.0], dtype=np.float32))
    assert set(found) == set(METRICS["regression"])
    assert found["rmse"] == pytest.approx(math.sqrt(5))
    assert (found["mae"], found["r2"]) == (2.0, -4.0)


def test_one_row_has_no_r2():
    assert set(regression_metrics(np.array([1.0]), np.array([1.0]))) == {"rmse", "mae"}


@pytest.mark.parametrize("answer", [True, False])
def test_one_kind_of_label_cannot_be_ranked(answer):
    with pytest.raises(TrainingRefused, match=f"held-out labels is {answer}"):
        classification_metrics(np.array([answer] * 3), np.array([0.1] * 3), np.array([True] * 3), "model m")
