"""Audit a project: what the audit reads, opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from featurestore.catalog.applied import applied_history
from featurestore.catalog.catalog import Catalog
from featurestore.definitions import FeatureView
from featurestore.offline.stream_mark import is_streamed
from featurestore.online.open_store import is_ephemeral
from gateway.predictionlog.reader import PredictionReader
from lifecycle.monitoring.audit import AuditInputs, AuditScope, audit
from lifecycle.monitoring.audit_report import AuditReport
from lifecycle.monitoring.event_name import event_name
from unskew.project.project import Project


def audit_project(project: Project, scope: AuditScope) -> AuditReport:
    """Audit what a project's gateways logged, against the definitions in force and history as it is now."""
    catalog, root = project.applied_catalog, project.settings.offline.path
    inputs = AuditInputs(
        log=PredictionReader(project.settings.predictions.path),
        registry=project.registry,
        catalog=catalog,
        applied=applied_history(project.state),
        offline=project.offline,
        online=None if is_ephemeral(project.settings.online.url) else project.online,
        retention_us=_retention(catalog, root, project.settings.ingestion.lateness_us),
        event_name=event_name(root),
    )
    return audit(inputs, scope)


def _retention(catalog: Catalog, root: Path, lateness_us: int) -> Callable[[FeatureView], int | None]:
    """Return how long serving knows the events of a view's source: the longest window over it, and the lateness."""

    def retention_us(view: FeatureView) -> int | None:
        if not is_streamed(root, view.source):
            return None
        windows = [window for each in catalog.views.values() if each.source == view.source for window in each.windows]
        return max(windows, default=0) + lateness_us

    return retention_us
