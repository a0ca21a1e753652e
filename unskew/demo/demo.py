"""The demo as one function: stages in order, told as they end, then requests to a real gateway."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from gateway.registry.record import ModelRecord
from unskew.demo import stages
from unskew.demo.gateway_process import serving
from unskew.demo.requests import Answers, ask
from unskew.demo.stages import MODEL, Told
from unskew.demo.stamps import Stamps
from unskew.demo.workspace import open_workspace, write_project
from unskew.project import screen
from unskew.project.project import Project

T = TypeVar("T")
DEFAULT_FOLDER = Path("unskew-demo")


class Narrator:
    """Tell each stage on stderr as it ends, and keep how long it took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def stage(self, name: str, work: Callable[[], Told]) -> None:
        """Run a stage and tell what it did."""
        self.stage_with(name, lambda: (work(), None))

    def stage_with(self, name: str, work: Callable[[], tuple[Told, T]]) -> T:
        """Run a stage, tell what it did, and return what else it gave."""
        began = time.perf_counter()
        with screen.step(name, quiet=False):
            told, result = work()
        self.seconds[name] = round(time.perf_counter() - began, 3)
        mark = "[dim]·[/]" if told.done_before else "[green]✓[/]"
        note = " [dim](as before)[/]" if told.done_before else ""
        screen.say(f"{mark} [bold]{name:<12}[/] {self.seconds[name]:6.2f} s  {told.text}{note}")
        return result


def run_demo(
    *, folder: Path, online: str | None, once: bool, report: Callable[[dict[str, Any]], None], quiet: bool = False
) -> dict[str, Any]:
    """Run the demo in a folder.

    Parameters
    ----------
    online
        URL of the online store; ``None`` for the embedded one in the folder.
    once
        Stop after the requests. Otherwise the gateway serves on until it ends, or `KeyboardInterrupt` is raised here.
    quiet
        Print no table on stdout; ``report`` alone has the result.
    report
        Called with the summary, once the requests were answered.

    Raises
    ------
    UnskewError
        If a stage fails; those before it are done and will not be repeated.
    """
    narrator = Narrator()
    folder = folder.absolute()
    stamps = open_workspace(folder)
    narrator.stage("project", lambda: _project(folder, online, stamps))
    with Project.load(folder) as project:
        record = _make_model(project, stamps, narrator)
        began = time.perf_counter()
        with serving(folder) as (url, process):
            narrator.seconds["start"] = round(time.perf_counter() - began, 3)
            screen.say(f"[green]✓[/] [bold]{'serve':<12}[/] {narrator.seconds['start']:6.2f} s  {url}")
            answers = narrator.stage_with("requests", lambda: _ask(project, url))
            summary = _summary(answers, record, folder, url, narrator.seconds)
            if not quiet:
                _show(answers)
            _tell_next(folder, url, once=once)
            report(summary)
            if not once:
                _serve_on(process)
    return summary


def _make_model(project: Project, stamps: Stamps, narrator: Narrator) -> ModelRecord:
    narrator.stage("data", lambda: stages.prepare_data(project, stamps))
    narrator.stage("apply", lambda: stages.put_in_force(project))
    narrator.stage("import", lambda: stages.take_in(project))
    digest = narrator.stage_with("training set", lambda: stages.build_rows(project, stamps))
    record = narrator.stage_with("train", lambda: stages.train(project, stamps, digest))
    narrator.stage("promote", lambda: stages.promote(project, record))
    narrator.stage("materialise", lambda: stages.materialise(project))
    return record


def _project(folder: Path, online: str | None, stamps: Stamps) -> Told:
    written, edited = write_project(folder, online, stamps)
    kept = f"; your {', '.join(edited)} left as is" if edited else ""
    return Told(f"{folder}: {len(written)} files written{kept}", done_before=not written)


def _ask(project: Project, url: str) -> tuple[Told, Answers]:
    answers = ask(project, url)
    same = f"{answers.identical} of {answers.values} feature values equal the point-in-time join's, bit for bit"
    return Told(f"{len(answers.batch) + 1} predictions; {same}"), answers


def _summary(
    answers: Answers, record: ModelRecord, folder: Path, url: str, seconds: dict[str, float]
) -> dict[str, Any]:
    single = answers.single
    return {
        "prediction_id": single["prediction_id"],
        "model": single.get("model", MODEL),
        "version": single["version"],
        "outputs": single["outputs"],
        "training_rows": record.training_rows,
        "holdout_rows": record.holdout_rows,
        "training_set_digest": record.training_set_digest,
        "artifact_digest": record.artifact_digest,
        "metrics": dict(record.metrics),
        "features": single["features"],
        "feature_values_checked": answers.values,
        "feature_values_identical": answers.identical,
        "directory": str(folder),
        "url": url,
        "timings": {**seconds, "total": round(sum(seconds.values()), 3)},
    }


def _show(answers: Answers) -> None:
    features = answers.single["features"]
    rows = [(name, _text(part["value"]), part["status"], _text(part["age_seconds"])) for name, part in features.items()]
    screen.table(
        f"\nprediction {answers.single['prediction_id']}: {answers.single['outputs']}",
        ("feature", "value", "status", "age in seconds"),
        rows,
    )


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _tell_next(folder: Path, url: str, *, once: bool) -> None:
    screen.say(f"\n[bold]where things are[/]\n  {folder}: features.py, models.py, unskew.toml; state in .unskew/")
    if not once:
        body = '{"keys": {"household_id": 900}, "inputs": {"basket_value": 25.0}, "options": {"explain": true}}'
        screen.say(f"[bold]ask it[/]\n  curl -s {url}/v1/models/{MODEL}/predict -H 'content-type: application/json' \\")
        screen.console(stderr=True).print(f"    -d '{body}'", markup=False)
    screen.say("[bold]what to type next[/]")
    for command in ("doctor", f"models show {MODEL}", f"predictions tail {MODEL}", "history", "serve"):
        screen.say(f"  {typed_as()} {command} --project {folder}")


def typed_as() -> str:
    """Return what a shell takes for this command: its name, or the path beside our Python if the name is not found."""
    beside = Path(sys.executable).with_name("unskew")
    found = shutil.which("unskew")
    if found is not None or not beside.exists():
        return "unskew"
    here = Path.cwd()
    return shlex.quote(str(beside.relative_to(here) if beside.is_relative_to(here) else beside))


def _serve_on(process: subprocess.Popen[str]) -> None:
    screen.say("\nserving until Ctrl-C")
    process.wait()
