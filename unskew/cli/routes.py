"""Moving traffic: `promote`, `challenge`, `withdraw`, `rollback`; and looking: `routes`, `history`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.foundation.clock import format_instant
from unskew.cli.options import Actor, ExpectedRevision, JsonFlag, Override, ProjectPath, Reason, actor_or_user
from unskew.project import screen
from unskew.project.project import Project
from unskew.project.servable import only_servable, services_in_force

if TYPE_CHECKING:
    from gateway.registry.history import HistoryEntry
    from gateway.registry.promotion import PromotionReport
    from gateway.registry.route import Route

app = typer.Typer(help="Where traffic goes.", no_args_is_help=True)

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A registered model.")]
SomeModel = Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Default: all models.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="A number, or latest.")]
Weights = Annotated[
    str, typer.Option("--weights", metavar="A:B", help="Relative whole numbers of champion and challenger.")
]


def promote(
    model: ModelName,
    version: Version = "latest",
    *,
    actor: Actor = "",
    reason: Reason = "",
    override: Override = False,
    expected_revision: ExpectedRevision = None,
    project: ProjectPath = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a version the champion, if its gate lets it through and the definitions in force can serve the route."""
    with Project.load(project) as opened:
        done = opened.registry.promote(
            model,
            _version(version),
            actor=actor_or_user(actor),
            reason=reason,
            expected_revision=expected_revision,
            override=override,
            admit=only_servable(services_in_force(opened.state)),
        )
    _promoted(done, as_json=as_json)


def challenge(
    model: ModelName,
    version: Version = "latest",
    *,
    weights: Weights = "9:1",
    actor: Actor = "",
    reason: Reason = "",
    override: Override = False,
    expected_revision: ExpectedRevision = None,
    project: ProjectPath = None,
    as_json: JsonFlag = False,
) -> None:
    """Put a version on trial against the champion, if its gate and the definitions in force let it through."""
    shares = _weights(weights)
    with Project.load(project) as opened:
        done = opened.registry.challenge(
            model,
            _version(version),
            weights=shares,
            actor=actor_or_user(actor),
            reason=reason,
            expected_revision=expected_revision,
            override=override,
            admit=only_servable(services_in_force(opened.state)),
        )
    _promoted(done, as_json=as_json)


def withdraw(
    model: ModelName,
    *,
    actor: Actor = "",
    reason: Reason = "",
    expected_revision: ExpectedRevision = None,
    project: ProjectPath = None,
    as_json: JsonFlag = False,
) -> None:
    """End the challenger's trial: all traffic goes to the champion."""
    with Project.load(project) as opened:
        route = opened.registry.withdraw(
            model, actor=actor_or_user(actor), reason=reason, expected_revision=expected_revision
        )
    _moved(route, as_json=as_json)


def rollback(
    model: ModelName,
    *,
    reason: Reason,
    actor: Actor = "",
    expected_revision: ExpectedRevision = None,
    project: ProjectPath = None,
    as_json: JsonFlag = False,
) -> None:
    """Go back to the route before the last move, if the definitions in force can serve it."""
    with Project.load(project) as opened:
        route = opened.registry.rollback(
            model,
            actor=actor_or_user(actor),
            reason=reason,
            expected_revision=expected_revision,
            admit=only_servable(services_in_force(opened.state)),
        )
    _moved(route, as_json=as_json)


@app.command()
def show(model: SomeModel = None, project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Show which versions answer, and for which share of the keys."""
    with Project.load(project) as opened:
        registry = opened.registry
        routes = registry.routes() if model is None else {model: registry.route(model)}
    found = [_described(route) for route in routes.values() if route is not None]
    if as_json:
        screen.emit({"routes": found})
        return
    rows = [
        (route["model"], route["revision"], each["name"], each["version"], each["weight"], f"{each['share']:.2%}")
        for route in found
        for each in route["variants"]
    ]
    screen.table("", ("model", "revision", "variant", "version", "weight", "share"), rows)


def history(model: SomeModel = None, project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Show who registered and moved what, when and why; check the chain of hashes."""
    with Project.load(project) as opened:
        entries = opened.registry.history(model)
        head = opened.registry.verify()
    if as_json:
        screen.emit({"entries": [_entry(entry) for entry in entries], "head": {"seq": head.seq, "hash": head.hash}})
        return
    rows = [(e.seq, format_instant(e.at_us), e.model, e.kind, _outcome(e.after), e.actor, e.reason) for e in entries]
    screen.table("", ("#", "at", "model", "what", "outcome", "who", "why"), rows)
    screen.say(f"[dim]the chain of hashes holds: entry {head.seq} is {head.hash}[/]")


def _version(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _weights(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+):(\d+)", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not two whole numbers: write --weights 9:1 for a tenth")
    return int(found[1]), int(found[2])


def _promoted(done: PromotionReport, *, as_json: bool) -> None:
    if as_json:
        gate = {"gate": done.gate.describe(), "overridden": done.overridden}
        screen.emit({"route": _described(done.route), **gate, "moved": done.changed})
        return
    for verdict in done.gate.verdicts:
        screen.say(f"gate: {verdict}")
    if done.overridden:
        screen.say(f"[yellow]the gate was overridden by {done.actor}: {done.reason}[/]")
    _moved(done.route, as_json=False)


def _moved(route: Route, *, as_json: bool) -> None:
    if as_json:
        screen.emit({"route": _described(route)})
        return
    parts = [
        f"{each['name']} is version {each['version']} ({each['share']:.1%})" for each in _described(route)["variants"]
    ]
    screen.say(f"{route.model}, route revision {route.revision}: {', '.join(parts)}")


def _described(route: Route) -> dict[str, Any]:
    shares = route.shares()
    variants = [
        {"name": v.name, "version": v.version, "weight": v.weight, "share": shares.get(v.name, 0.0)}
        for v in route.variants
    ]
    return {"model": route.model, "revision": route.revision, "variants": variants}


def _entry(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "at": format_instant(entry.at_us),
        "model": entry.model,
        "kind": entry.kind,
        "actor": entry.actor,
        "reason": entry.reason,
        "before": entry.before,
        "after": entry.after,
        "detail": entry.detail,
        "hash": entry.hash,
    }


def _outcome(after: Any) -> str:
    if "variants" not in after:
        return f"version {after['version']}"
    return ", ".join(f"{each['name']} {each['version']} × {each['weight']}" for each in after["variants"])
