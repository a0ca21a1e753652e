"""Write the reference pages under docs/ from the code they describe; a test holds them to it.

Run as ``python -m scripts.reference_docs``, or ``make docs``.
"""

import importlib
import importlib.util
import json
import pkgutil
from collections.abc import Callable, Iterator
from enum import Enum
from inspect import cleandoc
from pathlib import Path
from types import ModuleType
from typing import Any

from typer.main import get_command

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS.parent / "loadtests" / "results"
STOREYS = ("unskew", "lifecycle", "gateway", "featurestore")
WRITTEN = "<!-- Written by `make docs` from the code: change it there. -->"


def error_classes() -> list[type[Exception]]:
    """Return every error class that has a code of its own, parents before children."""
    found = {
        error
        for module in _modules()
        for error in vars(module).values()
        if isinstance(error, type) and issubclass(error, Exception) and isinstance(vars(error).get("code"), str)
    }
    return sorted(found, key=_lineage)


def render_errors() -> str:
    """Return docs/errors.md."""
    head = (
        "# Errors\n\nEach error says what is wrong, where, and the mend. Its code is stable: programs may rely on it. "
        "Over HTTP it is\nthe member `code` of an `application/problem+json` body (RFC 9457), whose member "
        "`error` is the whole message as one text;\nof a command with `--json` it is the member `error` "
        "of the object on stderr."
    )
    rows = [
        f"| `{vars(error)['code']}` | {vars(error).get('status', '')} | `{error.__name__}` | {_summary(error)} |"
        for error in error_classes()
    ]
    return _page(head, "| code | HTTP | class | meaning |\n|---|---|---|---|\n" + "\n".join(rows))


def render_settings() -> str:
    """Return docs/settings.md."""
    from gateway.settings import SECTIONS

    head = (
        "# Settings\n\nA project's `unskew.toml`. An environment variable wins over the file: "
        "`UNSKEW_GATEWAY__PORT=9000` sets `port` in\n`[gateway]`. Relative paths start at the file's folder. "
        "An unknown section, key or variable is refused."
    )
    parts = []
    for name, section in SECTIONS.items():
        rows = [f"| `{key}` | {_default(field)} | {field.description} |" for key, field in section.model_fields.items()]
        parts.append(f"## `[{name}]`\n\n| key | default | meaning |\n|---|---|---|\n" + "\n".join(rows))
    return _page(head, *parts)


def render_cli() -> str:
    """Return docs/cli.md."""
    app = importlib.import_module("unskew.cli.main").app
    head = (
        "# Commands\n\nEvery command ends 0 when it did what it says. With `--json` it prints one JSON object of "
        "a stable shape on stdout;\nerrors go to stderr with their mend."
    )
    return _page(head, *(_command(name, command) for name, command in _commands("unskew", get_command(app))))


def render_metrics() -> str:
    """Return docs/metrics.md."""
    from gateway.observability.metrics import METRICS

    head = (
        "# Metrics\n\nWhat `GET /metrics` of the gateway shows, in Prometheus' text format, beside the usual "
        "`process_*` figures of its\nprocess."
    )
    rows = [
        f"| `{metric.name}` | {metric.kind} | {metric.unit} | {_labels(metric.labels)} | {metric.meaning} |"
        for metric in METRICS
    ]
    return _page(head, "| metric | kind | unit | labels | meaning |\n|---|---|---|---|---|\n" + "\n".join(rows))


def render_benchmarks() -> str:
    """Return docs/benchmarks.md from the stored results."""
    head = (
        "# Benchmarks\n\nWhat the committed benchmarks measured last, from `loadtests/results/`. Machines are noisy: "
        "a ratio is of one run, ours over\ntheirs in speed, so that more is better; seconds are medians. "
        "`loadtests/README.md` says how each job is measured and why it is fair."
    )
    return _page(head, *(_benchmark(path) for path in sorted(RESULTS.glob("*.json"))))


def _benchmark(path: Path) -> str:
    result = json.loads(path.read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {version}" for name, version in sorted(result["versions"].items()))
    about = f"`make bench-{path.stem}` on {result['machine']['cores']} cores: {versions}."
    ratios = _figures("ratio", {**result["ratios"], **result.get("other_ratios", {})}, ".2f")
    others = [_figures("measured", result["figures"], ",.2f")] if "figures" in result else []
    seconds = _figures("seconds", result["median_seconds"], ".3f")
    return "\n\n".join([f"## {path.stem}", about, ratios, *others, seconds])


def _figures(column: str, figures: dict[str, float], digits: str) -> str:
    rows = "\n".join(f"| `{name}` | {figure:{digits}} |" for name, figure in figures.items())
    return f"| figure | {column} |\n|---|---|\n{rows}"


DOCUMENTS: dict[str, tuple[str, Callable[[], str]]] = {
    "benchmarks.md": ("featurestore.offline.point_in_time", render_benchmarks),
    "cli.md": ("unskew.cli.main", render_cli),
    "errors.md": ("featurestore.foundation.errors", render_errors),
    "metrics.md": ("gateway.observability.metrics", render_metrics),
    "settings.md": ("gateway.settings", render_settings),
}
"""Page: the module that must exist for it, and what renders it."""


def due_documents() -> dict[str, Callable[[], str]]:
    """Return the pages whose subject is built."""
    return {page: render for page, (subject, render) in DOCUMENTS.items() if _exists(subject)}


def main() -> None:
    """Write every page that is due."""
    for page, render in due_documents().items():
        (DOCS / page).write_text(render(), encoding="utf-8")


def _page(*parts: str) -> str:
    title, _, rest = parts[0].partition("\n\n")
    return "\n\n".join([title, WRITTEN, rest, *parts[1:]]) + "\n"


def _modules() -> Iterator[ModuleType]:
    for storey in STOREYS:
        package = importlib.import_module(storey)
        yield package
        for module in pkgutil.walk_packages(package.__path__, f"{storey}."):
            if not module.name.endswith("__main__"):
                yield importlib.import_module(module.name)


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield name, command
        return
    for word in sorted(command.commands):
        if not command.commands[word].hidden:
            yield from _commands(f"{name} {word}", command.commands[word])


def _command(name: str, command: Any) -> str:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join([name, *(_metavar(argument) for argument in arguments)])
    lines = [(_metavar(argument), argument) for argument in arguments if argument.help]
    lines += [(_flags(option), option) for option in _shown(options)]
    rows = [f"| `{shown}` | {_preset(each)} | {' '.join((each.help or '').split())} |" for shown, each in lines]
    table = ["| option | default | meaning |\n|---|---|---|\n" + "\n".join(rows)] if rows else []
    return "\n\n".join([f"## `{usage}`", cleandoc(command.help or "").replace("\f", ""), *table])


def _metavar(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper())
    return name if argument.required or "[" in name else f"[{name}]"


def _flags(option: Any) -> str:
    """Return an option's names, and what to write after it: its choices, or a name of the value."""
    names = ", ".join(option.opts + option.secondary_opts)
    if option.is_flag:
        return names
    annotation = option.type_descriptor.annotation
    is_choice = isinstance(annotation, type) and issubclass(annotation, Enum)
    value = "{" + ", ".join(each.value for each in annotation) + "}" if is_choice else annotation.__name__.upper()
    return f"{names} {option.metavar or value}"


def _preset(parameter: Any) -> str:
    """Return what holds when a parameter is left out; empty where its text says so, or nothing does."""
    if parameter.required:
        return "required"
    default = getattr(parameter.default, "value", parameter.default)
    return "" if default in (None, "", False, ()) or callable(default) else f"`{default}`"


def _shown(options: list[Any]) -> list[Any]:
    return [option for option in options if not option.hidden and option.name != "help"]


def _lineage(error: type) -> tuple[str, ...]:
    return tuple(f"{parent.__module__}.{parent.__name__}" for parent in reversed(error.__mro__))


def _summary(error: type) -> str:
    return " ".join(cleandoc(error.__doc__ or "").partition("\n\n")[0].split())


def _labels(labels: tuple[str, ...]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


def _default(field: object) -> str:
    default = getattr(field, "default", None)
    if getattr(field, "is_required", lambda: False)():
        return "required"
    return "" if default is None else f"`{default}`"


if __name__ == "__main__":
    main()
