"""What would change if a definition set were applied, and what of it would break what relies on the applied one.

A change is breaking if it takes away or alters what something may rely on: an entity or a source, which history on disk
is written by; a label, which models are trained on; a view or request feature that an applied service or label uses.
Additions to these break nothing: a new definition, feature or column. Any change of what a service means is breaking,
an added output too: a model answers only with the service that it was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from featurestore.catalog.catalog import KINDS, Catalog, described_digest
from featurestore.foundation.clock import format_duration

ChangeKind = Literal["added", "changed", "removed"]
Described = Mapping[str, Any]
_ABSENT = object()
_ALWAYS_RELIED_ON = ("entities", "sources", "services", "labels")
_SERVICE_CHANGED = (
    "models trained on it can no longer be loaded once a gateway restarts: "
    "leave it as it is, and give the changed service a new name"
)


@dataclass(frozen=True)
class Change:
    """One difference between the applied set and the new one.

    Attributes
    ----------
    breaking
        Whether something that relies on the applied set would get less, or something else.
    what
        The definition, such as ``FeatureView household_spending``.
    detail
        What of it, as ``old → new``.
    """

    kind: ChangeKind
    breaking: bool
    what: str
    detail: str


@dataclass(frozen=True)
class Plan:
    """All changes from the applied set to the new one.

    Attributes
    ----------
    old_digest
        Digest of the applied set, ``None`` if nothing was applied yet.
    """

    old_digest: str | None
    new_digest: str
    changes: tuple[Change, ...]

    @property
    def breaking(self) -> tuple[Change, ...]:
        """The changes that break something."""
        return tuple(change for change in self.changes if change.breaking)

    def describe(self) -> dict[str, Any]:
        """Return the plan as plain data, the stable shape of ``unskew plan --json``."""
        return {
            "old_digest": self.old_digest,
            "new_digest": self.new_digest,
            "breaking": bool(self.breaking),
            "changes": [
                {"kind": c.kind, "breaking": c.breaking, "what": c.what, "detail": c.detail} for c in self.changes
            ],
        }


def plan(old: Described | None, catalog: Catalog) -> Plan:
    """Compare an applied set's description with a catalog.

    Parameters
    ----------
    old
        `Catalog.describe` of the applied set; ``None`` if nothing was applied yet.
    """
    before: Described = {kind: {} for kind in KINDS} if old is None else old
    after = catalog.describe()
    used = _used(before)
    changes = [change for kind in KINDS for change in _changes_of_kind(kind, before[kind], after[kind], used)]
    return Plan(None if old is None else described_digest(old), catalog.digest, tuple(changes))


def _changes_of_kind(kind: str, old: Described, new: Described, used: set[tuple[str, str]]) -> Iterator[Change]:
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield Change("added", False, _what(name, new[name]), "new")
        elif name not in new:
            users = _relied_on(kind, name, used)
            yield Change("removed", users, _what(name, old[name]), _removal(kind, users))
        elif old[name] != new[name]:
            yield from _changes_within(kind, name, old[name], new[name], used)


def _removal(kind: str, users: bool) -> str:
    return "removed, though applied services or labels use it" if users and kind not in _ALWAYS_RELIED_ON else "removed"


def _changes_within(
    kind: str, name: str, old: Described, new: Described, used: set[tuple[str, str]]
) -> Iterator[Change]:
    what = _what(name, new)
    relied_on = _relied_on(kind, name, used)
    service = kind == "services"
    differences = list(_differences("", old["definition"], new["definition"]))
    for path, was, becomes in differences:
        breaking = service or (relied_on and was is not _ABSENT and _counts(kind, name, path, used))
        yield Change(_kind_of(was, becomes), breaking, what, _detail(path, was, becomes))
    for path, was, becomes in _differences("", old["about"], new["about"]):
        yield Change("changed", False, what, _detail(path, was, becomes))
    if not differences and old["digest"] != new["digest"]:
        yield Change("changed", service, what, "changes with what it refers to")
    if service and old["digest"] != new["digest"]:
        yield Change("changed", True, what, _SERVICE_CHANGED)


def _kind_of(was: object, becomes: object) -> ChangeKind:
    if was is _ABSENT:
        return "added"
    return "removed" if becomes is _ABSENT else "changed"


def _counts(kind: str, name: str, path: str, used: set[tuple[str, str]]) -> bool:
    """Whether a difference touches what is used: in a view, one of its features counts only if it is used itself."""
    if path == "order":
        return False
    if kind != "views" or not path.startswith("feature "):
        return True
    return ("feature", f"{name}.{path.split()[1]}") in used


def _relied_on(kind: str, name: str, used: set[tuple[str, str]]) -> bool:
    return kind in _ALWAYS_RELIED_ON or (kind, name) in used


def _used(described: Described) -> set[tuple[str, str]]:
    """Return views, features (``view.feature``) and request features that services and labels of a set use."""
    used: set[tuple[str, str]] = set()
    for service in described["services"].values():
        for output in service["definition"]["outputs"]:
            _use(output["from"], described, used)
    for label in described["labels"].values():
        used.add(("views", label["definition"]["of"]))
        if label["definition"]["exceeds"] is not None:
            _use(label["definition"]["exceeds"], described, used)
    return used


def _use(part: Described, described: Described, used: set[tuple[str, str]]) -> None:
    if "feature" in part:
        used |= {("views", part["view"]), ("feature", f"{part['view']}.{part['feature']}")}
    elif "request_feature" in part:
        name = part["request_feature"]
        used.add(("request_features", name))
        for given in described["request_features"][name]["definition"]["inputs"]:
            _use(given, described, used)


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """Give ``(path, old, new)`` for each difference; what has no counterpart is `_ABSENT`."""
    if old == new:
        return
    if path == "function" and old is not _ABSENT and new is not _ABSENT:
        yield path, "its code", "other code"
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(f"{path} {key}".strip(), old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif _named_list(old) and _named_list(new):
        yield from _differences_in_list(path, old, new)
    else:
        yield path, old, new


def _differences_in_list(path: str, old: list[Any], new: list[Any]) -> Iterator[tuple[str, Any, Any]]:
    was, becomes = ({str(_name_of(item)): item for item in items} for items in (old, new))
    one = path.removesuffix("s")
    for name in [*was, *(name for name in becomes if name not in was)]:
        yield from _differences(f"{one} {name}", was.get(name, _ABSENT), becomes.get(name, _ABSENT))
    kept = [name for name in becomes if name in was]
    if kept != [name for name in was if name in becomes]:
        yield "order", ", ".join(name for name in was if name in becomes), ", ".join(kept)


def _named_list(value: object) -> bool:
    return isinstance(value, list) and all(_name_of(item) is not None for item in value)


def _name_of(item: object) -> str | None:
    """Return the name of a list's item: a feature, an output, or a schema's ``[column, type]``."""
    if isinstance(item, dict):
        name = item.get("name")
        return name if isinstance(name, str) else None
    if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):
        return str(item[0])
    return None


def _detail(path: str, was: object, becomes: object) -> str:
    if was is _ABSENT:
        return f"{path}: {_shown(path, becomes)} added"
    if becomes is _ABSENT:
        return f"{path}: {_shown(path, was)} removed"
    return f"{path}: {_shown(path, was)} → {_shown(path, becomes)}"


def _shown(path: str, value: Any) -> str:
    if path.endswith("_us") and isinstance(value, int):
        return format_duration(value)
    if isinstance(value, list) and len(value) == 2 and path.startswith("schema "):
        return str(value[1])
    if isinstance(value, dict) and "dtype" in value:
        return str(value["dtype"])
    if isinstance(value, dict) and "delay_us" in value:
        return f"a delay of {format_duration(value['delay_us'])}"
    return "none" if value is None else str(value)


def _what(name: str, entry: Described) -> str:
    return f"{entry['definition']['definition']} {name}"
