"""Wait until history holds what the online store shows, so that what is computed from it lacks no commit served."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic, sleep

from featurestore.definitions import FeatureView
from featurestore.ingestion.heartbeat import is_alive, read_heartbeats
from featurestore.online.followed_views import read_followed
from featurestore.online.open_store import is_ephemeral
from unskew.project.project import Project

PAUSE_S = 0.1
"""Time between two looks at history."""
GRACE_S = 3.0
"""How long no program may run before it is not waited for any more: one that died is started again."""
MARGIN_S = 10.0
"""How much longer is waited than `[ingestion] history_interval_s`."""
MEND = "let an ingest program run (`unskew serve`), or run `unskew backfill`, which writes them; or say --no-wait"


def wait_for_history(project: Project, views: Iterable[FeatureView], tell: Callable[[str], None]) -> str:
    """Wait until history has all commits that are online now, of those sources of views that take events.

    Parameters
    ----------
    tell
        Told once, if there is something to wait for.

    Returns
    -------
    What history lacks still, after ``history_interval_s`` and `MARGIN_S`, or as soon as no program runs that could
    write it; empty if nothing.
    """
    sources = {view.source.name: view.source for view in views if project.offline.is_streamed(view.source)}
    if not sources or is_ephemeral(project.settings.online.url):
        return ""
    wanted = {name: said.s for name, said in read_followed(project.online, list(sources)).items()}

    def lacking() -> dict[str, str]:
        found = {name: project.offline.latest_sequence(sources[name]) for name in wanted}
        return {name: f"{s} of {wanted[name]} of {name}" for name, s in found.items() if s < wanted[name]}

    limit_s = project.settings.ingestion.history_interval_s + MARGIN_S
    began = alive_at = monotonic()
    behind = lacking()
    if behind:
        tell(f"waiting until history has the commits that are online: {', '.join(behind.values())}")
    while behind:
        now = monotonic()
        alive_at = now if _all_run(project, behind) else alive_at
        if now - alive_at > GRACE_S or now - began > limit_s:
            why = f"{limit_s:g} seconds have passed" if now - alive_at <= GRACE_S else "no ingest program runs"
            return f"history has commit {', '.join(behind.values())}, and {why}"
        sleep(PAUSE_S)
        behind = lacking()
    return ""


def _all_run(project: Project, sources: Iterable[str]) -> bool:
    """Return whether each source has a program that can commit its events."""
    names, now_us = list(sources), project.clock.now_us()
    beats = read_heartbeats(project.online, names)
    return len(beats) == len(names) and all(is_alive(beat, now_us) for beat in beats)
