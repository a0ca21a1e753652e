"""A training set turned into the arrays that a run splits, trains on and judges by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.retrieval.training_set import TrainingSet
from featurestore.semantics.arrow_column import arrow_type, from_arrow
from featurestore.semantics.model_input import ModelInput, assemble
from featurestore.semantics.value import Column, Timestamp
from lifecycle.errors import TrainingRefused
from lifecycle.training.training_data import TrainingData


@dataclass(frozen=True)
class TrainingTable:
    """A training set as arrays: model inputs, target, instants, all of one length."""

    inputs: ModelInput
    target: Column
    instants_us: NDArray[np.int64]
    numeric_names: tuple[str, ...]
    text_names: tuple[str, ...]

    @classmethod
    def of(cls, rows: TrainingSet, where: str) -> TrainingTable:
        """Assemble a training set's columns as the gateway assembles a request's.

        Raises
        ------
        TrainingRefused
            If the set has no label.
        """
        label = rows.label
        if label is None:
            raise TrainingRefused("the training set has no label", where=where, mend="build it with the model's label")
        spec = rows.service.input_spec
        return cls(assemble(spec, rows.columns), label, _instants(rows), spec.numeric_names, spec.text_names)

    @property
    def classifier(self) -> bool:
        """Whether the label is a Bool, so that a probability is learnt."""
        return self.target.dtype.name == "bool"

    def part(self, chosen: NDArray[np.bool_]) -> ModelInput:
        """Return the inputs of the chosen rows."""
        return ModelInput(self.inputs.numeric[chosen], self.inputs.text[chosen])

    def answers(self, chosen: NDArray[np.bool_]) -> NDArray[Any]:
        """Return the targets of the chosen rows, none of which may be null: bool, or float64."""
        values = self.target.values[chosen]
        if self.classifier:
            return values.astype(np.bool_)
        return values.astype(np.float64) / 10.0 ** (self.target.dtype.scale or 0)

    def data(self, chosen: NDArray[np.bool_], parameters: Mapping[str, Any]) -> TrainingData:
        """Return the chosen rows as the training function sees them."""
        part = self.part(chosen)
        return TrainingData(
            numeric=part.numeric,
            text=part.text,
            numeric_names=self.numeric_names,
            text_names=self.text_names,
            target=self.answers(chosen),
            instants_us=self.instants_us[chosen],
            parameters=parameters,
        )


def _instants(rows: TrainingSet) -> NDArray[np.int64]:
    """Return when each row of the spine asked, microseconds UTC."""
    column = rows.table.column(rows.record["timestamp_column"]).cast(arrow_type(Timestamp))
    return from_arrow(column, Timestamp).values
