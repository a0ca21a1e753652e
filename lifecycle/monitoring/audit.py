"""The audit: every logged feature value recomputed from history at its (t, s), and compared bit for bit (law 1).

Serving and history end in the same few pure functions, so a difference means that something between them went wrong,
and the audit says what: see `Cause`. It reads the log piece by piece; what it holds in memory is one piece, and the
rows of the views concerned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from featurestore.catalog.applied import AppliedCatalog
from featurestore.catalog.catalog import Catalog
from featurestore.definitions import FeatureService, FeatureView
from featurestore.definitions.definition import nearest
from featurestore.offline.base import OfflineStore
from featurestore.online.base import OnlineStore
from gateway.errors import ModelUnknown
from gateway.predictionlog.reader import PredictionReader
from gateway.registry.record import ModelRecord
from gateway.registry.registry import Registry
from lifecycle.errors import AuditRefused
from lifecycle.monitoring.audit_report import AuditReport
from lifecycle.monitoring.definition_change import changed_features
from lifecycle.monitoring.diagnosis import Diagnosis
from lifecycle.monitoring.logged_rows import in_pieces, logged_rows, sampled, wanted_columns
from lifecycle.monitoring.model_audit import AuditedView, ModelAudit
from lifecycle.monitoring.skew_evidence import EventName, Examiner
from lifecycle.monitoring.stored_row import StoredRows
from lifecycle.monitoring.view_history import ViewHistory

PIECE_VALUES = 2_000_000
"""Logged values that are compared at a time."""
LEAST_PIECE_ROWS = 16_384

Progress = Callable[[str, int], None]
"""Told the model and how many of its records have been looked at."""


@dataclass(frozen=True, slots=True)
class AuditScope:
    """Which records to audit.

    Attributes
    ----------
    since_us, until_us
        Records with ``since <= t < until``, microseconds UTC; ``None`` for no bound.
    models
        By name; ``None`` for all that are in the log.
    sample
        The fraction of the records, chosen by their prediction id.
    """

    since_us: int | None = None
    until_us: int | None = None
    models: tuple[str, ...] | None = None
    sample: float = 1.0


@dataclass(frozen=True, slots=True)
class AuditInputs:
    """What an audit reads.

    Attributes
    ----------
    catalog, applied
        The definitions in force, and all sets that were ever applied.
    online
        The online store, ``None`` if it is not to be looked at.
    retention_us
        How long after it happened serving knows an event of a view's source; ``None`` where its stream is not open.
    event_name
        How an event is told of.
    """

    log: PredictionReader
    registry: Registry
    catalog: Catalog
    applied: Sequence[AppliedCatalog]
    offline: OfflineStore
    online: OnlineStore | None
    retention_us: Callable[[FeatureView], int | None]
    event_name: EventName


def audit(inputs: AuditInputs, scope: AuditScope, progress: Progress | None = None) -> AuditReport:
    """Compare the logged feature values of the records in scope with history.

    Raises
    ------
    AuditRefused
        If nothing was logged of a model that is named.
    OfflineStoreError
        If history cannot be read.
    DefinitionError
        If a request feature's function fails.
    """
    run = _Run(inputs, scope, progress or _silent)
    for model in _models(inputs.log, scope.models):
        for version in inputs.log.versions(model):
            run.add(model, version)
    return run.finish()


class _Run:
    """One audit on its way."""

    def __init__(self, inputs: AuditInputs, scope: AuditScope, progress: Progress) -> None:
        self._inputs = inputs
        self._scope = scope
        self._progress = progress
        self._report = AuditReport()
        self._diagnosis = Diagnosis(self._report)
        self._views: dict[FeatureView, AuditedView] = {}

    def add(self, model: str, version: int) -> None:
        """Audit one version."""
        record = self._record(model, version)
        service = None if record is None else self._inputs.catalog.services.get(record.service)
        if record is None or service is None:
            reason = "unregistered" if record is None else "undefined"
            batches = self._batches(model, version, ["instant"])
            self._report.not_auditable[reason] += sum(batch.num_rows for batch in batches)
            return
        changed = changed_features(service, record, self._inputs.catalog, self._inputs.applied)
        views = {view.name: self._view(view) for view in service.views}
        audited = ModelAudit(record, service, views, changed=changed, diagnosis=self._diagnosis)
        done = 0
        for piece in self._pieces(model, version, service):
            done += piece.num_rows
            audited.add(logged_rows(sampled(piece, self._scope.sample)))
            self._progress(f"{model} {version}", done)

    def finish(self) -> AuditReport:
        """Judge what was gathered, and return the report."""
        self._diagnosis.finish()
        self._report.workers = self._inputs.log.workers()
        self._report.not_auditable = +self._report.not_auditable
        return self._report

    def _record(self, model: str, version: int) -> ModelRecord | None:
        try:
            return self._inputs.registry.get(model, version)
        except ModelUnknown:
            return None

    def _view(self, view: FeatureView) -> AuditedView:
        """Return a view's history, read once for all models that use it."""
        found = self._views.get(view)
        if found is None:
            inputs = self._inputs
            history = ViewHistory(view, inputs.offline)
            stored = None if inputs.online is None else StoredRows(view, inputs.online)
            examiner = Examiner(history, stored, inputs.retention_us(view), inputs.event_name)
            found = self._views[view] = AuditedView(history, examiner)
            self._report.history[view.source.name] = history.newest
        return found

    def _pieces(self, model: str, version: int, service: FeatureService) -> Iterator[pa.Table]:
        logged = self._inputs.log.schema(model, version).names
        wanted = wanted_columns(service)
        columns = [name for name in wanted if name in logged]
        for name in set(logged) - set(wanted):
            if name.startswith("feature."):
                self._report.not_compared[name.removeprefix("feature.")] = "it was logged, and is no longer defined"
        rows = max(LEAST_PIECE_ROWS, PIECE_VALUES // (len(service.refs) + len(service.request_features)))
        yield from in_pieces(self._batches(model, version, columns), rows)

    def _batches(self, model: str, version: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        since_us, until_us = self._scope.since_us, self._scope.until_us
        return self._inputs.log.batches(model, version, since_us=since_us, until_us=until_us, columns=columns)


def _models(log: PredictionReader, named: tuple[str, ...] | None) -> tuple[str, ...]:
    logged = log.models()
    for name in named or ():
        if name not in logged:
            raise AuditRefused(f"nothing was logged of model {name!r}", where="--model", mend=nearest(name, logged))
    return logged if named is None else named


def _silent(what: str, done: int) -> None:
    """Tell nobody."""
