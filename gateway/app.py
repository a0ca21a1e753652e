"""The composition of the gateway: the only chooser of backends, and the whole request path on one screen."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import uvicorn

from featurestore.catalog.applied import load_applied
from featurestore.catalog.catalog import Catalog
from featurestore.definitions import FeatureService
from featurestore.foundation.clock import Clock
from featurestore.foundation.errors import UnskewError
from featurestore.ingestion.accept import EventForm
from featurestore.ingestion.dead_letter import DeadLetters
from featurestore.ingestion.stream.base import EventStream
from featurestore.ingestion.stream.open_stream import open_stream
from featurestore.online.base import OnlineReader, OnlineStore
from featurestore.online.open_store import open_store
from gateway.api.events_route import EventsRoute, event_source
from gateway.api.exchange import Receive, Scope, Send
from gateway.api.operations import operations
from gateway.api.predict_route import PredictRoute, predicted_model
from gateway.errors import NotReady, SettingsError
from gateway.inference.model_pool import ModelPool
from gateway.observability.event_log import log_events
from gateway.observability.metrics import (
    LOG_ERRORS,
    LOG_FILES,
    LOG_ROWS,
    LOG_UNSYNCED,
    LOG_WAITING,
    Measures,
    Reading,
)
from gateway.predictionlog.background import BackgroundCompaction
from gateway.predictionlog.writer import PredictionLog
from gateway.registry.registry import Registry, open_registry
from gateway.routing.follower import RouteFollower
from gateway.serving.event_intake import EventIntake
from gateway.serving.feature_fetch import FeatureFetch
from gateway.serving.predict import Predictor
from gateway.serving.prediction_round import PredictionRound
from gateway.serving.route_watch import RouteWatch
from gateway.serving.served_model import ModelLoader
from gateway.serving.view_watch import ViewWatch
from gateway.settings import Settings, load_settings


class GatewayApp:
    """The gateway as one ASGI application: predictions and events on raw paths, all else by FastAPI.

    Attributes
    ----------
    intake
        The path of events.
    startup_error
        Why the application did not start, if it did not.
    """

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        refuse_other_hosts(settings)
        self._settings = settings
        self._catalog = catalog
        self._clock: Clock = settings.open_clock()
        self._measures = Measures()
        self._predictor = Predictor(
            batch_limit_rows=settings.gateway.batch_limit_rows,
            in_flight_limit_requests=settings.gateway.in_flight_limit_requests,
            measures=self._measures,
        )
        limit = settings.gateway.body_limit_bytes
        self._predict = PredictRoute(self._predictor, self._measures, body_limit_bytes=limit)
        self.intake = self._make_intake()
        self._events = EventsRoute(
            self.intake,
            self._measures,
            body_limit_bytes=settings.ingestion.body_limit_bytes,
            request_limit_rows=settings.ingestion.request_limit_rows,
        )
        self._operations = operations(
            self._predictor, self._measures, self._open_registry, self._ping_store, self._refuse_still
        )
        self._registry: Registry | None = None
        self._store: OnlineStore | None = None
        self._views: ViewWatch | None = None
        self.startup_error: UnskewError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the application's lifespan."""
        if scope["type"] == "http":
            model = predicted_model(scope["path"])
            if model is not None:
                await self._predict.answer(model, scope, receive, send)
                return
            source = event_source(scope["path"])
            if source is not None:
                await self._events.answer(source, scope, receive, send)
                return
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        await self._operations(scope, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the stores, load the models and follow the registry; on leaving, finish and flush the log."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            self._store = store = open_store(settings.online.url)
            stack.callback(store.close)
            reader = store.reader()
            stack.push_async_callback(reader.aclose)
            self._registry = registry = open_registry(settings.registry.url, settings.registry.artifacts, self._clock)
            stack.callback(registry.close)
            log = self._open_log(stack)
            views = self._views = ViewWatch(store)
            loader = ModelLoader(
                ModelPool(registry.artifacts.load), self._catalog, self._round_opener(reader, log, views)
            )
            watch = RouteWatch(RouteFollower(registry, loader.load), self._predictor, self._measures)
            await asyncio.to_thread(watch.refresh)
            interval_s = settings.gateway.route_poll_interval_ms / 1_000
            for looking in (watch.run(interval_s), views.run(interval_s)):
                stack.push_async_callback(_cancelled, asyncio.create_task(looking))
            stack.push_async_callback(asyncio.to_thread, self.intake.close)
            watching = asyncio.create_task(self.intake.watch_backlogs())
            stack.push_async_callback(_cancelled, watching)
            stack.callback(self._predictor.admission.close)
            stack.callback(self.intake.admission.close)
            yield

    def _make_intake(self) -> EventIntake:
        section = self._settings.ingestion
        return EventIntake(
            {name: EventForm(source, self._catalog.view_keys(name)) for name, source in self._catalog.sources.items()},
            self._open_stream,
            DeadLetters(section.dead_letters, self._clock),
            self._measures,
            in_flight_limit_requests=self._settings.gateway.in_flight_limit_requests,
            in_flight_limit_bytes=section.in_flight_limit_bytes,
        )

    def _open_stream(self, source: str) -> EventStream:
        section = self._settings.ingestion
        url = self._settings.online.url
        return open_stream(url, section.stream, source, backlog_limit_rows=section.backlog_limit_rows)

    def _open_log(self, stack: AsyncExitStack) -> PredictionLog:
        section = self._settings.predictions
        log = PredictionLog(
            section.path,
            durability=section.durability,
            flush_interval_ms=section.flush_interval_ms,
            flush_rows=section.flush_rows,
            capacity_rows=section.capacity_rows,
            sync_limit_ms=section.sync_limit_ms,
            segment_bytes=section.segment_bytes,
            segment_age_s=section.segment_age_s,
        )
        if section.compaction == "background":
            stack.enter_context(BackgroundCompaction(section.path, interval_s=section.compaction_interval_s))
        stack.push_async_callback(asyncio.to_thread, log.close)
        self._measures.watch(lambda: _log_readings(log))
        return log

    def _round_opener(
        self, reader: OnlineReader, log: PredictionLog, views: ViewWatch
    ) -> Callable[[FeatureService], PredictionRound]:
        degrade = self._settings.gateway.on_store_error == "degrade"

        def open_round(service: FeatureService) -> PredictionRound:
            views.add(service)
            fetch = FeatureFetch(service, reader, self._clock, self._measures, views, degrade=degrade)
            return PredictionRound(service, fetch, log)

        return open_round

    def _open_registry(self) -> Registry:
        if self._registry is None:
            raise NotReady("the gateway is starting", mend="ask again in a moment")
        return self._registry

    def _ping_store(self) -> None:
        if self._store is not None:
            self._store.ping()

    def _refuse_still(self, service: FeatureService) -> None:
        if self._views is not None:
            self._views.refuse(service)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self.running())
            except UnskewError as error:
                self.startup_error = error
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def create_app(settings: Settings | None = None, catalog: Catalog | None = None) -> GatewayApp:
    """Make the gateway of a project; ``uvicorn --factory gateway.app:create_app`` serves it too.

    Parameters
    ----------
    settings
        The project's; by default those of the present folder or above it.
    catalog
        Its definitions; by default those of its file, which must be the ones in force (`unskew apply`).

    Raises
    ------
    SettingsError, CatalogError, DefinitionError
        If they cannot be loaded, or the host is not loopback.
    """
    settings = load_settings() if settings is None else settings
    if catalog is None:
        catalog = load_applied(settings.project.definitions, settings.project.state)
    return GatewayApp(settings, catalog)


def serve(settings: Settings, catalog: Catalog | None = None, *, announce: Callable[[str], None] | None = None) -> None:
    """Serve a project until a signal says stop; then answer what is in work, flush the log, and return.

    Parameters
    ----------
    announce
        Called once with the base URL, when the port is bound and before models are loaded.

    Raises
    ------
    UnskewError
        If it cannot start: host not loopback, port taken, store or registry not to be opened.
    """
    app = create_app(settings, catalog)
    log_events()
    listening = _listen(settings)
    host, port = listening.getsockname()[:2]
    if announce is not None:
        announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.gateway.shutdown_grace_s,
    )
    try:
        with listening:
            _Server(config).run(sockets=[listening])
    except SystemExit:  # how uvicorn ends when the lifespan did not start
        if app.startup_error is not None:
            raise app.startup_error from None
        raise


class _Server(uvicorn.Server):
    """A server that returns when a signal has stopped it, where uvicorn would raise the signal again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGINT or SIGTERM, at once at the second; put the old handlers back on leaving."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        old = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


def refuse_other_hosts(settings: Settings) -> None:
    """Raise `SettingsError` unless the gateway would listen on a loopback address only: it has no API keys yet."""
    host = settings.gateway.host
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SettingsError(
            f"[gateway] host = {host!r} is not a loopback address, and requests are not authenticated",
            where=str(settings.file),
            mend='use "127.0.0.1", and let a proxy on this machine authenticate others',
        )


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.gateway.host, settings.gateway.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"cannot listen on {host} port {port}: {error.strerror}",
            where=str(settings.file),
            mend="stop what listens there, or set another [gateway] port (0 takes a free one)",
        ) from None
    return listening


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _log_readings(log: PredictionLog) -> list[Reading]:
    counters = log.counters()
    return [
        (LOG_ROWS, ("written",), float(counters.written)),
        (LOG_ROWS, ("dropped",), float(counters.dropped)),
        (LOG_WAITING, (), float(counters.waiting)),
        (LOG_UNSYNCED, (), float(counters.unsynced)),
        (LOG_FILES, (), float(counters.files)),
        (LOG_ERRORS, (), float(counters.errors)),
    ]
