"""The one assembly of model inputs (law 7), used by training and by the gateway alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.foundation.errors import SemanticsError
from featurestore.semantics.finalise import exact_quotient
from featurestore.semantics.value import Column, DType, column, parse_dtype

NULL_TEXT = "␀"
"""What a null string looks like to a model (U+2400): encoders inside the graph see it as a level of its own."""


@dataclass(frozen=True, slots=True)
class InputFeature:
    """One feature as a model takes it; ``default`` (storage form) replaces a null, ``None`` leaves it null."""

    name: str
    dtype: DType
    default: Any = None


@dataclass(frozen=True, slots=True)
class ModelInput:
    """What the ONNX graph is fed.

    Attributes
    ----------
    numeric
        Shape ``(N, F)``, float32, graph input ``numeric``: what is not a string, in service order; null is NaN.
    text
        Shape ``(N, K)``, object of ``str``, graph input ``text``: the strings, in service order; null is `NULL_TEXT`.
    """

    numeric: NDArray[np.float32]
    text: NDArray[np.object_]

    def feeds(self) -> dict[str, NDArray[Any]]:
        """Return the graph's inputs by name; an input without columns is left out."""
        parts: dict[str, NDArray[Any]] = {"numeric": self.numeric, "text": self.text}
        return {name: part for name, part in parts.items() if part.shape[1]}


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The ordered features that a model takes."""

    features: tuple[InputFeature, ...]

    @property
    def numeric_names(self) -> tuple[str, ...]:
        """Names of the columns of ``numeric``, in order."""
        return tuple(feature.name for feature in self.features if feature.dtype.name != "string")

    @property
    def text_names(self) -> tuple[str, ...]:
        """Names of the columns of ``text``, in order."""
        return tuple(feature.name for feature in self.features if feature.dtype.name == "string")

    def describe(self) -> list[dict[str, Any]]:
        """Return plain data for records and digests."""
        return [{"name": f.name, "dtype": str(f.dtype), "default": f.default} for f in self.features]


def parse_input_spec(described: list[dict[str, Any]]) -> InputSpec:
    """Read a specification back from `InputSpec.describe`."""
    return InputSpec(tuple(InputFeature(f["name"], parse_dtype(f["dtype"]), f["default"]) for f in described))


def assemble(spec: InputSpec, columns: Mapping[str, Column]) -> ModelInput:
    """Turn feature columns into a model's inputs.

    Numbers become float32 by IEEE rounding to nearest: timestamps as microseconds since the epoch, decimals as the
    double nearest to them first, booleans as 0 and 1.

    Parameters
    ----------
    spec
        The features, in order.
    columns
        A column for each feature by name, all of one length.

    Raises
    ------
    SemanticsError
        If a feature is absent or has another type than the specification says.
    """
    filled = [_filled(feature, columns) for feature in spec.features]
    rows = len(filled[0]) if filled else 0
    with np.errstate(over="ignore"):
        numbers = [_as_float32(of) for of in filled if of.dtype.name != "string"]
    texts = [np.where(of.nulls, NULL_TEXT, of.values) for of in filled if of.dtype.name == "string"]
    numeric = np.empty((rows, len(numbers)), dtype=np.float32)
    for position, number in enumerate(numbers):
        numeric[:, position] = number
    text = np.empty((rows, len(texts)), dtype=np.object_)
    for position, words in enumerate(texts):
        text[:, position] = words
    return ModelInput(numeric, text)


def _filled(feature: InputFeature, columns: Mapping[str, Column]) -> Column:
    if feature.name not in columns:
        raise SemanticsError(f"feature {feature.name} is not among the columns {sorted(columns)}")
    given = columns[feature.name]
    if given.dtype is not feature.dtype and given.dtype != feature.dtype:
        raise SemanticsError(f"feature {feature.name} is {given.dtype}, the model takes {feature.dtype}")
    if feature.default is None or not given.nulls.any():
        return given
    default = column(feature.dtype, [feature.default]).values[0]
    values = np.where(given.nulls, default, given.values).astype(given.values.dtype)
    return Column(given.dtype, values, np.zeros(len(given), dtype=np.bool_))


def _as_float32(of: Column) -> NDArray[np.float32]:
    values = of.values
    if of.dtype.scale:
        values = exact_quotient(values, np.full(len(of), 10**of.dtype.scale))
    narrow = values.astype(np.float32)
    narrow[of.nulls] = np.nan
    return narrow
