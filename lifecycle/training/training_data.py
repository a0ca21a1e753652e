"""What a project's training function is handed: model inputs and target, assembled as the gateway assembles them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.semantics.model_input import ModelInput
from lifecycle.errors import LifecycleError


@dataclass(frozen=True)
class TrainingData:
    """The rows to learn from, in the spine's order.

    Attributes
    ----------
    numeric
        Shape ``(N, F)``, float32, the columns of ``numeric_names``; null is NaN.
    text
        Shape ``(N, K)``, object of ``str``, the columns of ``text_names``; null is ``"␀"``.
    target
        Shape ``(N,)``: bool for a Bool label, else float64. No nulls: rows without a matured label are left out.
    instants_us
        Shape ``(N,)``, int64: when each row asked, microseconds UTC.
    parameters
        The model's parameters.
    """

    numeric: NDArray[np.float32]
    text: NDArray[np.object_]
    numeric_names: tuple[str, ...]
    text_names: tuple[str, ...]
    target: NDArray[Any]
    instants_us: NDArray[np.int64]
    parameters: Mapping[str, Any]

    @cached_property
    def inputs(self) -> Any:
        """What to fit on: ``numeric`` or ``text`` where the other is empty, else a DataFrame of both, numbers first."""
        return joined_inputs(ModelInput(self.numeric, self.text), self.numeric_names, self.text_names)

    @property
    def numeric_columns(self) -> slice:
        """Where the numbers are in ``inputs``, for a `ColumnTransformer`."""
        return slice(0, len(self.numeric_names))

    @property
    def text_columns(self) -> slice:
        """Where the texts are in ``inputs``, for a `ColumnTransformer`."""
        return slice(len(self.numeric_names), len(self.numeric_names) + len(self.text_names))


def joined_inputs(of: ModelInput, numeric_names: tuple[str, ...], text_names: tuple[str, ...]) -> Any:
    """Return the one table that an estimator is fitted on and asked with, its columns in the ONNX graph's order."""
    if not text_names:
        return of.numeric
    if not numeric_names:
        return of.text
    pandas = _pandas()
    numbers = pandas.DataFrame(of.numeric, columns=list(numeric_names))
    texts = pandas.DataFrame(of.text, columns=list(text_names), dtype=object)
    return pandas.concat([numbers, texts], axis=1)


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError:
        raise LifecycleError(
            "a model of both numbers and texts is trained on a DataFrame, and pandas is not installed",
            mend="pip install 'unskew[train,pandas]'",
        ) from None
    return pd
