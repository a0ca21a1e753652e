"""One ONNX Runtime session: checked against what the model takes, warmed, single-threaded; nobody else imports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from featurestore.semantics.model_input import InputSpec, ModelInput, assemble
from featurestore.semantics.value import null_column
from gateway.errors import ModelFailed, ModelLoadError
from gateway.inference.onnx_file import read_references

_FAILURES: tuple[type[Exception], ...] = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    ValueError,
)
_INPUT_TYPES = {"numeric": "tensor(float)", "text": "tensor(string)"}
_WARM_ROWS = (1, 3)

Outputs = list[NDArray[Any]]


class OnnxSession:
    """A model that answers: thread-safe, without threads of its own.

    Attributes
    ----------
    outputs
        Names of the outputs, in the order that `run` returns them.
    """

    def __init__(self, model: bytes, spec: InputSpec, outputs: Sequence[str], *, name: str) -> None:
        """Load, check and warm a model.

        Parameters
        ----------
        model
            The bytes of the ONNX file, whole: external data and custom operators are refused.
        spec
            The inputs: the graph must take ``numeric`` ``[N, F]`` float32 and/or ``text`` ``[N, K]`` string.
        outputs
            The outputs to return, in order; each must be a tensor with a row for each row of the inputs.
        name
            What to call the model in errors, as ``next_week_spend version 3``.

        Raises
        ------
        ModelLoadError
            If any of that does not hold.
        """
        self.outputs = tuple(outputs)
        self._name = name
        try:
            _refuse_references(model)
            self._session = _open(model)
            _check_inputs(self._session, spec)
            _check_outputs(self._session, self.outputs)
            self._warm(spec)
        except ModelLoadError as error:
            raise ModelLoadError(error.what, where=f"model {name}", mend=error.mend) from None

    def run(self, inputs: ModelInput) -> Outputs:
        """Return the outputs, each of shape ``(N,)`` or ``(N, k)``; a ``(N, 1)`` comes as ``(N,)``.

        Raises
        ------
        ModelFailed
            If ONNX Runtime fails on these inputs.
        """
        try:
            found = self._session.run(self.outputs, inputs.feeds())
        except _FAILURES as error:
            raise ModelFailed(
                f"ONNX Runtime failed on these inputs: {_first_line(error)}",
                where=f"model {self._name}",
                mend="try the same inputs on the model in training; its encoders may not know such values",
            ) from None
        return [of[:, 0] if of.ndim == 2 and of.shape[1] == 1 else of for of in found]

    def _warm(self, spec: InputSpec) -> None:
        for rows in _WARM_ROWS:
            nothing = {feature.name: null_column(feature.dtype, rows) for feature in spec.features}
            try:
                found = self.run(assemble(spec, nothing))
            except ModelFailed as error:
                raise ModelLoadError(
                    f"it fails when every feature is null: {error.what}",
                    mend="let the model take NaN and the text ␀, by imputers inside the graph",
                ) from None
            for output, values in zip(self.outputs, found, strict=True):
                if not 1 <= values.ndim <= 2 or values.shape[0] != rows:
                    raise ModelLoadError(
                        f"output {output} has shape {values.shape} for {rows} rows",
                        mend="export a model that gives one row for each row of its inputs",
                    )


def _open(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except _FAILURES as error:
        raise ModelLoadError(
            f"ONNX Runtime {ort.__version__} cannot load it: {_first_line(error)}",
            mend="export it with an opset that this ONNX Runtime knows",
        ) from None


def _refuse_references(model: bytes) -> None:
    references = read_references(model)
    if references.external_tensors:
        raise ModelLoadError(
            f"tensor {references.external_tensors[0]!r} keeps its data in another file",
            mend="save the model as one file, without external data",
        )
    if references.custom_operators:
        raise ModelLoadError(
            f"it uses operators outside the ONNX standard: {', '.join(references.custom_operators)}",
            mend="export it with the operators of ai.onnx and ai.onnx.ml only",
        )


def _check_inputs(session: ort.InferenceSession, spec: InputSpec) -> None:
    found = {given.name: given for given in session.get_inputs()}
    wanted = {"numeric": len(spec.numeric_names), "text": len(spec.text_names)}
    wanted = {name: width for name, width in wanted.items() if width}
    if set(found) != set(wanted):
        raise ModelLoadError(
            f"the graph takes {_listed(found)}, its record says {_listed(wanted)}",
            mend="export it with the inputs numeric [N, F] float and text [N, K] string, leaving out an empty one",
        )
    for name, width in wanted.items():
        of = found[name]
        if of.type != _INPUT_TYPES[name] or not _accepts(of.shape, width):
            raise ModelLoadError(
                f"input {name} is {of.type} {of.shape}, its record needs {_INPUT_TYPES[name]} [N, {width}]",
                mend="train and export it on the inputs that its service gives",
            )


def _accepts(shape: Sequence[int | str | None], width: int) -> bool:
    return len(shape) == 2 and not isinstance(shape[0], int) and shape[1] in (width, None)


def _check_outputs(session: ort.InferenceSession, outputs: Sequence[str]) -> None:
    found = {given.name: given for given in session.get_outputs()}
    if not outputs:
        raise ModelLoadError("its record names no output", mend="register it with the outputs of its graph")
    for name in outputs:
        if name not in found:
            raise ModelLoadError(
                f"the graph has no output {name!r}, it gives {_listed(found)}",
                mend="register the model with the outputs that its graph has",
            )
        if not found[name].type.startswith("tensor("):
            raise ModelLoadError(
                f"output {name} is {found[name].type}, not a tensor",
                mend='export it without ZipMap: options={"zipmap": False}',
            )


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
