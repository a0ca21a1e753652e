"""The live demo: a model trained on eleven months, the twelfth replayed as if live, and an audit of what was served.

Every process reads the time from one file, which the replay moves from tick to tick, so that a month passes in about a
minute. Nothing else is different from production: events and predictions go through the HTTP API of a real gateway,
an ingest program beside it keeps the online store current, and the audit reads history and the prediction log.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from featurestore.foundation.clock import SharedClock, format_instant, parse_instant
from featurestore.offline.event_import import import_file
from gateway.registry.record import ModelRecord
from unskew.demo import stages
from unskew.demo.demo import Narrator
from unskew.demo.gateway_process import serving
from unskew.demo.live_traffic import Traffic, run_traffic
from unskew.demo.replay import Replay, plan_replay, split_history
from unskew.demo.stages import Told
from unskew.demo.stamps import Stamps
from unskew.demo.workspace import EMBEDDED, open_live_workspace
from unskew.errors import DemoFailed
from unskew.project import screen
from unskew.project.project import Project

DEFAULT_LIVE_FOLDER = Path("unskew-demo-live")
CUT = "2017-12-01T05:00:00Z"
"""What was sold before is history, what after is replayed."""
PREDICTIONS = 56_000
"""With eighteen and more values each, over a million values to audit."""
BASKETS, BEFORE = "data/baskets.parquet", "data/baskets-before.parquet"
SPINE_BEFORE = "checkouts-before.parquet"


def run_live_demo(
    *, folder: Path, online: str | None, predictions: int, report: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Run the live demo in a folder, which it makes anew.

    Parameters
    ----------
    online
        URL of the online store; ``None`` for the embedded one in the folder.
    predictions
        Least number of predictions that are asked for.
    report
        Called with the summary once the audit has ended, whatever it found.

    Raises
    ------
    DemoFailed
        If a stage fails, or the audit does not end.
    """
    narrator, folder, cut_us = Narrator(), folder.absolute(), parse_instant(CUT)
    stamps = open_live_workspace(folder, online)
    clock = SharedClock(folder / ".unskew" / "clock")
    clock.set(cut_us)
    with Project.load(folder) as project:
        _make_model(project, stamps, narrator, cut_us)
    replay = plan_replay(folder / BASKETS, cut_us)
    screen.say(
        f"  replaying {replay.events:,} receipts since {format_instant(cut_us)}: {replay.late:,} of them late, "
        f"{replay.corrected:,} corrected afterwards"
    )
    with serving(folder) as (url, _):
        traffic = narrator.stage_with("replay", lambda: _replay(url, replay, clock, predictions))
    status, audit = narrator.stage_with("audit", lambda: _audit(folder))
    timings = {**narrator.seconds, "total": round(sum(narrator.seconds.values()), 3)}
    place = {"online": online or EMBEDDED, "directory": str(folder), "timings": timings}
    summary = _summary(replay, traffic, audit) | place
    report(summary)
    if status:
        raise DemoFailed("the audit found values that were not served as history says", where=str(folder))
    return summary


def _make_model(project: Project, stamps: Stamps, narrator: Narrator, cut_us: int) -> ModelRecord:
    narrator.stage("data", lambda: stages.prepare_data(project, stamps))
    narrator.stage("apply", lambda: stages.put_in_force(project))
    narrator.stage("import", lambda: _take_in(project, cut_us))
    digest = narrator.stage_with("training set", lambda: stages.build_rows(project, stamps, SPINE_BEFORE))
    record = narrator.stage_with("train", lambda: stages.train(project, stamps, digest))
    narrator.stage("promote", lambda: stages.promote(project, record))
    narrator.stage("materialise", lambda: stages.materialise(project))
    return record


def _take_in(project: Project, cut_us: int) -> Told:
    """Import what happened before the replay begins."""
    root, clock, sources = project.settings.offline.path, project.clock, project.applied_catalog.sources
    data = project.root / "data"
    rows = split_history(project.root / BASKETS, project.root / BEFORE, cut_us)
    split_history(data / stages.SPINE, data / SPINE_BEFORE, cut_us)
    import_file(sources["baskets"], project.root / BEFORE, root, clock)
    import_file(sources["demographics"], project.root / sources["demographics"].path, root, clock)
    return Told(f"history: {rows:,} receipts before {format_instant(cut_us)}, and demographics")


def _replay(url: str, replay: Replay, clock: SharedClock, predictions: int) -> tuple[Told, Traffic]:
    shown = len(replay.ticks) // 4

    def tell(done: int, total: int) -> None:
        if done % shown == 0:
            screen.say(f"  [dim]{format_instant(replay.ticks[done - 1].until_us)}: {done} of {total} ticks[/]")

    traffic = run_traffic(url, replay, clock, predictions, tell)
    return Told(f"{traffic.events:,} events in, {traffic.predictions:,} predictions out, over {url}"), traffic


def _audit(folder: Path) -> tuple[Told, tuple[int, dict[str, Any]]]:
    """Run `unskew audit --json` as an operator would; return its exit status and what it printed."""
    command = [sys.executable, "-m", "unskew", "audit", "--project", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or not done.stdout.strip():
        raise DemoFailed(
            f"the audit ended with status {done.returncode}: {(done.stderr or done.stdout).strip()[-800:]}",
            where=" ".join(command[2:]),
        )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    text = f"{found['compared']:,} values compared, {found['equal']:,} equal, {_mismatches(found):,} mismatches"
    return Told(text), (done.returncode, found)


def _mismatches(audit: dict[str, Any]) -> int:
    return int(audit["compared"]) - int(audit["equal"])


def _summary(replay: Replay, traffic: Traffic, audit: dict[str, Any]) -> dict[str, Any]:
    return {
        "events": traffic.events,
        "late": replay.late,
        "corrected": replay.corrected,
        "predictions": traffic.predictions,
        "compared": audit["compared"],
        "equal": audit["equal"],
        "mismatches": _mismatches(audit),
        "audit": audit,
    }
