"""What of a feature's definition is no longer as it was when a model version answered with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from featurestore.catalog.applied import AppliedCatalog
from featurestore.catalog.catalog import Catalog
from featurestore.catalog.plan import Change, plan
from featurestore.definitions import FeatureRef, FeatureService, RequestFeature
from featurestore.definitions.request_feature import RequestInput
from gateway.registry.record import ModelRecord

_NO_PART = ("description", "owner", "path", "order")


def changed_features(
    service: FeatureService, record: ModelRecord, catalog: Catalog, history: Sequence[AppliedCatalog]
) -> dict[str, str]:
    """Return what has changed of each feature of a service since a model was trained on it, by the feature's name.

    Empty if the service is as the model's record says. A feature that is not named is as it was.

    Parameters
    ----------
    catalog
        The definitions in force.
    history
        Every definition set that was ever applied.
    """
    if service.digest == record.service_digest:
        return {}
    named = {out.name: out.source for out in service.outputs}
    parts: dict[str, RequestInput] = {**{ref.name: ref for ref in service.refs}, **named}
    was = _description(record, history)
    if was is None:
        told = f"the model learnt service {service.name} at {record.service_digest[:12]}, which was never applied here"
        return dict.fromkeys(parts, f"{told}; {service.digest[:12]} is in force")
    changes = plan(was, catalog).changes
    found = {name: _told(part, changes) for name, part in parts.items()}
    return {name: told for name, told in found.items() if told}


def _description(record: ModelRecord, history: Sequence[AppliedCatalog]) -> Mapping[str, Any] | None:
    """Return the newest applied set in which the service is as the model learnt it."""
    for applied in reversed(history):
        entry = applied.description["services"].get(record.service)
        if entry is not None and entry["digest"] == record.service_digest:
            return applied.description
    return None


def _told(part: RequestInput, changes: Iterable[Change]) -> str:
    """Say what of the changes touches a feature; empty if nothing does."""
    whole, refs = _depends_on(part)
    touching = [change for change in changes if change.what in whole or any(_touches(change, ref) for ref in refs)]
    return "; ".join(dict.fromkeys(f"{change.what}: {change.detail}" for change in touching if _counts(change)))


def _depends_on(part: RequestInput) -> tuple[set[str], set[FeatureRef]]:
    """Return the definitions that a feature depends on as a whole, and the features of views."""
    if isinstance(part, FeatureRef):
        return {part.view.source.label, part.view.entity.label}, {part}
    if not isinstance(part, RequestFeature):
        return set(), set()
    deeper = [_depends_on(given) for given in part.inputs]
    return {part.label, *(label for whole, _ in deeper for label in whole)}, {ref for _, refs in deeper for ref in refs}


def _touches(change: Change, ref: FeatureRef) -> bool:
    """Tell whether a change of a view is one of this feature, or of all of the view's."""
    if change.what != ref.view.label:
        return False
    kind, _, name = change.detail.partition(":")[0].partition(" ")
    own = {"feature": ref.feature.name, "derive": ref.feature.aggregate.column}
    return kind not in own or name.partition(" ")[0] == own[kind]


def _counts(change: Change) -> bool:
    """Tell whether a change can alter a value: what is told about a definition cannot, nor can a column more."""
    return change.detail.partition(":")[0] not in _NO_PART and not change.detail.endswith(" added")
