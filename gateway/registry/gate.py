"""The first gate: stated thresholds on the metrics of a model record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.registry.record import ModelRecord, Threshold


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one threshold."""

    threshold: Threshold
    value: float | None
    passed: bool

    def describe(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**self.threshold.describe(), "value": self.value, "passed": self.passed}

    def __str__(self) -> str:
        found = "is not among its metrics" if self.value is None else f"is {self.value:g}"
        return f"{self.threshold} {'holds' if self.passed else 'fails'}: it {found}"


@dataclass(frozen=True, slots=True)
class GateReport:
    """The gate's answer for one version.

    ``passed`` holds if there is at least one threshold and all hold: no verdict, no promotion.
    """

    model: str
    version: int
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether the version may be promoted without an override."""
        return bool(self.verdicts) and all(verdict.passed for verdict in self.verdicts)

    @property
    def objections(self) -> tuple[str, ...]:
        """Why not, one sentence each; empty if it passed."""
        if not self.verdicts:
            return ("its record states no threshold, so there is no verdict",)
        return tuple(str(verdict) for verdict in self.verdicts if not verdict.passed)

    def describe(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "model": self.model,
            "version": self.version,
            "passed": self.passed,
            "verdicts": [verdict.describe() for verdict in self.verdicts],
        }


def judge(record: ModelRecord) -> GateReport:
    """Hold a record's metrics against its own thresholds; a metric that is missing fails."""
    verdicts = tuple(
        Verdict(each, record.metrics.get(each.metric), each.holds(record.metrics.get(each.metric)))
        for each in record.thresholds
    )
    return GateReport(record.model, record.version, verdicts)
