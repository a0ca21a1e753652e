"""The ingest program: commit the events of all sources that have any, and share them with other programs by leases.

A thread per source waits for the source's first event, then for its lease, and commits until it is told to stop, loses
the lease, or an error ends that attempt: after a pause, which grows from a tenth of a second to five seconds, it begins
again from what the stores hold. So a Redis that restarts, or a disk that is full for a while, costs time and no event.

New definitions are taken up while it runs, and what it followed before it goes on following until it ends: a view that
was changed has rows of its own, and whoever serves reads the former ones until it is started again with the new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from time import monotonic

from featurestore.definitions import FeatureView, Source
from featurestore.foundation.clock import SECOND, Clock, format_instant
from featurestore.foundation.errors import UnskewError
from featurestore.ingestion.committer import Committer, OpeningReport
from featurestore.ingestion.dead_letter import DeadLetters
from featurestore.ingestion.errors import CommitterOvertaken
from featurestore.ingestion.heartbeat import (
    HEARTBEAT_S,
    Heartbeat,
    is_alive,
    read_heartbeats,
    remove_heartbeat,
    write_heartbeat,
)
from featurestore.ingestion.settings import IngestSettings
from featurestore.ingestion.stream.base import BEGINNING, EventStream
from featurestore.offline.base import OfflineStore
from featurestore.online.base import OnlineStore
from featurestore.online.errors import OwnershipLost

WAIT_S = 0.5
"""How long a thread waits for events before it looks whether it is to stop."""
RELOAD_S = 5.0
"""Time between two looks at the definitions in force, seconds."""
PLACE_S = 0.02
"""Time between two looks at a thread that is to end before another takes its source, seconds."""
AHEAD_US = 60 * SECOND
"""By how much an instant that commits are stamped with may be ahead of the clock before it is told."""
DRAIN_S = 10.0
"""How long a program that is told to stop goes on committing what waits, seconds."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
MOST_SOURCES = 256


@dataclass(frozen=True)
class StreamedSource:
    """A source, and the views over it that follow its events."""

    source: Source
    views: tuple[FeatureView, ...]

    @property
    def meaning(self) -> tuple[object, ...]:
        """What a committer of it is made of: as long as this stands, it need not be made anew."""
        return (str(self.source.describe()), *(view.row_digest for view in self.views))

    def following(self, former: StreamedSource | None) -> StreamedSource:
        """Return it with the views that were followed before and that its events, as they are now, can be read for."""
        if former is None or not _reads_as(self.source, former.source):
            return self
        digests = {view.row_digest for view in self.views}
        return replace(self, views=(*self.views, *(each for each in former.views if each.row_digest not in digests)))


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that an operator may want to know: ``opened``, ``failed``, ``lost`` or ``closed``, of which source."""

    kind: str
    source: str
    detail: str


def _tell_nobody(_: Happening) -> None:
    """Let it pass."""


@dataclass(frozen=True)
class Means:
    """What all sources' committers work with.

    Attributes
    ----------
    open_stream
        Opens the event stream of a source by its name.
    tell
        Called from any thread with what happens.
    """

    open_stream: Callable[[str], EventStream]
    store: OnlineStore
    offline: OfflineStore
    offline_root: Path
    clock: Clock
    dead_letters: DeadLetters
    settings: IngestSettings = field(default_factory=IngestSettings)
    tell: Callable[[Happening], None] = _tell_nobody


def streamed_sources(sources: Iterable[Source], views: Iterable[FeatureView]) -> list[StreamedSource]:
    """Return sources with the views over each."""
    over = list(views)
    return [
        StreamedSource(source, tuple(view for view in over if view.source.name == source.name)) for source in sources
    ]


class IngestProgram:
    """Commit the events of many sources.

    Parameters
    ----------
    load
        Returns the sources and views in force; asked every `RELOAD_S`, so that new definitions are taken up.
    means
        What the committers work with.
    """

    def __init__(self, load: Callable[[], Sequence[StreamedSource]], means: Means) -> None:
        self._load, self._means = load, means
        self._wanted: dict[str, StreamedSource] = {}
        self._workers: dict[str, _Worker] = {}
        self._ended: list[Future[None]] = []

    def run(self, stop: Event) -> None:
        """Commit until ``stop`` is set; then commit what waits, for `DRAIN_S` at most, and bring all to history.

        Raises
        ------
        BaseException
            Whatever ends a thread that is no error of ours: the others are stopped first.
        """
        with ThreadPoolExecutor(MOST_SOURCES, thread_name_prefix="ingest") as pool:
            try:
                self._watch(pool, stop)
            finally:
                for worker in self._workers.values():
                    worker.stop.set()
        for future in [*self._ended, *(worker.future for worker in self._workers.values())]:
            if future is not None:
                future.result()

    def _watch(self, pool: ThreadPoolExecutor, stop: Event) -> None:
        """Keep leases, and threads of the sources in force, until told to stop or a thread breaks."""
        look_at = monotonic()
        while True:
            if monotonic() >= look_at:
                self._reload()
                look_at = monotonic() + RELOAD_S
            ending = self._place(pool)
            for worker in self._workers.values():
                worker.keep_lease()
            if any(worker.broken for worker in self._workers.values()):
                return
            if stop.wait(PLACE_S if ending else min(self._means.settings.lease_ttl_s / 3, RELOAD_S)):
                return

    def _reload(self) -> None:
        try:
            loaded = self._load()
        except UnskewError as error:
            self._means.tell(Happening("failed", "", f"the definitions cannot be loaded: {error}"))
            return
        self._wanted |= {each.source.name: each.following(self._wanted.get(each.source.name)) for each in loaded}

    def _place(self, pool: ThreadPoolExecutor) -> bool:
        """Have a thread for each source; return whether one has to end first."""
        ending = False
        for name, streamed in self._wanted.items():
            worker = self._workers.get(name)
            if worker is not None and worker.streamed.meaning != streamed.meaning:
                worker.stop.set()
                if worker.future is None or not worker.future.done():
                    ending = True
                    continue
                self._ended.append(worker.future)
                worker = None
            if worker is None:
                worker = self._workers[name] = _Worker(streamed, self._means)
                worker.future = pool.submit(worker.run)
        return ending


class _Worker:
    """Commit one source, in a thread of its own."""

    def __init__(self, streamed: StreamedSource, means: Means) -> None:
        self.streamed = streamed
        self.stop = Event()
        self.future: Future[None] | None = None
        self._means = means
        self._name = streamed.source.name
        self._lost = Event()
        self._committer: Committer | None = None
        self._since_us = 0
        self._beat_at = 0.0

    @property
    def broken(self) -> bool:
        """Whether its thread ended without being told to."""
        return self.future is not None and self.future.done() and not self.stop.is_set()

    def run(self) -> None:
        """Commit until told to stop."""
        pause_s = FIRST_PAUSE_S
        while not self.stop.is_set():
            began = monotonic()
            try:
                self._serve()
            except UnskewError as error:
                self._means.tell(Happening("failed", self._name, str(error)))
                if not (self._lost.is_set() or isinstance(error, OwnershipLost | CommitterOvertaken)):
                    self._say(str(error))
                pause_s = FIRST_PAUSE_S if monotonic() - began > LONGEST_PAUSE_S else min(2 * pause_s, LONGEST_PAUSE_S)
                self.stop.wait(pause_s)
        with suppress(UnskewError):
            if any(beat.owner == self._means.settings.owner for beat in self._beats()):
                remove_heartbeat(self._means.store, self._name)

    def keep_lease(self) -> None:
        """Renew the lease if there is one; called from another thread."""
        committer = self._committer
        lease = None if committer is None else committer.lease
        if lease is None:
            return
        with suppress(UnskewError):
            if not lease.renew():
                self._lost.set()

    def _serve(self) -> None:
        """Wait for something to commit and for the lease, and commit until told to stop or the lease is lost."""
        stream = self._means.open_stream(self._name)
        try:
            if self._has_begun(stream):
                self._commit(stream)
        finally:
            stream.close()

    def _has_begun(self, stream: EventStream) -> bool:
        """Wait for the source's first event, for some seconds."""
        if self._means.offline.is_streamed(self.streamed.source):
            return True
        until = monotonic() + RELOAD_S
        while not self.stop.is_set() and monotonic() < until:
            if stream.read(BEGINNING, 1, WAIT_S):
                return True
        return False

    def _commit(self, stream: EventStream) -> None:
        committer = self._make(stream)
        self._lost.clear()
        self._since_us, self._committer = 0, committer
        try:
            self._say()
            opened = committer.open()
            if opened is None:
                self.stop.wait(self._means.settings.lease_ttl_s / 2)
                return
            self._since_us, self._beat_at = self._means.clock.now_us(), 0.0
            self._means.tell(Happening("opened", self._name, _opening_text(opened)))
            self._step_on(committer)
        finally:
            self._committer = None
            with suppress(UnskewError):
                committer.close()

    def _step_on(self, committer: Committer) -> None:
        while not self.stop.is_set():
            if self._lost.is_set():
                self._means.tell(Happening("lost", self._name, "another program has its lease, or none of them"))
                return
            if monotonic() >= self._beat_at:
                self._beat(committer)
            committer.step(WAIT_S)
        self._drain(committer)
        self._means.tell(Happening("closed", self._name, f"at commit {committer.applied.s}, all of it in history"))

    def _drain(self, committer: Committer) -> None:
        until = monotonic() + DRAIN_S
        while monotonic() < until and committer.step(0.0):
            pass
        committer.flush()
        remove_heartbeat(self._means.store, self._name)

    def _make(self, stream: EventStream) -> Committer:
        means = self._means
        return Committer(
            self.streamed.source,
            self.streamed.views,
            stream=stream,
            store=means.store,
            offline=means.offline,
            offline_root=means.offline_root,
            clock=means.clock,
            dead_letters=means.dead_letters,
            settings=means.settings,
        )

    def _say(self, error: str = "") -> None:
        """Say who is about to commit, or why he cannot, unless another program does."""
        with suppress(UnskewError):
            owner, now_us = self._means.settings.owner, self._means.clock.now_us()
            if not any(beat.owner != owner and is_alive(beat, now_us) for beat in self._beats()):
                self._beat(error=error)

    def _beats(self) -> list[Heartbeat]:
        return read_heartbeats(self._means.store, [self._name])

    def _beat(self, committer: Committer | None = None, error: str = "") -> None:
        """Say who has the source and how it stands; whoever cannot say so goes on."""
        self._beat_at = monotonic() + HEARTBEAT_S
        now_us, owner = self._means.clock.now_us(), self._means.settings.owner
        beat = Heartbeat(self._name, owner, self._since_us, now_us, error=error)
        if committer is not None:
            applied = committer.applied
            told = error or _ahead_text(applied.a_us, now_us)
            beat = Heartbeat(
                self._name, owner, self._since_us, now_us, applied.s, applied.a_us, committer.flushed_s, told
            )
        with suppress(UnskewError):
            write_heartbeat(self._means.store, beat)


def _opening_text(report: OpeningReport) -> str:
    views = ", ".join(base.view for base in report.bases) or "none"
    redone = "a half-made commit was made whole; " if report.redone else ""
    return f"{redone}{report.flushed} commits went to history; views written from history: {views}"


def _ahead_text(a_us: int, now_us: int) -> str:
    """Say that commits are stamped with instants to come, as no commit is stamped before an earlier one."""
    if a_us - now_us < AHEAD_US:
        return ""
    return (
        f"commits are stamped {format_instant(a_us)} and later, as one was by a clock that was ahead: "
        "what they hold is seen from then on (see `A clock that was ahead` in docs/operations.md)"
    )


def _reads_as(source: Source, former: Source) -> bool:
    """Return whether events of a source have all that a former definition of it says, and mean it."""
    now, then = ((each.identity, each.event_timestamp, each.tombstone, each.available_at) for each in (source, former))
    return now == then and former.schema.items() <= source.schema.items()
