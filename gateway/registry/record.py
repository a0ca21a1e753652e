"""What is known of one version of a model: the record that every prediction names by its hash."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from featurestore.foundation.canonical import canonical_bytes, digest
from gateway.errors import RecordRefused

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A bound that a metric must keep for its model to be promoted, both ends included."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        bounds = [bound for bound in (self.at_least, self.at_most) if bound is not None]
        if not bounds or not all(math.isfinite(bound) for bound in bounds):
            raise RecordRefused(
                f"threshold on {self.metric!r} has no finite bound",
                mend=f'write Threshold("{self.metric}", at_least=0.7) or at_most=',
            )

    def holds(self, value: float | None) -> bool:
        """Tell whether ``value`` is within; a metric that is not there does not hold."""
        above = self.at_least is None or (value is not None and value >= self.at_least)
        below = self.at_most is None or (value is not None and value <= self.at_most)
        return value is not None and above and below

    def describe(self) -> dict[str, Any]:
        """Return it as plain data, with the bounds that are set."""
        bounds = {"at_least": self.at_least, "at_most": self.at_most}
        return {"metric": self.metric, **{name: bound for name, bound in bounds.items() if bound is not None}}

    def __str__(self) -> str:
        parts = [f"at least {self.at_least:g}"] if self.at_least is not None else []
        parts += [f"at most {self.at_most:g}"] if self.at_most is not None else []
        return f"{self.metric} {' and '.join(parts)}"


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """One version of a model, for good.

    A training run hands a record with the defaults for ``version``, ``artifact_digest`` and ``created_at_us``; the
    registry returns it with them filled in.

    Attributes
    ----------
    model
        The model's name: a letter, then up to 62 letters, digits, ``_`` or ``-``.
    owner
        Who answers for it; not blank.
    service, service_digest, catalog_digest
        The feature service the model reads, its transitive digest, and that of the whole definition set.
    input_spec
        ``InputSpec.describe()`` of the service: names, types and defaults of the model's inputs, in order.
    outputs
        Names of the ONNX graph's outputs, in order.
    missing
        The service's missing-feature policy: ``null``, ``refuse`` or ``default``.
    label, label_digest, training_set_digest, training_rows, holdout_rows
        What it learnt to predict, and from what.
    metrics
        Finite figures on the held-out rows.
    thresholds
        The bounds on metrics that its gate will judge.
    parameters, code_commit, code_dirty, libraries
        What the run was started with; ``code_commit`` is ``None`` outside a repository.
    version
        1 for the first of a model and so on; 0 while not registered.
    artifact_digest
        SHA-256 of the ONNX bytes.
    created_at_us
        When it was registered, microseconds UTC.
    """

    model: str
    owner: str
    service: str
    service_digest: str
    catalog_digest: str
    input_spec: Any
    outputs: tuple[str, ...]
    missing: str
    label: str
    label_digest: str
    training_set_digest: str
    training_rows: int
    holdout_rows: int
    metrics: Mapping[str, float]
    thresholds: tuple[Threshold, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    code_commit: str | None = None
    code_dirty: bool = False
    libraries: Mapping[str, str] = field(default_factory=dict)
    version: int = 0
    artifact_digest: str = ""
    created_at_us: int = 0

    def __post_init__(self) -> None:
        _check_name(self.model)
        _check_owner(self.model, self.owner)
        _check_metrics(self.model, self.metrics)
        self._check_plain()

    def describe(self) -> dict[str, Any]:
        """Return it as plain data, the inverse of `from_description`."""
        description = {each.name: getattr(self, each.name) for each in fields(self)}
        return description | {
            "outputs": list(self.outputs),
            "metrics": dict(self.metrics),
            "thresholds": [threshold.describe() for threshold in self.thresholds],
            "parameters": dict(self.parameters),
            "libraries": dict(self.libraries),
        }

    @cached_property
    def record_hash(self) -> str:
        """SHA-256 of the canonical description: what a logged prediction names."""
        return digest(self.describe())

    @cached_property
    def content_digest(self) -> str:
        """SHA-256 of all but version and instant: equal for two registrations of the same run."""
        return digest(replace(self, version=0, created_at_us=0).describe())

    def _check_plain(self) -> None:
        try:
            canonical_bytes(self.describe())
        except (TypeError, ValueError) as error:
            raise RecordRefused(
                f"the record holds what is not plain data: {error}",
                where=f"model {self.model}",
                mend="keep parameters, metrics and input_spec to None, bool, int, str, finite float, list and dict",
            ) from error


def from_description(description: Mapping[str, Any]) -> ModelRecord:
    """Make a record from its plain data, the inverse of `ModelRecord.describe`."""
    return ModelRecord(
        **{
            **description,
            "outputs": tuple(description["outputs"]),
            "thresholds": thresholds_from(description["thresholds"]),
        }
    )


def thresholds_from(descriptions: Iterable[Mapping[str, Any]]) -> tuple[Threshold, ...]:
    """Make thresholds from plain data such as ``[{"metric": "roc_auc", "at_least": 0.7}]``."""
    return tuple(Threshold(**description) for description in descriptions)


def _check_name(model: str) -> None:
    if not _NAME.fullmatch(model):
        raise RecordRefused(
            f"{model!r} cannot name a model",
            mend="use a letter, then at most 62 letters, digits, _ or -, as in next_week_spend",
        )


def _check_owner(model: str, owner: str) -> None:
    if not owner.strip():
        raise RecordRefused("no owner is named", where=f"model {model}", mend='state owner="team@example.org"')


def _check_metrics(model: str, metrics: Mapping[str, float]) -> None:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise RecordRefused(
                f"metric {name!r} is {value}",
                where=f"model {model}",
                mend="report finite metrics only: leave it out, or find why it could not be computed",
            )
