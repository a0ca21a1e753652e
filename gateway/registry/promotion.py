"""A promotion or a challenge: who orders it, and whether the gate lets it through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.errors import PromotionRefused, RouteRefused
from gateway.registry.gate import GateReport
from gateway.registry.route import Route


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants a route moved, how, and why; an actor must be named."""

    kind: str
    model: str
    actor: str
    reason: str = ""

    def __post_init__(self) -> None:
        stated("actor", self.actor, f"{self.kind} of model {self.model}")


@dataclass(frozen=True, slots=True)
class PromotionReport:
    """What a promotion or a challenge did.

    Attributes
    ----------
    gate
        The gate's verdict per threshold.
    overridden
        Whether the gate had said no.
    before, route
        The route before, ``None`` if there was none, and now; equal if it was as asked already, and then the
        history has no new entry.
    """

    gate: GateReport
    overridden: bool
    before: Route | None
    route: Route
    actor: str
    reason: str

    @property
    def changed(self) -> bool:
        """Whether the route moved."""
        return self.before != self.route

    def describe(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "gate": self.gate.describe(),
            "overridden": self.overridden,
            "changed": self.changed,
            "before": None if self.before is None else self.before.describe(),
            "route": self.route.describe(),
            "actor": self.actor,
            "reason": self.reason,
        }


def pass_gate(gate: GateReport, *, override: bool, reason: str) -> None:
    """Let a version through if the gate passed it, or if it is overridden with a reason.

    Raises
    ------
    PromotionRefused, RouteRefused
        If it did not pass; if it is overridden without a reason.
    """
    if gate.passed:
        return
    where = f"model {gate.model}, version {gate.version}"
    if not override:
        raise PromotionRefused(
            f"the gate says no: {'; '.join(gate.objections)}",
            where=where,
            mend="train a better one, or override it with a reason, which stays in the history",
            report=gate.describe(),
        )
    stated("reason", reason, f"overriding the gate of {where}")


def stated(what: str, said: str, where: str) -> str:
    """Return ``said`` unless it is blank."""
    if not said.strip():
        raise RouteRefused(
            f"no {what} is given",
            where=where,
            mend=f"state it: {what}=..., or --{what} on the command line; it stays in the history",
        )
    return said
