"""Figures on the held-out rows, of the graph that will answer (not of the estimator it came from)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from lifecycle.errors import TrainingRefused


def classification_metrics(
    target: NDArray[np.bool_], probability: NDArray[Any], label: NDArray[Any], where: str
) -> dict[str, float]:
    """Return ROC AUC, log loss, Brier score, accuracy and the share of true labels.

    Raises
    ------
    TrainingRefused
        If every held-out label is the same: ranking is then undefined.
    """
    if target.all() or not target.any():
        raise TrainingRefused(
            f"each of the {len(target)} held-out labels is {bool(target[0])}",
            where=where,
            mend="hold out more rows, or look at the label's definition",
        )
    probability = np.asarray(probability, dtype=np.float64)
    return {
        "roc_auc": float(sk.roc_auc_score(target, probability)),
        "log_loss": float(sk.log_loss(target, probability)),
        "brier": float(sk.brier_score_loss(target, probability)),
        "accuracy": float(np.mean(np.asarray(label, dtype=np.bool_) == target)),
        "positive_fraction": float(np.mean(target)),
    }


def regression_metrics(target: NDArray[np.float64], prediction: NDArray[Any]) -> dict[str, float]:
    """Return root mean squared error, mean absolute error and, of two rows or more, R²."""
    prediction = np.asarray(prediction, dtype=np.float64)
    figures = {
        "rmse": float(sk.root_mean_squared_error(target, prediction)),
        "mae": float(sk.mean_absolute_error(target, prediction)),
    }
    return figures | ({"r2": float(sk.r2_score(target, prediction))} if len(target) > 1 else {})
