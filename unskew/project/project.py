"""One project as commands see it: the composition root of everything but the gateway."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from featurestore.foundation.clock import Clock, parse_instant
from gateway.settings import Settings, load_settings
from unskew.errors import CommandRefused

if TYPE_CHECKING:
    from featurestore.catalog.catalog import Catalog
    from featurestore.ingestion.dead_letter import DeadLetters
    from featurestore.ingestion.event_writer import EventWriter
    from featurestore.ingestion.sent_files import SentFiles
    from featurestore.ingestion.stream.base import EventStream
    from featurestore.materialisation.ledger import Ledger
    from featurestore.offline.duckdb_store import DuckDBStore
    from featurestore.online.base import OnlineStore
    from gateway.registry.registry import Registry
    from lifecycle.training.model import Model


class Project:
    """A project's parts, each opened at first use and closed with the project.

    Parameters
    ----------
    settings
        As read from its `unskew.toml`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open = ExitStack()

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """Read the settings of the project at ``path``, or of the one we stand in."""
        return cls(load_settings(path))

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.settings.root

    @property
    def state(self) -> Path:
        """Where catalog, training sets and ledgers are kept."""
        return self.settings.project.state

    @property
    def training_sets(self) -> Path:
        """Where the records of training sets, and their spines, are kept."""
        return self.state / "training-sets"

    @cached_property
    def ledger(self) -> Ledger:
        """What materialisation has done."""
        from featurestore.materialisation.ledger import Ledger

        return Ledger(self.state / "materialisation")

    @cached_property
    def clock(self) -> Clock:
        """The project's clock."""
        return self.settings.open_clock()

    @cached_property
    def catalog(self) -> Catalog:
        """The definitions as the files say now."""
        from featurestore.catalog.load import load_definitions

        return load_definitions(self.settings.project.definitions)

    @cached_property
    def applied_catalog(self) -> Catalog:
        """The definitions, once it is certain that they are the ones in force.

        Raises
        ------
        CatalogError
            If nothing was applied, or something else was.
        """
        from featurestore.catalog.applied import load_applied

        return load_applied(self.settings.project.definitions, self.state)

    @cached_property
    def models(self) -> dict[str, Model]:
        """The models of the project, by name."""
        from lifecycle.training.model_file import load_models

        return load_models(self.settings.project.models, self.applied_catalog)

    def model(self, name: str) -> Model:
        """Return one of the project's models, or raise with the nearest name."""
        from lifecycle.training.model_file import find_model

        return find_model(self.models, name, self.settings.project.models)

    @cached_property
    def offline(self) -> DuckDBStore:
        """History."""
        from featurestore.offline.duckdb_store import open_offline_store

        store = open_offline_store(self.settings.offline.path, self.settings.offline.threads)
        self._open.callback(store.close)
        return store

    @cached_property
    def online(self) -> OnlineStore:
        """Current values.

        Raises
        ------
        CommandRefused
            For ``memory:``, which ends with the command that wrote it.
        """
        from featurestore.online.open_store import is_ephemeral, open_store

        url = self.settings.online.url
        if is_ephemeral(url):
            raise CommandRefused(
                f"[online] url = {url!r} keeps values only within one process, and a command is one",
                where=str(self.settings.file),
                mend='use url = "lmdb:.unskew/online" or "redis://host:port/0"',
            )
        store = open_store(url)
        self._open.callback(store.close)
        return store

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """Rows that were refused, or could not be committed."""
        from featurestore.ingestion.dead_letter import DeadLetters

        return DeadLetters(self.settings.ingestion.dead_letters, self.clock)

    def event_stream(self, source: str) -> EventStream:
        """Return the stream of a source in force, open until the project is closed."""
        stream = self.open_event_stream(self.applied_catalog.source(source).name)
        self._open.callback(stream.close)
        return stream

    def open_event_stream(self, source: str) -> EventStream:
        """Open the stream of a source, for the caller to close."""
        from featurestore.ingestion.stream.open_stream import open_stream

        section = self.settings.ingestion
        url = self.settings.online.url
        return open_stream(url, section.stream, source, backlog_limit_rows=section.backlog_limit_rows)

    def event_writer(self, source: str) -> EventWriter:
        """Return a writer of a source's events, open until the project is closed."""
        from featurestore.ingestion.event_writer import CHUNK_ROWS, EventWriter

        rows = min(CHUNK_ROWS, self.settings.ingestion.backlog_limit_rows)
        catalog, stream = self.applied_catalog, self.event_stream(source)
        keys = catalog.view_keys(source)
        return EventWriter(catalog.source(source), stream, self.dead_letters, keys=keys, chunk_rows=rows)

    @property
    def sent_files(self) -> SentFiles:
        """The files that were sent as events."""
        from featurestore.ingestion.sent_files import SentFiles

        return SentFiles(self.state / "sent-files")

    @cached_property
    def registry(self) -> Registry:
        """Models and routes."""
        from gateway.registry.registry import open_registry

        registry = open_registry(self.settings.registry.url, self.settings.registry.artifacts, self.clock)
        self._open.callback(registry.close)
        return registry

    def instant(self, as_of: str | None) -> int:
        """Return the instant a command is about: the one given, or the clock's."""
        return self.clock.now_us() if as_of is None else parse_instant(as_of)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
