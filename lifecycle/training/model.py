"""A model as a project defines it: what it learns from, how, who answers for it, when it may be promoted."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from featurestore.definitions import FeatureService, Label
from featurestore.definitions.definition import construction_site
from featurestore.foundation.canonical import canonical_bytes
from featurestore.foundation.clock import parse_instant
from featurestore.foundation.errors import ClockError
from gateway.registry.record import Threshold
from lifecycle.errors import ModelDefinitionError
from lifecycle.training.training_data import TrainingData

Train = Callable[[TrainingData], Any]

METRICS = {
    "classification": ("roc_auc", "log_loss", "brier", "accuracy", "positive_fraction"),
    "regression": ("rmse", "mae", "r2"),
}
"""What is measured on the held-out rows: of a Bool label, and of a numeric one."""

DEFAULT_HOLDOUT_FRACTION = 0.2

_EXAMPLE = 'Threshold("roc_auc", at_least=0.7)'
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Model:
    """What `unskew train` makes.

    Parameters
    ----------
    name
        A lower-case letter, then up to 62 letters, digits or ``_``.
    service, label
        The feature service it reads and the label it predicts: the objects, or their names.
    train
        Called with a `TrainingData`; returns a fitted scikit-learn estimator, which is exported to ONNX.
    owner
        Who answers for it, and is asked when it fails.
    parameters
        Plain data, handed to ``train`` and kept in the model's record.
    holdout_fraction, holdout_from
        The latest rows are held out of training and judge the model: this share of them (0.2 if neither is given), or
        those from this instant on. Training rows whose label was not known by then are purged.
    thresholds
        Bounds on the metrics, without which there is no promotion: see `METRICS`.
    description
        What the model is for.

    Attributes
    ----------
    site
        ``file:line`` where it was constructed, or ``None`` if there is no such file.
    """

    name: str
    _: KW_ONLY
    service: str | FeatureService
    label: str | Label
    train: Train
    owner: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    holdout_fraction: float | None = None
    holdout_from: str | None = None
    thresholds: Iterable[Threshold] = ()
    description: str = ""
    site: str | None = field(init=False, default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "site", construction_site(__name__))
        if self.holdout_fraction is None and self.holdout_from is None:
            object.__setattr__(self, "holdout_fraction", DEFAULT_HOLDOUT_FRACTION)
        self._check_texts()
        if not callable(self.train):
            raise self._wrong(f"train is {self.train!r}", "give a function of one TrainingData, without calling it")
        self._check_parameters()
        self._check_holdout()
        self._check_thresholds()

    @property
    def service_name(self) -> str:
        """The name of the feature service it reads."""
        return self.service if isinstance(self.service, str) else self.service.name

    @property
    def label_name(self) -> str:
        """The name of the label it predicts."""
        return self.label if isinstance(self.label, str) else self.label.name

    @property
    def holdout_from_us(self) -> int | None:
        """``holdout_from`` in microseconds UTC."""
        return None if self.holdout_from is None else parse_instant(self.holdout_from)

    def _check_texts(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ModelDefinitionError(
                f"{self.name!r} cannot name a model",
                where="Model",
                mend="use a lower-case letter, then at most 62 letters, digits or _, as in next_week_spend",
            )
        if not isinstance(self.owner, str) or not self.owner.strip():
            raise self._wrong("it has no owner", 'state who answers for it: owner="team@example.org"')
        wanted: dict[str, type] = {"service": FeatureService, "label": Label}
        for kind, of in wanted.items():
            value = getattr(self, kind)
            if not isinstance(value, str | of) or not value:
                raise self._wrong(f"{kind} is {value!r}", f"give the {kind} of features.py, or its name")

    def _check_parameters(self) -> None:
        if not isinstance(self.parameters, Mapping):
            raise self._wrong(f"parameters are {self.parameters!r}", 'give a dict, as in {"trees": 40}')
        try:
            canonical_bytes(dict(self.parameters))
        except (TypeError, ValueError) as error:
            raise self._wrong(
                f"its parameters are not plain data: {error}", "keep to None, bool, int, str, finite float, list, dict"
            ) from None

    def _check_holdout(self) -> None:
        fraction, start = self.holdout_fraction, self.holdout_from
        if fraction is not None and start is not None:
            raise self._wrong("it has both holdout_fraction and holdout_from", "keep one of them")
        if fraction is not None and not (_is_number(fraction) and 0 < fraction < 1):
            raise self._wrong(f"holdout_fraction is {fraction!r}", "give a share between 0 and 1, as 0.2")
        if start is not None:
            try:
                parse_instant(start)
            except (ClockError, TypeError) as error:
                raise self._wrong(f"holdout_from is {start!r}: {error}", "write it as 2017-11-01T00:00:00Z") from None

    def _check_thresholds(self) -> None:
        if isinstance(self.thresholds, str | Mapping) or not isinstance(self.thresholds, Iterable):
            raise self._wrong(
                f"thresholds are {self.thresholds!r}", 'give a list of Threshold("roc_auc", at_least=0.7)'
            )
        object.__setattr__(self, "thresholds", tuple(self.thresholds))
        known = [name for names in METRICS.values() for name in names]
        for threshold in self.thresholds:
            if not isinstance(threshold, Threshold):
                raise self._wrong(f"threshold {threshold!r} is none", f"write {_EXAMPLE}")
            if threshold.metric not in known:
                near = difflib.get_close_matches(threshold.metric, known, n=1)
                raise self._wrong(
                    f"threshold on {threshold.metric!r}, which is not measured",
                    f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(known)}",
                )

    def _wrong(self, what: str, mend: str) -> ModelDefinitionError:
        return ModelDefinitionError(what, where=f"Model {self.name}", mend=mend)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
