"""The ingest program and the backfill of a project, put together from its settings."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.catalog.applied import current_catalog, load_applied
from featurestore.ingestion.commit_record import CommitterStatus, read_status
from featurestore.ingestion.committer import Committer
from featurestore.ingestion.heartbeat import Heartbeat, is_alive, read_heartbeats
from featurestore.ingestion.program import Happening, Means, StreamedSource, streamed_sources
from featurestore.ingestion.settings import IngestSettings
from featurestore.ingestion.stream.base import Backlog

if TYPE_CHECKING:
    from featurestore.catalog.catalog import Catalog
    from featurestore.definitions import Source
    from unskew.project.project import Project

_logger = logging.getLogger(__name__)


class AppliedSources:
    """The sources and views in force, loaded anew when others are applied."""

    def __init__(self, definitions: Path, state: Path) -> None:
        self._definitions, self._state = definitions, state
        self._loaded: Catalog | None = None

    def __call__(self) -> list[StreamedSource]:
        """Return them.

        Raises
        ------
        CatalogError, DefinitionError
            If nothing was applied, or the file means something else than what was applied last.
        """
        current = current_catalog(self._state)
        if self._loaded is None or current is None or current.digest != self._loaded.digest:
            self._loaded = load_applied(self._definitions, self._state)
        return streamed_sources(self._loaded.sources.values(), self._loaded.views.values())


class HappeningLog:
    """Write what happens to the log; of a failure that repeats itself, the first time only."""

    def __init__(self) -> None:
        self._last: dict[str, Happening] = {}

    def __call__(self, happening: Happening) -> None:
        """Write one; called from any thread."""
        if self._last.get(happening.source) == happening:
            return
        self._last[happening.source] = happening
        level = logging.WARNING if happening.kind in ("failed", "lost") else logging.INFO
        _logger.log(level, "%s: %s: %s", happening.source or "all sources", happening.kind, happening.detail)


def means(project: Project) -> Means:
    """Return what a project's ingest program works with; open until the project is closed."""
    return Means(
        open_stream=project.open_event_stream,
        store=project.online,
        offline=project.offline,
        offline_root=project.settings.offline.path,
        clock=project.clock,
        dead_letters=project.dead_letters,
        settings=ingest_settings(project),
        tell=HappeningLog(),
    )


def ingest_settings(project: Project) -> IngestSettings:
    """Return `[ingestion]` as the ingest program takes it."""
    section = project.settings.ingestion
    return IngestSettings(
        commit_rows=section.commit_rows,
        history_interval_s=section.history_interval_s,
        lateness_us=section.lateness_us,
        cache_bytes=section.cache_bytes,
        lease_ttl_s=section.lease_ttl_s,
    )


def committer(project: Project, source: Source) -> Committer:
    """Return a committer of a source and every view over it, not open."""
    with_ = means(project)
    return Committer(
        source,
        [view for view in project.applied_catalog.views.values() if view.source.name == source.name],
        stream=project.event_stream(source.name),
        store=with_.store,
        offline=with_.offline,
        offline_root=with_.offline_root,
        clock=with_.clock,
        dead_letters=with_.dead_letters,
        settings=with_.settings,
    )


@dataclass(frozen=True, slots=True)
class SourceState:
    """Where the events of a source stand.

    Attributes
    ----------
    streamed
        Whether the source ever had an event, or was backfilled.
    heartbeat
        What the program that has it said last; None if none has, or it stopped in an orderly way.
    alive
        Whether that program runs.
    risk
        What in the stream's configuration may lose acknowledged events; empty if nothing is known.
    """

    source: str
    streamed: bool
    backlog: Backlog
    status: CommitterStatus
    heartbeat: Heartbeat | None
    alive: bool
    risk: str


def source_states(project: Project) -> list[SourceState]:
    """Return the state of every source."""
    sources = project.applied_catalog.sources
    beats = {beat.source: beat for beat in read_heartbeats(project.online, sources)}
    return [_state(project, source, beats.get(source.name)) for source in sources.values()]


def _state(project: Project, source: Source, heartbeat: Heartbeat | None) -> SourceState:
    stream = project.event_stream(source.name)
    return SourceState(
        source.name,
        project.offline.is_streamed(source),
        stream.backlog(),
        read_status(source, project.online, project.offline),
        heartbeat,
        heartbeat is not None and is_alive(heartbeat, project.clock.now_us()),
        stream.risk(),
    )
