"""The `unskew` command: all groups composed, and every error told as what, where and mend.

Exit codes: 0 done; 1 an error of ours, told on stderr; 2 the command line makes no sense; 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer

from featurestore.foundation.errors import UnskewError
from unskew.cli import (
    audit,
    dead_letters,
    definitions,
    demo,
    doctor,
    failure,
    history_import,
    ingest,
    models,
    new_project,
    online_values,
    predictions,
    routes,
    serve,
    stream,
    train,
    training_sets,
    version,
)
from unskew.errors import CommandRefused, UsageError

app = typer.Typer(
    name="unskew",
    help="A feature store and an ONNX prediction gateway that cannot disagree.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(new_project.init)
app.command()(definitions.plan)
app.command()(definitions.apply)
app.command("import")(history_import.import_)
app.command()(ingest.ingest)
app.add_typer(stream.app, name="stream")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(training_sets.app, name="training-set")
app.command()(train.train)
app.add_typer(models.app, name="models")
app.command()(routes.promote)
app.command()(routes.challenge)
app.command()(routes.withdraw)
app.command()(routes.rollback)
app.add_typer(routes.app, name="routes")
app.command()(routes.history)
app.command()(online_values.materialise)
app.command()(stream.backfill)
app.command()(online_values.features)
app.command()(serve.serve)
app.add_typer(predictions.app, name="predictions")
app.command()(audit.audit)
app.command()(doctor.doctor)
app.command()(demo.demo)
app.command()(version.version)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str]) -> int:
    """Run the command line; return its exit code."""
    as_json = "--json" in arguments
    try:
        result = app(arguments, prog_name="unskew", standalone_mode=False)
    except UnskewError as error:
        error.where = error.where or _command_of(arguments)
        failure.report(error, as_json=as_json)
        return failure.UNSKEW_ERROR
    except typer.TyperException as error:
        return _usage(error, as_json=as_json)
    except typer.Abort:
        return failure.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return failure.UNSKEW_ERROR
    except OSError as error:
        failure.report(_of_the_system(error), as_json=as_json)
        return failure.UNSKEW_ERROR
    return result if isinstance(result, int) else 0


def _command_of(arguments: list[str]) -> str:
    """Return the command that was typed, without its arguments: the place of what is wrong with one of them."""
    command: Any = typer.main.get_command(app)
    typed = ["unskew"]
    for word in arguments:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            break
        typed.append(word)
    return " ".join(typed)


def _usage(error: typer.TyperException, *, as_json: bool) -> int:
    """Tell what is wrong with the command line, and which help to read."""
    context = getattr(error, "ctx", None)
    command = "unskew" if context is None else context.command_path
    message = error.format_message()
    if message:
        told = UsageError(message, where=command, mend=f"{command} --help shows what it takes")
        failure.report(told, as_json=as_json)
    return error.exit_code


def _of_the_system(error: OSError) -> CommandRefused:
    where = None if error.filename is None else str(error.filename)
    return CommandRefused(
        f"the operating system refused: {error.strerror or error}",
        where=where,
        mend="check the path and its permissions",
    )
