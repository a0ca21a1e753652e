"""Mismatches that were not looked into one by one: counted by what was found for others and explains them too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lifecycle.monitoring.audit_report import AuditReport
from lifecycle.monitoring.skew_cause import Cause, Evidence, Finding
from lifecycle.monitoring.skew_evidence import Examiner, fixed_shifts
from lifecycle.monitoring.view_history import ViewAsked

SHIFTS = 2
"""Shifts, of those found, that every other mismatch of the view is held to."""
KEYS = 32
"""Keys with a cause of their own whose other mismatches are held to it, of one view at a time."""

Judged = Iterable[tuple[Evidence, Finding]]
Explanation = tuple[str, object]
"""What explains a mismatch: a view, and the shift or the entity key."""


class OtherMismatches:
    """Count mismatches by what explains them, as far as is known when they are read."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Explanation | None]] = Counter()

    def add(
        self,
        examiner: Examiner,
        asked: ViewAsked,
        names: Sequence[str],
        wrong: Mapping[str, NDArray[np.bool_]],
        judged: Judged,
    ) -> None:
        """Count the mismatches of some rows of one view.

        Parameters
        ----------
        names
            The features that are held to an explanation.
        wrong
            Which rows differ, by feature.
        judged
            What was looked into so far.
        """
        view = examiner.view_name
        of_view = [(evidence, finding) for evidence, finding in judged if evidence.group[0] == view]
        left = np.arange(len(asked))
        for key, finding in _by_key(of_view):
            rows = left[_has_key(asked, key)[left]]
            if len(rows):
                fits = rows[examiner.fits(asked.take(rows), finding, names)]
                left = self._count(wrong, left, fits, (view, key))
        for shift_us, name in _shifts(of_view):
            fits = left[examiner.shifted(asked.take(left), shift_us, names)] if len(left) else left
            left = self._count(wrong, left, fits, (view, name))
        self._count(wrong, left, left, None)

    def report(self, to: AuditReport, judged: Judged) -> None:
        """Report all with the cause of what explains them, if that was the judgement in the end."""
        causes: dict[Explanation | None, Cause] = {}
        for evidence, finding in judged:
            view, key = evidence.group
            causes[view, key if finding.shift is None else finding.shift] = finding.cause
        for (feature, explanation), count in self._counts.items():
            to.blame(feature, causes.get(explanation, Cause.UNEXAMINED), count)

    def _count(
        self,
        wrong: Mapping[str, NDArray[np.bool_]],
        left: NDArray[np.int64],
        rows: NDArray[np.int64],
        explanation: Explanation | None,
    ) -> NDArray[np.int64]:
        """Count rows as explained, and return those that are left."""
        for feature, mask in wrong.items():
            self._counts[feature, explanation] += int(mask[rows].sum())
        return np.setdiff1d(left, rows)


def _by_key(judged: Judged) -> list[tuple[object, Finding]]:
    """Return keys whose mismatches have a cause of the key's own, the latest found."""
    own = (Cause.BEYOND_RETENTION, Cause.MISSING_EVENT, Cause.STORED_ROW)
    found = {evidence.group[1]: finding for evidence, finding in judged if finding.cause in own}
    return list(found.items())[-KEYS:]


def _shifts(judged: Judged) -> list[tuple[int, str]]:
    fixed = {shift.name: shift.shift_us for shift in fixed_shifts()}
    seen = Counter(finding.shift for _, finding in judged if finding.shift in fixed)
    return [(fixed[name], name) for name, _ in seen.most_common(SHIFTS) if name is not None]


def _has_key(asked: ViewAsked, key: object) -> NDArray[np.bool_]:
    return np.asarray(asked.keys.values == key, dtype=np.bool_)
