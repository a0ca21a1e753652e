"""What `unskew doctor` looks at of serving: can what is routed be loaded, is what it reads there and of today."""

from __future__ import annotations

from collections.abc import Iterator

from featurestore.definitions.feature_view import FeatureView
from featurestore.foundation.clock import format_instant
from featurestore.materialisation.history import stored_run
from featurestore.offline import snapshot
from featurestore.online.followed_views import read_followed
from unskew.project.finding import Finding
from unskew.project.project import Project
from unskew.project.servable import MEND, services_in_force, why_unservable

_FOLLOW = "let an ingest program run, which writes it within seconds (`unskew serve`); or run `unskew backfill`"


def routes(project: Project) -> Iterator[Finding]:
    """Fail for each version on a route that no gateway could load now."""
    in_force, registry = services_in_force(project.state), project.registry
    for model, route in registry.routes().items():
        records = [registry.get(model, variant.version) for variant in route.variants]
        dead = [(record, why) for record in records if (why := why_unservable(record, in_force)) is not None]
        for record, why in dead:
            mend = f"train and promote a version of the definitions in force; or {MEND}"
            yield Finding("routes", "fail", f"{model} version {record.version} is on its route, but {why}", mend)
        if not dead:
            versions = ", ".join(f"{variant.name} {variant.version}" for variant in route.variants)
            yield Finding("routes", "ok", f"{model}: {versions}, trained on services in force")


def materialised(project: Project) -> Iterator[Finding]:
    """Note each view in use that was never materialised, or not since the newest import of its source."""
    catalog = project.applied_catalog
    used = {view.name: view for service in catalog.services.values() for view in service.views}
    for _, view in sorted(used.items()):
        yield _materialised(project, view)


def _materialised(project: Project, view: FeatureView) -> Finding:
    mend = f"unskew materialise {view.name}"
    newest = project.offline.latest_sequence(view.source)
    stamp = stored_run(view, project.online)
    if stamp is None:
        told = f"{view.name} was never materialised as it is in force: gateways cannot read it"
        if project.offline.is_streamed(view.source):
            return Finding("materialised", "note", told, _FOLLOW)
        return Finding(
            "materialised", "note", told, mend if newest else f"unskew import {view.source.name}, then {mend}"
        )
    said = read_followed(project.online, [view.source.name]).get(view.source.name)
    if said is not None and not said.has(view):
        told = f"{view.name} lacks commits of {view.source.name}, which is at {said.s}: gateways refuse to serve it"
        return Finding("materialised", "fail", told, _FOLLOW)
    if project.offline.is_streamed(view.source):
        told = f"{view.name}: since commit {stamp.sequence} of {view.source.name} the ingest program keeps it current"
        return Finding("materialised", "ok", told)
    told = f"{view.name}: as of {format_instant(stamp.as_of_us)}, commit {stamp.sequence} of {view.source.name}"
    if stamp.sequence < newest:
        return Finding("materialised", "note", f"{told}, which has {newest} now", mend)
    return Finding("materialised", "ok", told)


def quarantine(project: Project) -> Iterator[Finding]:
    """Note how many rows of each source imports have set aside, and where they are."""
    for source in project.applied_catalog.sources.values():
        found = snapshot.latest(project.settings.offline.path, source)
        rows = sum(commit.quarantined.rows for commit in found.commits if commit.quarantined is not None)
        if rows:
            told = f"{source.name}: {rows} row(s) set aside, with reasons, in {found.folder / 'quarantine'}"
            yield Finding("quarantine", "note", told, f"correct them and import them: unskew import {source.name} FILE")
