"""`unskew serve`: answer predictions until a signal says stop."""

from __future__ import annotations

from typing import Annotated

import typer

from unskew.cli.options import JsonFlag, ProjectPath
from unskew.project import screen

Host = Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Default: [gateway] host. Loopback only.")]
Port = Annotated[
    int | None,
    typer.Option("--port", metavar="N", min=0, max=65_535, help="Default: [gateway] port; 0 takes a free one."),
]


def serve(host: Host = None, port: Port = None, project: ProjectPath = None, as_json: JsonFlag = False) -> None:
    """Answer predictions and take events over HTTP until Ctrl-C or SIGTERM; then finish what is in work.

    Starts the ingest program beside it, and again should it die, unless `[ingestion] program` is "alone". At the end
    the log is flushed, and the ingest program commits what waits.
    """
    from featurestore.online.open_store import is_ephemeral
    from gateway import app
    from gateway.settings import load_settings
    from unskew.errors import CommandRefused
    from unskew.project.ingest_process import IngestProcess, ingest_command

    settings = load_settings(project)
    changes = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(update={"gateway": settings.gateway.model_copy(update=changes)})
    if is_ephemeral(settings.online.url):
        raise CommandRefused(
            f"[online] url = {settings.online.url!r} is empty when this process starts",
            where=str(settings.file),
            mend='use url = "lmdb:.unskew/online" or "redis://host:port/0", and run unskew materialise',
        )
    with IngestProcess(ingest_command(settings.file)) as program:

        def announce(url: str) -> None:
            if settings.ingestion.program == "serve":
                program.start()
            _announce(url, settings.project.name, as_json=as_json)

        app.serve(settings, announce=announce)


def _announce(url: str, project: str, *, as_json: bool) -> None:
    if as_json:
        screen.emit({"url": url, "project": project})
        return
    screen.say(f"serving {project} at [bold]{url}[/]  (docs: {url}/docs, metrics: {url}/metrics; Ctrl-C ends)")
