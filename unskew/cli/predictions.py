"""`unskew predictions`: what was answered, read from the prediction log; the log itself, compacted and verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.foundation.clock import format_instant
from unskew.cli import failure
from unskew.cli.options import JsonFlag, ProjectPath
from unskew.errors import CommandRefused
from unskew.project import screen
from unskew.project.project import Project

if TYPE_CHECKING:
    from gateway.predictionlog.reader import PredictionReader

app = typer.Typer(help="The prediction log: tail, find, compact, verify.", no_args_is_help=True)

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A model that has answered.")]
Rows = Annotated[int, typer.Option("--rows", "-n", metavar="N", min=1, help="How many, newest last.")]
PredictionId = Annotated[str, typer.Argument(metavar="ID", help="The prediction_id of an answer.")]


@app.command()
def tail(model: ModelName, rows: Rows = 10, project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Show the last predictions of a model; an answer is in the log about a second after it was given."""
    with Project.load(project) as opened:
        table = _reader(opened).tail(model, rows)
    found = table.to_pylist()
    if as_json:
        screen.emit({"model": model, "predictions": [_plain(each) for each in found]})
        return
    columns = ["prediction_id", "instant", "version", "variant"]
    columns += [name for name in table.column_names if name.startswith(("key.", "output."))]
    screen.table("", columns, [[_cell(each[name]) for name in columns] for each in found])


@app.command()
def find(prediction_id: PredictionId, project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Show all that was logged of one prediction: inputs, the values used, outputs, model, instant."""
    with Project.load(project) as opened:
        found = _reader(opened).find(prediction_id)
        if found is None:
            raise CommandRefused(
                f"no prediction {prediction_id} is in the log",
                where=str(opened.settings.predictions.path),
                mend="check the identifier; an answer is in the log about a second after it was given",
            )
    from dataclasses import asdict

    told: dict[str, Any] = asdict(found)
    told["instant"] = format_instant(told.pop("instant_us"))
    told["statuses"] = {name: _status(code) for name, code in found.statuses.items()}
    if as_json:
        screen.emit(_plain(told))
        return
    rows = [
        (f"{name} {inner}", _cell(value)) if inner else (name, _cell(value))
        for name, part in told.items()
        for inner, value in (part.items() if isinstance(part, dict) else [("", part)])
    ]
    screen.table("", ("", ""), rows)


@app.command()
def compact(project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Turn what was logged up to now into Parquet files by model, version and date; gateways may run meanwhile."""
    from gateway.predictionlog.compaction import compact as compact_log
    from gateway.predictionlog.segment_writer import ask_to_close

    with Project.load(project) as opened:
        section = opened.settings.predictions
        ask_to_close(section.path, timeout_s=5 + 2 * section.flush_interval_ms / 1_000)
        done = compact_log(section.path)
    if done.busy:
        raise CommandRefused(
            "another compaction is at work", where=str(section.path), mend="wait for it; what it leaves is for the next"
        )
    if as_json:
        screen.emit({name: getattr(done, name) for name in ("segments", "rows", "files", "damaged_bytes")})
        return
    screen.say(f"{done.rows:,} records of {done.segments:,} segments are in {done.files:,} new Parquet files")
    if done.damaged_bytes:
        screen.say(f"{done.damaged_bytes:,} bytes were damaged: see {section.path / '_segments' / 'damaged'}")


@app.command()
def verify(project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Read the whole log and tell what is missing, doubled or damaged in it; exit status 1 if anything is."""
    from gateway.predictionlog.verification import verify as verify_log

    with Project.load(project) as opened:
        found = verify_log(opened.settings.predictions.path)
    if as_json:
        screen.emit(found.describe())
    else:
        columns = ("worker", "records", "ended", "lost", "dropped", "doubled")
        rows = [(each.worker, each.rows, each.ending, each.lost, each.dropped, each.doubled) for each in found.workers]
        screen.table("", columns, rows)
        for path, what in found.damage:
            screen.say(f"{path}: {what}")
    if not found.whole:
        raise typer.Exit(failure.UNSKEW_ERROR)


def _reader(project: Project) -> PredictionReader:
    from gateway.predictionlog.reader import PredictionReader

    return PredictionReader(project.settings.predictions.path)


def _status(code: int | None) -> str | None:
    """Return a status by the name that `unskew features` and an explanation give it; the log holds its number."""
    from featurestore.semantics.status import Status

    return None if code is None else Status(code).name.lower()


def _plain(value: Any) -> Any:
    """Return values as JSON has them: instants as text, decimals as text."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if hasattr(value, "isoformat"):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN alone differs from itself
        return "NaN"
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _cell(value: Any) -> str:
    plain = _plain(value)
    return "null" if plain is None else f"{plain:.6g}" if isinstance(plain, float) else str(plain)
