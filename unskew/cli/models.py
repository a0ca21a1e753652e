"""`unskew models`: which versions there are, and what is known of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.foundation.clock import format_instant
from unskew.cli.options import JsonFlag, ProjectPath
from unskew.project import screen
from unskew.project.project import Project

if TYPE_CHECKING:
    from gateway.registry.record import ModelRecord
    from gateway.registry.route import Route

app = typer.Typer(help="Registered models: list, show.", no_args_is_help=True)

Name = Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Default: all models.")]
Selector = Annotated[
    str, typer.Argument(metavar="MODEL[@VERSION]", help="Version: a number, champion, challenger or latest (default).")
]


@app.command("list")
def list_(model: Name = None, project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """List the versions of a model, or of all."""
    with Project.load(project) as opened:
        registry = opened.registry
        names = registry.models() if model is None else (model,)
        found = [(record, registry.route(name)) for name in names for record in registry.versions(name)]
    listed = [_listed(record, route) for record, route in found]
    if as_json:
        screen.emit({"models": listed})
        return
    columns = ("model", "version", "role", "owner", "training rows", "metrics", "registered")
    screen.table("", columns, [_row(each) for each in listed])


@app.command()
def show(model: Selector, project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Show all that is recorded of one version, and what its gate says."""
    from gateway.registry.gate import judge

    name, _, version = model.partition("@")
    with Project.load(project) as opened:
        record = opened.registry.get(name, version or "latest")
    gate = judge(record)
    if as_json:
        screen.emit({"record": record.describe(), "record_hash": record.record_hash, "gate": gate.describe()})
        return
    told = {**record.describe(), "record_hash": record.record_hash}
    told["created_at"] = format_instant(told.pop("created_at_us"))
    told["input_spec"] = ", ".join(each["name"] for each in told["input_spec"])
    told["gate"] = "; ".join(map(str, gate.verdicts)) or "no threshold is stated: an override is needed to promote"
    screen.table("", ("", ""), [(name, _text(value)) for name, value in told.items()])


def _listed(record: ModelRecord, route: Route | None) -> dict[str, Any]:
    variants = () if route is None else route.variants
    return {
        "model": record.model,
        "version": record.version,
        "role": next((variant.name for variant in variants if variant.version == record.version), None),
        "owner": record.owner,
        "training_rows": record.training_rows,
        "metrics": dict(record.metrics),
        "record_hash": record.record_hash,
        "training_set_digest": record.training_set_digest,
        "created_at": format_instant(record.created_at_us),
    }


def _row(listed: dict[str, Any]) -> tuple[Any, ...]:
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in listed["metrics"].items())
    shown = ("model", "version", "role", "owner", "training_rows")
    return (*(listed[name] for name in shown), metrics, listed["created_at"])


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
