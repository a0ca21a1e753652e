"""Hold the records of one model version against history: recompute, compare, hand what differs to the diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import FeatureService, FeatureView, RequestFeature
from featurestore.semantics.value import Column, identical
from gateway.registry.record import ModelRecord
from lifecycle.monitoring.audit_report import EXAMPLES_PER_CAUSE, AuditReport
from lifecycle.monitoring.comparison import Comparison, Masks
from lifecycle.monitoring.diagnosis import Diagnosis
from lifecycle.monitoring.logged_rows import NO_SEQUENCE, LoggedRows
from lifecycle.monitoring.skew_cause import Cause
from lifecycle.monitoring.skew_evidence import Examiner
from lifecycle.monitoring.view_history import ViewAsked, ViewHistory, ViewValues


@dataclass(frozen=True, slots=True)
class AuditedView:
    """A view's history, and who looks into what differs from it."""

    history: ViewHistory
    examiner: Examiner


class ModelAudit:
    """Audit the records of one model version.

    Parameters
    ----------
    service
        The model's feature service as it is in force.
    views
        By the name of each view of the service.
    changed
        What is no longer as the model learnt it, by feature.
    diagnosis
        Finds the causes; its report is the one that is written.
    """

    def __init__(
        self,
        record: ModelRecord,
        service: FeatureService,
        views: Mapping[str, AuditedView],
        *,
        changed: Mapping[str, str],
        diagnosis: Diagnosis,
    ) -> None:
        self._record = record
        self._service = service
        self._views = views
        self._changed = changed
        self._diagnosis = diagnosis
        self._report: AuditReport = diagnosis.report

    def add(self, rows: LoggedRows) -> None:
        """Compare some records, those left out that cannot be recomputed."""
        kept = self._auditable(rows)
        rows = rows if len(kept) == len(rows) else rows.take(kept)
        if len(rows):
            self._report.predictions += len(rows)
            self._compare(rows)

    def _auditable(self, rows: LoggedRows) -> NDArray[np.int64]:
        """Return the records whose s is in history, and count why others are left out."""
        none = np.zeros(len(rows), dtype=np.bool_)
        views = [name for name in self._views if name in rows.sequences]
        later = [rows.sequences[name] > self._views[name].history.newest for name in views]
        absent = [rows.sequences[name] == NO_SEQUENCE for name in views]
        kept = ~none
        for reason, mask in (
            ("unregistered", rows.record_hashes.to_numpy(zero_copy_only=False) != self._record.record_hash),
            ("degraded", rows.degraded),
            ("no-sequence", np.logical_or.reduce([none, *absent])),
            ("pending", np.logical_or.reduce([none, *later])),
        ):
            self._report.not_auditable[reason] += int((kept & mask).sum())
            kept &= ~mask
        return np.flatnonzero(kept)

    def _compare(self, rows: LoggedRows) -> None:
        compared = self._recomputed(rows)
        for name in compared.columns:
            if name not in rows.features:
                self._report.not_compared[name] = "it is not in the log: it was defined later"
                continue
            same = compared.same(name)
            self._report.count(name, len(rows), int(same.sum()))
            if not same.all():
                compared.wrong[name] = ~same
        if compared.wrong:
            self._explain(compared)

    def _recomputed(self, rows: LoggedRows) -> Comparison:
        """Return the values of every view at each record's (key, t, s), and what follows from them and the request."""
        columns: dict[str, Column] = {}
        statuses: dict[str, NDArray[np.uint8]] = {}
        for view in self._service.views:
            if view.name in rows.sequences and view.entity.name in rows.keys:
                keys, sequences = rows.keys[view.entity.name], rows.sequences[view.name]
                history = self._views[view.name].history
                values = history.values_at(keys, rows.instants_us, sequences)
                self._report.count_behind(
                    view.name, history.behind(keys, rows.instants_us, sequences), rows.prediction_ids
                )
                for ref in self._service.refs_of(view):
                    columns[ref.name] = values.columns[ref.feature.name]
                    statuses[ref.name] = values.statuses[ref.feature.name]
        return Comparison(self._record, rows, columns | self._computed(columns, rows), statuses)

    def _computed(self, features: Mapping[str, Column], rows: LoggedRows) -> dict[str, Column]:
        """Return the request features among the service's outputs that can be computed from these."""
        known = {**features, **rows.requests}
        for feature in self._service.request_features:
            if all(given.name in known and known[given.name].dtype == given.dtype for given in feature.inputs):
                known[feature.name] = feature.evaluate(known, len(rows))
        outputs = [out.name for out in self._service.outputs if isinstance(out.source, RequestFeature)]
        return {name: known[name] for name in outputs if name in known}

    def _explain(self, compared: Comparison) -> None:
        for name in [name for name in compared.wrong if name in self._changed]:
            self._settle(compared, name, compared.wrong.pop(name), Cause.DEFINITION_CHANGED, self._changed[name])
        inherited = self._inherited(compared)
        for view in self._service.views:
            refs = [ref for ref in self._service.refs_of(view) if ref.name in compared.rows.features]
            names = [ref.feature.name for ref in refs if ref.name not in self._changed]
            own = {f"{view.name}.{name}" for name in names}
            wrong = {name: mask for name, mask in compared.wrong.items() if name in own} | inherited.get(view.name, {})
            if wrong:
                examiner = self._views[view.name].examiner
                self._diagnosis.add(examiner, _asked(view, names, compared.rows), names, wrong, compared.example)

    def _inherited(self, compared: Comparison) -> dict[str, Masks]:
        """Part the request features that differ by the view whose values make them differ; settle the others."""
        by_view: dict[str, Masks] = {}
        own = self._computed(compared.rows.features, compared.rows)
        for name in [name for name in compared.wrong if name not in compared.statuses]:
            left = compared.wrong.pop(name)
            if name in own:
                itself = left & ~identical(own[name], compared.rows.features[name])
                told = "its function gives another value on the inputs that were logged"
                self._settle(compared, name, itself, Cause.UNKNOWN, told)
                left = left & ~itself
            for view in self._service.views:
                refs = [ref.name for ref in self._service.refs_of(view) if ref.name in compared.wrong]
                mask = left & np.logical_or.reduce([np.zeros_like(left), *(compared.wrong[ref] for ref in refs)])
                by_view.setdefault(view.name, {}).update({name: mask} if mask.any() else {})
                left = left & ~mask
            self._settle(compared, name, left, Cause.UNKNOWN, "its inputs are as they were logged, one by one")
        return by_view

    def _settle(self, compared: Comparison, name: str, mask: NDArray[np.bool_], cause: Cause, why: str) -> None:
        """Report mismatches whose cause needs no examination."""
        self._report.blame(name, cause, int(mask.sum()))
        shown = np.flatnonzero(mask)[:EXAMPLES_PER_CAUSE].tolist()
        self._report.show(compared.example(at, name, cause=cause, why=why) for at in shown)


def _asked(view: FeatureView, names: list[str], rows: LoggedRows) -> ViewAsked:
    full = {name: f"{view.name}.{name}" for name in names}
    columns = {name: rows.features[long] for name, long in full.items()}
    statuses = {name: rows.statuses[long] for name, long in full.items() if long in rows.statuses}
    values = ViewValues(columns, statuses)
    return ViewAsked(rows.keys[view.entity.name], rows.instants_us, rows.sequences[view.name], values)
