"""Ask the exported graph and the estimator the same held-out rows, and refuse a graph that answers otherwise.

scikit-learn computes in float64 where the graph computes in float32, so equal means: the distance is at most
``ABSOLUTE + RELATIVE * |scikit-learn's answer|``. A label may differ only where the probability is that close to a
half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from featurestore.foundation.clock import format_instant
from featurestore.semantics.model_input import ModelInput
from lifecycle.errors import ExportFailed, ExportMismatch, TrainingFailed
from lifecycle.training.onnx_export import first_line

ABSOLUTE = 1e-5
RELATIVE = 1e-5
BATCH_ROWS = 16_384

Outputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Agreement:
    """How near the graph is to the estimator.

    Attributes
    ----------
    rows
        Held-out rows compared: all of them.
    worst
        The greatest absolute distance found.
    """

    rows: int
    worst: float


def run_graph(graph: bytes, inputs: ModelInput, where: str) -> Outputs:
    """Return the graph's outputs by name, computed in batches on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        parts = [session.run(names, batch.feeds()) for batch in _batches(inputs)]
    except Exception as error:
        raise ExportFailed(
            f"ONNX Runtime does not run the graph: {first_line(error)}",
            where=where,
            mend="use other steps in the estimator, or other versions of skl2onnx and onnxruntime",
        ) from error
    return {name: np.concatenate([part[at] for part in parts]) for at, name in enumerate(names)}


def ask_estimator(estimator: Any, inputs: Any, *, classifier: bool, where: str) -> NDArray[np.float64]:
    """Return scikit-learn's own answers: the probability of true, or the prediction."""
    try:
        answers = estimator.predict_proba(inputs) if classifier else estimator.predict(inputs)
    except Exception as error:
        raise TrainingFailed(
            f"the returned {type(estimator).__name__} does not answer: {first_line(error)}",
            where=where,
            mend="fit it on data.inputs, the table it will be asked with, and return it",
        ) from error
    found = np.asarray(answers, dtype=np.float64)
    if found.shape[1:] not in ([(2,)] if classifier else [(), (1,)]):
        raise TrainingFailed(
            f"the returned {type(estimator).__name__} gives answers of shape {found.shape}",
            where=where,
            mend="fit it on data.target: one target, of two classes if it is Bool",
        )
    return found[:, 1] if classifier else found.ravel()


def compare(expected: NDArray[np.float64], outputs: Outputs, instants_us: NDArray[np.int64], where: str) -> Agreement:
    """Hold the graph's outputs against scikit-learn's answers, row by row.

    Raises
    ------
    ExportMismatch
        If a row is beyond the tolerance; names the worst one.
    """
    found = np.asarray(outputs["probability" if "probability" in outputs else "prediction"], dtype=np.float64)
    distance = np.abs(found - expected)
    beyond = ~(distance <= ABSOLUTE + RELATIVE * np.abs(expected))
    if "label" in outputs:
        near_half = np.abs(expected - 0.5) <= ABSOLUTE + RELATIVE
        beyond |= (outputs["label"] != (expected > 0.5)) & ~near_half
    if beyond.any():
        raise _mismatch(expected, found, np.flatnonzero(beyond).tolist(), instants_us, where)
    return Agreement(len(expected), float(distance.max()))


def _mismatch(
    expected: NDArray[np.float64],
    found: NDArray[np.float64],
    rows: Sequence[int],
    instants_us: NDArray[np.int64],
    where: str,
) -> ExportMismatch:
    worst = max(rows, key=lambda row: np.nan_to_num(abs(found[row] - expected[row]), nan=np.inf))
    return ExportMismatch(
        f"{len(rows)} of {len(expected)} held-out rows are beyond {ABSOLUTE:g} + {RELATIVE:g} of scikit-learn's; "
        f"the worst is held-out row {worst} at {format_instant(int(instants_us[worst]))}: "
        f"scikit-learn {float(expected[worst])!r}, ONNX {float(found[worst])!r}",
        where=where,
        mend="scale or leave out what float32 cannot hold: very large numbers, timestamps",
    )


def _batches(inputs: ModelInput) -> list[ModelInput]:
    starts = range(0, len(inputs.numeric), BATCH_ROWS)
    return [ModelInput(inputs.numeric[at : at + BATCH_ROWS], inputs.text[at : at + BATCH_ROWS]) for at in starts]
