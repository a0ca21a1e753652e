"""Which registered versions the definitions in force can serve: those whose feature service is in force as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import RouteRefused

if TYPE_CHECKING:
    from gateway.registry.record import ModelRecord

MEND = (
    "bring the definitions it was trained on back, run `unskew apply --allow-breaking` and restart the gateways; or "
    "give the changed service a new name, so that both are in force, and train the new version on that"
)


def services_in_force(state: Path) -> dict[str, str]:
    """Return the digest of every feature service in force, by name; none if nothing was applied yet."""
    from featurestore.catalog.applied import current_catalog

    current = current_catalog(state)
    described = {} if current is None else current.description["services"]
    return {name: entry["digest"] for name, entry in described.items()}


def why_unservable(record: ModelRecord, in_force: Mapping[str, str]) -> str | None:
    """Return why no gateway that starts now could answer with a version, ``None`` if it could.

    Parameters
    ----------
    in_force
        As `services_in_force` returns it.
    """
    now = in_force.get(record.service)
    if now == record.service_digest:
        return None
    trained = f"it was trained on feature service {record.service} as it was at {record.service_digest[:12]}"
    became = "that service is not in force" if now is None else f"{now[:12]} is in force"
    return f"{trained}, and {became}: a gateway that starts now cannot load it"


def only_servable(in_force: Mapping[str, str]) -> Callable[[tuple[ModelRecord, ...]], None]:
    """Return the check of a route's records that raises `RouteRefused` at the first that cannot be served."""

    def admit(records: tuple[ModelRecord, ...]) -> None:
        for record in records:
            why = why_unservable(record, in_force)
            if why is not None:
                raise RouteRefused(
                    f"the route would name version {record.version}, but {why}",
                    where=f"model {record.model} version {record.version}",
                    mend=MEND,
                )

    return admit
