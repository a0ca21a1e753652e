"""Backfill: give the views of a source rows and logs out of history, and bring them up to the stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import monotonic, sleep
from typing import Any

from featurestore.ingestion.committer import Committer
from featurestore.ingestion.errors import SourceBusy
from featurestore.materialisation.materialise import MaterialisationReport


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What a backfill did.

    Attributes
    ----------
    source, s
        The source, and the commit up to which its views are exact now.
    redone
        Whether a half-made commit of an earlier program was made whole.
    flushed
        Commits of an earlier program that went to history.
    committed_rows
        Rows that waited in the stream and are committed now.
    indexed
        Events whose newest version was written to the event index; 0 if it stood.
    views
        The views that were written from history; those that had every commit are not among them.
    """

    source: str
    s: int
    redone: bool
    flushed: int
    committed_rows: int
    indexed: int
    views: tuple[MaterialisationReport, ...]

    def describe(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "views": [view.describe() for view in self.views]}


def backfill(
    committer: Committer,
    *,
    rebuild: bool = False,
    patience_s: float = 0.0,
    on_wait: Callable[[], None] | None = None,
) -> BackfillReport:
    """Open a source's stream if it is not, make every view servable, commit what waits, and bring all to history.

    Between history and stream there is no gap and no double count: the views are written as of the last commit of
    history, while nobody else commits, and every later commit finds them so. The committer is closed in the end. A
    crash on the way leaves what the next opening completes.

    Parameters
    ----------
    committer
        Of the source, not open.
    rebuild
        Write all views and the event index anew; give up commits that neither history nor the stream has any more.
    patience_s
        How long to wait for the lease, seconds.
    on_wait
        Called once if it has to be waited for.

    Raises
    ------
    SourceBusy
        If another program has the source.
    """
    until = monotonic() + patience_s
    try:
        opened = committer.open(rebuild=rebuild)
        if opened is None and on_wait is not None:
            on_wait()
        while opened is None:
            if monotonic() >= until:
                raise _busy(committer.source.name, rebuild=rebuild)
            sleep(0.2)
            opened = committer.open(rebuild=rebuild)
        rows = 0
        while taken := committer.step(0.0):
            rows += taken
        committer.flush()
        return BackfillReport(
            committer.source.name,
            committer.applied.s,
            opened.redone,
            opened.flushed,
            rows,
            opened.indexed,
            opened.bases,
        )
    finally:
        committer.close()


def _busy(source: str, *, rebuild: bool) -> SourceBusy:
    running = (
        "stop the program, then run it again"
        if rebuild
        else "let it be: a running program writes new views and commits what waits itself; or stop it, or raise --wait"
    )
    return SourceBusy(
        "another program commits its events at present",
        where=f"source {source!r}",
        mend=f"{running} (`unskew stream status` says who it is)",
    )
