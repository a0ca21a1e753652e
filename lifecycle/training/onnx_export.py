"""Write a fitted scikit-learn estimator as one ONNX graph, encoders and imputers inside.

The graph takes ``numeric`` (float32, ``[N, F]``) and ``text`` (string, ``[N, K]``), those of the two that have columns.
A classifier of a Bool label gives ``probability`` (float32, ``[N]``, of true) and ``label`` (bool, ``[N]``); a
regressor gives ``prediction`` (float32, ``[N]``). The same estimator gives the same bytes, in every process.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lifecycle.errors import ExportFailed, LifecycleError
from lifecycle.training.training_data import TrainingData

CLASSIFIER_OUTPUTS = ("probability", "label")
REGRESSOR_OUTPUTS = ("prediction",)
GRAPH_NAME = "unskew"


def export(estimator: Any, data: TrainingData, *, classifier: bool, where: str) -> bytes:
    """Return the serialised graph of ``estimator``.

    Raises
    ------
    ExportFailed
        If a step of it has no ONNX form; names the step.
    """
    convert = _converter()
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    sizes = (("numeric", len(data.numeric_names), FloatTensorType), ("text", len(data.text_names), StringTensorType))
    inputs = [(name, kind([None, columns])) for name, columns, kind in sizes if columns]
    options = {"zipmap": False} if classifier else None
    try:
        graph = convert(estimator, GRAPH_NAME, initial_types=inputs, options=options)
    except Exception as error:
        raise ExportFailed(
            f"{type(estimator).__name__} has no ONNX form: {first_line(error)}",
            where=where,
            mend="use steps that skl2onnx converts (https://onnx.ai/sklearn-onnx/supported.html): GradientBoosting, "
            "RandomForest and linear models work, HistGradientBoosting and FunctionTransformer do not",
        ) from error
    finish = _finish_classifier if classifier else _finish_regressor
    finish(graph.graph, where)
    _order_opsets(graph)
    return bytes(graph.SerializeToString(deterministic=True))


def _converter() -> Any:
    try:
        from skl2onnx import convert_sklearn
    except ImportError:
        raise LifecycleError("skl2onnx is not installed", mend="pip install 'unskew[train]'") from None
    return convert_sklearn


def _finish_classifier(graph: Any, where: str) -> None:
    """Turn (label int64, probabilities [N, 2]) into (probability of true, label bool)."""
    from onnx import TensorProto, helper, numpy_helper

    if len(graph.output) != 2:
        raise ExportFailed(
            "the classifier's graph has no probabilities", where=where, mend="use one that has predict_proba"
        )
    label, probabilities = (output.name for output in graph.output)
    _rename(graph, label, "unskew_label")
    _rename(graph, probabilities, "unskew_probabilities")
    graph.initializer.append(numpy_helper.from_array(np.array(1, dtype=np.int64), "unskew_true"))
    graph.node.extend(
        [
            helper.make_node("Gather", ["unskew_probabilities", "unskew_true"], ["probability"], axis=1),
            helper.make_node("Cast", ["unskew_label"], ["label"], to=TensorProto.BOOL),
        ]
    )
    _set_outputs(graph, {"probability": TensorProto.FLOAT, "label": TensorProto.BOOL})


def _finish_regressor(graph: Any, where: str) -> None:
    """Turn the estimator's ``[N, 1]`` into ``[N]``."""
    from onnx import TensorProto, helper, numpy_helper

    if len(graph.output) != 1:
        raise ExportFailed(f"the regressor's graph has {len(graph.output)} outputs", where=where, mend="predict one")
    _rename(graph, graph.output[0].name, "unskew_prediction")
    graph.initializer.append(numpy_helper.from_array(np.array([-1], dtype=np.int64), "unskew_flat"))
    graph.node.append(helper.make_node("Reshape", ["unskew_prediction", "unskew_flat"], ["prediction"]))
    _set_outputs(graph, {"prediction": TensorProto.FLOAT})


def _order_opsets(model: Any) -> None:
    """Order what the converter took from a set, whose order depends on the process's hash seed."""
    ordered = sorted((opset.domain, opset.version) for opset in model.opset_import)
    del model.opset_import[:]
    for domain, version in ordered:
        model.opset_import.add(domain=domain, version=version)


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                if name == old:
                    names[position] = new


def _set_outputs(graph: Any, kinds: dict[str, int]) -> None:
    from onnx import helper

    del graph.output[:]
    graph.output.extend(helper.make_tensor_value_info(name, kind, [None]) for name, kind in kinds.items())


def first_line(error: Exception) -> str:
    """Return an error's type and the first line of what it says."""
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
