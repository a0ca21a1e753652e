"""What an audit found: how many values were compared, how many differ, of which feature and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.foundation.clock import format_instant
from gateway.predictionlog.completeness import WorkerState
from lifecycle.monitoring.skew_cause import Cause

EXAMPLES_PER_CAUSE = 3
"""Examples that a report shows of each feature and cause."""


@dataclass(frozen=True, slots=True)
class Example:
    """One value that was logged otherwise than history gives it.

    Attributes
    ----------
    instant_us, sequences
        t, microseconds UTC, and s by view.
    logged, recomputed
        The value as JSON has it, and the status by name where there is one.
    """

    prediction_id: str
    model: str
    version: int
    feature: str
    keys: dict[str, Any]
    instant_us: int
    sequences: dict[str, int]
    logged: tuple[Any, str | None]
    recomputed: tuple[Any, str | None]
    cause: Cause = Cause.UNKNOWN
    why: str = ""

    def describe(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "prediction_id": self.prediction_id,
            "model": self.model,
            "version": self.version,
            "feature": self.feature,
            "cause": str(self.cause),
            "why": self.why,
            "keys": self.keys,
            "instant": format_instant(self.instant_us),
            "sequences": self.sequences,
            "logged": dict(zip(("value", "status"), self.logged, strict=True)),
            "recomputed": dict(zip(("value", "status"), self.recomputed, strict=True)),
        }


@dataclass(slots=True)
class FeatureCount:
    """The comparisons of one feature."""

    compared: int = 0
    equal: int = 0
    causes: Counter[Cause] = field(default_factory=Counter)

    @property
    def mismatches(self) -> int:
        """Values that differ."""
        return self.compared - self.equal

    def describe(self) -> dict[str, Any]:
        """Return it as plain data."""
        causes = {str(cause): self.causes[cause] for cause in Cause if self.causes[cause]}
        return {"compared": self.compared, "equal": self.equal, "mismatches": self.mismatches, "causes": causes}


@dataclass(slots=True)
class BehindCount:
    """Reads of a view that had not seen what touched their key, and the prediction id of one of them."""

    example: str
    predictions: int = 0


@dataclass
class AuditReport:
    """The findings of one audit, over all models it looked at.

    Attributes
    ----------
    features
        Counts by feature.
    predictions
        Records of which values were compared.
    not_auditable
        Records that were left out, by reason: ``pending`` (s is beyond what history holds yet), ``degraded`` (answered
        without features), ``no-sequence`` (no s was logged), ``unregistered`` (of a model version that the registry
        does not have as it was logged), ``undefined`` (its feature service is no longer defined).
    behind
        By view, reads that were as of a commit before one that had touched their key a minute ago or longer; their
        values are held to the commit that they are of all the same.
    not_compared
        Features of compared records that were left out, with the reason.
    workers
        What the log has of each worker's run, whatever the scope.
    history
        Newest commit sequence that was read of each source.
    """

    features: dict[str, FeatureCount] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)
    predictions: int = 0
    not_auditable: Counter[str] = field(default_factory=Counter)
    behind: dict[str, BehindCount] = field(default_factory=dict)
    not_compared: dict[str, str] = field(default_factory=dict)
    workers: tuple[WorkerState, ...] = ()
    history: dict[str, int] = field(default_factory=dict)

    @property
    def compared(self) -> int:
        """Values compared."""
        return sum(count.compared for count in self.features.values())

    @property
    def equal(self) -> int:
        """Values that are the same bit for bit."""
        return sum(count.equal for count in self.features.values())

    @property
    def mismatches(self) -> int:
        """Values that differ."""
        return self.compared - self.equal

    @property
    def pending(self) -> int:
        """Records whose s history does not hold yet."""
        return self.not_auditable["pending"]

    @property
    def causes(self) -> Counter[Cause]:
        """Mismatches by cause."""
        total: Counter[Cause] = Counter()
        for count in self.features.values():
            total.update(count.causes)
        return total

    def within(self, tolerance: float) -> bool:
        """Tell whether no greater fraction of the compared values differs than is tolerated."""
        return self.mismatches <= tolerance * self.compared

    def count(self, feature: str, compared: int, equal: int) -> None:
        """Add comparisons of a feature."""
        found = self.features.setdefault(feature, FeatureCount())
        found.compared += compared
        found.equal += equal

    def count_behind(self, view: str, behind: NDArray[np.bool_], prediction_ids: pa.Array) -> None:
        """Add reads of a view that were behind."""
        if behind.any():
            example = prediction_ids[int(np.argmax(behind))].as_py()
            found = self.behind.setdefault(view, BehindCount(example))
            found.predictions += int(behind.sum())

    def blame(self, feature: str, cause: Cause, mismatches: int) -> None:
        """Add mismatches of a feature that have one cause; those without any are told as they were left."""
        if mismatches:
            self.features[feature].causes[cause] += mismatches

    def show(self, examples: Iterable[Example]) -> None:
        """Keep some examples of each feature and cause."""
        shown = Counter((each.feature, each.cause) for each in self.examples)
        for each in examples:
            if shown[each.feature, each.cause] < EXAMPLES_PER_CAUSE:
                shown[each.feature, each.cause] += 1
                self.examples.append(each)

    def describe(self) -> dict[str, Any]:
        """Return it as plain data, the stable shape of ``unskew audit --json``."""
        causes = self.causes
        return {
            "compared": self.compared,
            "equal": self.equal,
            "mismatches": self.mismatches,
            "pending": self.pending,
            "predictions": self.predictions,
            "by_feature": {name: count.describe() for name, count in sorted(self.features.items())},
            "by_cause": {str(cause): causes[cause] for cause in Cause if causes[cause]},
            "examples": [each.describe() for each in _in_order(self.examples)],
            "not_auditable": dict(sorted(self.not_auditable.items())),
            "behind": {view: asdict(found) for view, found in sorted(self.behind.items())},
            "not_compared": dict(sorted(self.not_compared.items())),
            "log": _completeness(self.workers),
            "history": dict(sorted(self.history.items())),
        }


def _completeness(workers: Sequence[WorkerState]) -> dict[str, Any]:
    gaps = [gap for state in workers for gap in state.gaps]
    return {
        "lost": sum(state.lost for state in workers),
        "dropped": sum(state.dropped for state in workers),
        "doubled": sum(state.doubled for state in workers),
        "broken_off": sum(state.ending == "broken off" for state in workers),
        "gaps": [asdict(gap) for gap in gaps],
    }


def _in_order(examples: Sequence[Example]) -> list[Example]:
    order = list(Cause)
    return sorted(examples, key=lambda each: (each.feature, order.index(each.cause), each.instant_us))
