"""Find the cause of each mismatch: a bounded number looked into one by one, the rest held to what that found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lifecycle.monitoring.audit_report import AuditReport, Example
from lifecycle.monitoring.skew_cause import Cause, Evidence, Finding, decide
from lifecycle.monitoring.skew_evidence import Examiner, fixed_shifts
from lifecycle.monitoring.view_history import ViewAsked

EXAMINED_PER_FEATURE = 64
"""Mismatches of a feature that are looked into one by one."""
SHIFTS_FOR_ALL = 2
"""Shifts, of those found, that every other mismatch of the view is held to."""

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
        self._rest: Counter[tuple[str, str, str | None]] = Counter()

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
        self._add_rest(examiner, asked, names, wrong, np.setdiff1d(rows, picked))

    def finish(self) -> None:
        """Judge what was gathered, and report every mismatch with its cause."""
        findings = decide([each.evidence for each in self._examined])
        for each, finding in zip(self._examined, findings, strict=True):
            for example in each.examples:
                self.report.blame(example.feature, finding.cause, 1)
            self.report.show(replace(example, cause=finding.cause, why=finding.why) for example in each.examples)
        upheld = _upheld(self._examined, findings)
        for (view, feature, shift), count in self._rest.items():
            late = (view, shift) in upheld
            self.report.blame(feature, Cause.LATE_SCHEDULE if late else Cause.UNEXAMINED, count)

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

    def _add_rest(
        self,
        examiner: Examiner,
        asked: ViewAsked,
        names: Sequence[str],
        wrong: Mapping[str, NDArray[np.bool_]],
        rest: NDArray[np.int64],
    ) -> None:
        """Count the rows that were not looked into by the found shift that explains them, ``None`` for none."""
        view = examiner.view_name
        for name, shift_us in self._likely_shifts(view):
            if len(rest):
                fits = examiner.shifted(asked.take(rest), shift_us, names)
                self._count(view, wrong, rest[fits], name)
                rest = rest[~fits]
        self._count(view, wrong, rest, None)

    def _count(
        self, view: str, wrong: Mapping[str, NDArray[np.bool_]], rows: NDArray[np.int64], shift: str | None
    ) -> None:
        for feature, mask in wrong.items():
            self._rest[view, feature, shift] += int(mask[rows].sum())

    def _likely_shifts(self, view: str) -> list[tuple[str, int]]:
        fixed = {shift.name: shift.shift_us for shift in fixed_shifts()}
        seen = Counter(
            shift.name
            for each in self._examined
            if each.evidence.group[0] == view
            for shift in each.evidence.shifts
            if shift.name in fixed
        )
        return [(name, fixed[name]) for name, _ in seen.most_common(SHIFTS_FOR_ALL)]


def _upheld(examined: Sequence[Examined], findings: Sequence[Finding]) -> set[tuple[str, str | None]]:
    """Return view and shift of what was found to be late."""
    return {
        (each.evidence.group[0], finding.shift)
        for each, finding in zip(examined, findings, strict=True)
        if finding.shift is not None
    }
