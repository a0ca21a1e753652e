"""The applied definition sets of a project: append-only numbered files, of which the last is in force.

``<state>/catalog/NNNNNN-<digest>.json``, revisions from 1. A file is created whole or not at all and never rewritten;
the current set is the one of the greatest revision.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurestore.catalog.catalog import FORMAT, Catalog, described_digest
from featurestore.catalog.load import load_definitions
from featurestore.catalog.plan import Plan, plan
from featurestore.foundation.canonical import canonical_bytes, digest
from featurestore.foundation.clock import Clock
from featurestore.foundation.durable_file import create_durably, exclusive_lock, sync_folder
from featurestore.foundation.errors import CatalogError

_FILE = re.compile(r"(\d{6,})-([0-9a-f]{64})\.json")


@dataclass(frozen=True)
class AppliedCatalog:
    """One applied definition set.

    Attributes
    ----------
    revision
        1 for the first that was applied.
    digest
        `Catalog.digest` of the set.
    applied_at_us
        When, microseconds UTC.
    breaking_allowed
        Whether it was applied although it broke something.
    description
        `Catalog.describe` of the set.
    """

    revision: int
    digest: str
    applied_at_us: int
    breaking_allowed: bool
    description: Mapping[str, Any]
    path: Path


@dataclass(frozen=True)
class ApplyResult:
    """What `apply` did: the set now in force, the changes it made, and whether a file was written."""

    applied: AppliedCatalog
    plan: Plan
    written: bool


def apply(catalog: Catalog, state: Path, clock: Clock, *, allow_breaking: bool = False) -> ApplyResult:
    """Put a definition set in force.

    Of concurrent callers each plans against what the one before it applied. A crash leaves the old set in force or the
    new one. Applying what is in force already writes nothing.

    Raises
    ------
    CatalogError
        If a change is breaking and that was not allowed, or an applied file was altered.
    """
    with exclusive_lock(state / "catalog" / ".lock"):
        current = current_catalog(state)
        made = plan(None if current is None else current.description, catalog)
        if current is not None and not made.changes:
            sync_folder(current.path.parent)  # The one who wrote it may have been killed before it did.
            return ApplyResult(current, made, written=False)
        if made.breaking and not allow_breaking:
            raise _breaking(made)
        revision = 1 if current is None else current.revision + 1
        return ApplyResult(_write(catalog, state, revision, clock.now_us(), bool(made.breaking)), made, written=True)


def current_catalog(state: Path) -> AppliedCatalog | None:
    """Return the set in force, or ``None`` if none was ever applied.

    Raises
    ------
    CatalogError
        If its file was altered.
    """
    paths = _files(state)
    return _read(paths[-1]) if paths else None


def applied_history(state: Path) -> tuple[AppliedCatalog, ...]:
    """Return every set that was ever applied, oldest first."""
    return tuple(_read(path) for path in _files(state))


def load_applied(definitions: Path, state: Path) -> Catalog:
    """Load a project's definitions and hold them to the set in force, as the gateway does when it starts.

    Raises
    ------
    CatalogError
        If nothing was applied, or the file means something else than what was applied.
    DefinitionError
        If a definition does not hold together.
    """
    catalog = load_definitions(definitions)
    current = current_catalog(state)
    if current is None:
        raise CatalogError("no definitions were applied yet", where=str(state), mend="run unskew apply")
    if current.digest != catalog.digest:
        changes = plan(current.description, catalog).changes
        raise CatalogError(
            f"the definitions differ from revision {current.revision}, which is in force: "
            f"{changes[0].what}: {changes[0].detail}" + (f", and {len(changes) - 1} more" if len(changes) > 1 else ""),
            where=str(definitions),
            mend="run unskew plan and unskew apply, or restore the file",
        )
    return catalog


def _write(catalog: Catalog, state: Path, revision: int, now_us: int, breaking: bool) -> AppliedCatalog:
    path = state / "catalog" / f"{revision:06d}-{catalog.digest}.json"
    description = catalog.describe()
    record = {
        "revision": revision,
        "digest": catalog.digest,
        "applied_at_us": now_us,
        "breaking_allowed": breaking,
        "catalog": description,
    }
    create_durably(path, canonical_bytes({**record, "record_digest": digest(record)}) + b"\n")
    return AppliedCatalog(revision, catalog.digest, now_us, breaking, description, path)


def _files(state: Path) -> list[Path]:
    """Return the applied files in order of revision."""
    found = [path for path in (state / "catalog").glob("*.json") if _FILE.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.partition("-")[0]))


def _read(path: Path) -> AppliedCatalog:
    try:
        record = json.loads(path.read_bytes())
        told = record.pop("record_digest")
        whole = told == digest(record) and path.name == f"{record['revision']:06d}-{record['digest']}.json"
        sound = (
            whole and record["catalog"]["format"] == FORMAT and described_digest(record["catalog"]) == record["digest"]
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CatalogError(f"{path.name} cannot be read: {error}", where=str(path), mend=_RESTORE) from error
    if not sound:
        raise CatalogError(f"{path.name} is not what was applied: it was altered", where=str(path), mend=_RESTORE)
    return AppliedCatalog(
        record["revision"],
        record["digest"],
        record["applied_at_us"],
        record["breaking_allowed"],
        record["catalog"],
        path,
    )


_RESTORE = "restore the file from a backup; applied sets are never edited"


def _breaking(made: Plan) -> CatalogError:
    listed = "; ".join(f"{change.what}: {change.detail}" for change in made.breaking[:5])
    more = f"; and {len(made.breaking) - 5} more" if len(made.breaking) > 5 else ""
    return CatalogError(
        f"{len(made.breaking)} breaking change(s): {listed}{more}",
        mend="give the changed thing a new name, or apply with --allow-breaking",
    )
