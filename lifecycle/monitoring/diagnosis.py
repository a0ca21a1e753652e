"""Find the cause of each mismatch: a bounded number looked into one by one, the rest held to what that found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lifecycle.monitoring.audit_report import AuditReport, Example
from lifecycle.monitoring.other_mismatches import OtherMismatches
from lifecycle.monitoring.skew_cause import Evidence, Finding, decide
from lifecycle.monitoring.skew_evidence import Examiner
from lifecycle.monitoring.view_history import ViewAsked

EXAMINED_PER_FEATURE = 64
"""Mismatches of a feature that are looked into one by one."""

MakeExample = Callable[[int, str], Example]
"""Makes the example of a row and a feature."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A record that was looked into: the evidence, and the values of it that differ."""

    evidence: Evidence
    examples: Sequence[Example]


class Diagnosis:
    """Gather evidence while the log is read, and judge it at the end.

    Parameters
    ----------
    report
        Where causes and examples go.
    """

    def __init__(self, report: AuditReport) -> None:
        self.report = report
        self._left: dict[str, int] = {}
        self._examined: list[Examined] = []
        self._others = OtherMismatches()

    def add(
        self,
        examiner: Examiner,
        asked: ViewAsked,
        names: Sequence[str],
        wrong: Mapping[str, NDArray[np.bool_]],
        example: MakeExample,
    ) -> None:
        """Take the mismatches of one view in some records.

        Parameters
        ----------
        names
            The view's features that are held to the evidence.
        wrong
            Which rows differ, by feature: the view's, and request features that differ because of the view.
        """
        rows = np.flatnonzero(np.logical_or.reduce(list(wrong.values())))
        picked = self._pick(wrong)
        for at, evidence in zip(picked.tolist(), examiner.examine(asked.take(picked), names), strict=True):
            self._examined.append(Examined(evidence, [example(at, name) for name in wrong if wrong[name][at]]))
        rest = np.setdiff1d(rows, picked)
        if len(rest):
            others = {name: mask[rest] for name, mask in wrong.items()}
            self._others.add(examiner, asked.take(rest), names, others, self._judged())

    def finish(self) -> None:
        """Judge what was gathered, and report every mismatch with its cause."""
        for each, (_, finding) in zip(self._examined, self._judged(), strict=True):
            for example in each.examples:
                self.report.blame(example.feature, finding.cause, 1)
            self.report.show(replace(example, cause=finding.cause, why=finding.why) for example in each.examples)
        self._others.report(self.report, self._judged())

    def _judged(self) -> list[tuple[Evidence, Finding]]:
        evidence = [each.evidence for each in self._examined]
        return list(zip(evidence, decide(evidence), strict=True))

    def _pick(self, wrong: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.int64]:
        """Choose rows, spread evenly, so that each feature has some of its own as long as its number lasts."""
        chosen = np.zeros(0, dtype=np.int64)
        for name, mask in wrong.items():
            left = self._left.setdefault(name, EXAMINED_PER_FEATURE)
            more = np.setdiff1d(np.flatnonzero(mask), chosen)
            wanted = min(len(more), max(0, left - int(mask[chosen].sum())))
            if wanted:
                spread = np.linspace(0, len(more) - 1, wanted).astype(np.int64)
                chosen = np.append(chosen, more[np.unique(spread)])
        for name, mask in wrong.items():
            self._left[name] -= int(mask[chosen].sum())
        return np.sort(chosen)
