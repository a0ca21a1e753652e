"""The registry: register models, move routes by compare-and-set, and tell what happened.

Every call that changes something is one transaction, on the disk when it returns, and one entry of the history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection

from featurestore.foundation.canonical import bytes_digest
from featurestore.foundation.clock import Clock, format_instant
from gateway.errors import RecordRefused, RouteConflict, RouteRefused
from gateway.registry import history, moves, record_table
from gateway.registry.artifact_store import ArtifactStore
from gateway.registry.database import Database
from gateway.registry.gate import judge
from gateway.registry.history import HistoryEntry, HistoryHead
from gateway.registry.promotion import Order, PromotionReport, pass_gate, stated
from gateway.registry.record import ModelRecord
from gateway.registry.route import Route, Variant, route_from_description

_Variants = Callable[[Route | None, int], tuple[Variant, ...]]
Admit = Callable[[tuple[ModelRecord, ...]], None]


def open_registry(url: str, artifacts: Path, clock: Clock) -> Registry:
    """Open the registry at a URL (``sqlite:<path>``), made if it is not there, with its folder of model files."""
    return Registry(Database(url), ArtifactStore(artifacts), clock)


class Registry:
    """What may answer, and who said so. Safe to share between threads and between processes.

    Every method that moves a route takes ``expected_revision``, the revision the caller saw (0 for no route). If the
    route has moved since, `RouteConflict` is raised and nothing changes: of racing callers exactly one wins. ``None``
    moves it from wherever it stands. ``actor`` says who moves it, ``reason`` why; both stay in the history. ``admit``
    is given the records of all variants of the new route; what it raises leaves the route where it is.
    """

    def __init__(self, database: Database, artifacts: ArtifactStore, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.artifacts = artifacts

    def register(self, record: ModelRecord, onnx: bytes, *, actor: str | None = None) -> ModelRecord:
        """Keep a model file and its record as the model's next version.

        A record that equals a registered one in all but version and instant is that one: it is returned, and
        nothing is added. The file is on the disk before a record names it.

        Parameters
        ----------
        record
            Its ``version``, ``artifact_digest`` and ``created_at_us`` are filled in.
        actor
            Who registers it; the owner if not said.
        """
        actor = stated("actor", record.owner if actor is None else actor, f"registering model {record.model}")
        _check_artifact(record, onnx)
        draft = replace(record, artifact_digest=self.artifacts.save(onnx), version=0, created_at_us=0)
        with self._database.writing() as connection:
            existing = record_table.same_content(connection, draft)
            return existing if existing is not None else self._add(connection, draft, actor)

    def get(self, model: str, selector: int | str = "champion") -> ModelRecord:
        """Return a version's record, by number or by alias: ``champion``, ``challenger``, ``latest``.

        Raises
        ------
        ModelUnknown
            If there is no such model, version or alias; the error names the nearest.
        HistoryBroken
            If the record is not the one that was registered.
        """
        with self._database.reading() as connection:
            return _select(connection, model, selector)

    def models(self) -> tuple[str, ...]:
        """Return the names of all models, sorted."""
        with self._database.reading() as connection:
            return record_table.models(connection)

    def versions(self, model: str) -> tuple[ModelRecord, ...]:
        """Return a model's records, first version first."""
        with self._database.reading() as connection:
            return record_table.versions(connection, model)

    def route(self, model: str) -> Route | None:
        """Return a model's current route, ``None`` if nothing of it was promoted yet."""
        with self._database.reading() as connection:
            record_table.latest(connection, model)
            return _route(connection, model)

    def routes(self) -> dict[str, Route]:
        """Return the current route of every model that has one."""
        with self._database.reading() as connection:
            found = {model: _route(connection, model) for model in record_table.models(connection)}
        return {model: route for model, route in found.items() if route is not None}

    def promote(
        self,
        model: str,
        version: int | str,
        *,
        actor: str,
        reason: str = "",
        expected_revision: int | None = None,
        override: bool = False,
        admit: Admit | None = None,
    ) -> PromotionReport:
        """Make a version the champion: it takes over the champion's weight, and a challenger keeps its own.

        Promoting the challenger ends the trial, all traffic is then the new champion's. Promoting the champion
        changes nothing.

        Parameters
        ----------
        override
            Promote although the gate says no; ``reason`` must then say why.

        Raises
        ------
        PromotionRefused
            If the gate says no: a threshold fails, its metric is missing, or no threshold is stated.
        RouteConflict
            If the route is not at ``expected_revision``.
        """

        def variants(before: Route | None, wanted: int) -> tuple[Variant, ...]:
            champion = None if before is None else before.champion.version
            return before.variants if before and champion == wanted else moves.with_champion(before, wanted)

        order = Order("promote", model, actor, reason)
        return self._gated(order, version, expected_revision, variants, override=override, admit=admit)

    def challenge(
        self,
        model: str,
        version: int | str,
        *,
        weights: tuple[int, int],
        actor: str,
        reason: str = "",
        expected_revision: int | None = None,
        override: bool = False,
        admit: Admit | None = None,
    ) -> PromotionReport:
        """Put a version on trial against the champion, or weigh the trial anew; it passes the gate each time.

        Parameters
        ----------
        weights
            Of champion and challenger: relative integers, ``(9, 1)`` for a tenth. Weight 0 gets no traffic.
        override
            As for `promote`.

        Raises
        ------
        PromotionRefused, RouteConflict
            As for `promote`.
        RouteRefused
            If there is no champion, the version is the champion, or the weights make no shares.
        """

        def variants(before: Route | None, wanted: int) -> tuple[Variant, ...]:
            return moves.with_challenger(before, wanted, weights)

        order = Order("challenge", model, actor, reason)
        return self._gated(order, version, expected_revision, variants, override=override, admit=admit)

    def withdraw(self, model: str, *, actor: str, reason: str = "", expected_revision: int | None = None) -> Route:
        """End the trial: all traffic goes to the champion; return the new route."""
        order = Order("withdraw", model, actor, reason)
        with self._moving(model) as connection:
            record_table.latest(connection, model)
            before = _expected(connection, model, expected_revision)
            after = moves.next_route(model, before, moves.without_challenger(before))
            self._record_move(connection, order, before, after)
            return after

    def rollback(
        self, model: str, *, actor: str, reason: str, expected_revision: int | None = None, admit: Admit | None = None
    ) -> Route:
        """Go back to the route before the last move, under a new revision; return it.

        Keys return to the variants they had. A second rollback goes one further back. Asks no gate: what it goes
        back to has passed it. A ``reason`` is required.
        """
        order = Order("rollback", model, actor, stated("reason", reason, f"rollback of model {model}"))
        with self._moving(model) as connection:
            record_table.latest(connection, model)
            before = _expected(connection, model, expected_revision)
            made = [each for each in history.entries(connection, model) if each.kind in history.ROUTE_KINDS]
            target = moves.route_before(made)
            after = replace(target, revision=1 if before is None else before.revision + 1)
            _admit(connection, after, admit)
            self._record_move(connection, order, before, after, {"to": target.revision})
            return after

    def history(self, model: str | None = None) -> tuple[HistoryEntry, ...]:
        """Return the entries of a model, or of all, oldest first."""
        with self._database.reading() as connection:
            if model is not None:
                record_table.latest(connection, model)
            return tuple(history.entries(connection, model))

    def head(self) -> int:
        """Return the number of the last history entry: one indexed read, grows with every change of anything."""
        with self._database.reading() as connection:
            return history.head(connection).seq

    def verify(self) -> HistoryHead:
        """Check every hash of the history and of the records; return where the history ends.

        That entries were cut off the end shows only against an end kept elsewhere.

        Raises
        ------
        HistoryBroken
            Naming the first entry or record that does not hold.
        """
        with self._database.reading() as connection:
            chain = history.entries(connection)
            end = history.check_chain(chain)
            _check_records(connection, chain)
        return end

    def close(self) -> None:
        """Close the database's connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _add(self, connection: Connection, draft: ModelRecord, actor: str) -> ModelRecord:
        number = record_table.next_version(connection, draft.model)
        record = replace(draft, version=number, created_at_us=self._clock.now_us())
        record_table.add(connection, record)
        history.append(
            connection,
            model=record.model,
            kind="register",
            actor=actor,
            reason="",
            at_us=record.created_at_us,
            before=None,
            after=_registered(record),
            detail=None,
        )
        return record

    def _gated(
        self,
        order: Order,
        version: int | str,
        expected_revision: int | None,
        variants: _Variants,
        *,
        override: bool,
        admit: Admit | None,
    ) -> PromotionReport:
        with self._moving(order.model) as connection:
            record = _select(connection, order.model, version)
            before = _expected(connection, order.model, expected_revision)
            gate = judge(record)
            pass_gate(gate, override=override, reason=order.reason)
            after = moves.next_route(order.model, before, variants(before, record.version))
            _admit(connection, after, admit)
            if after != before:
                detail = {"gate": gate.describe(), "overridden": not gate.passed}
                self._record_move(connection, order, before, after, detail)
            return PromotionReport(gate, not gate.passed, before, after, order.actor, order.reason)

    @contextmanager
    def _moving(self, model: str) -> Iterator[Connection]:
        """Give a transaction that moves a model's route; a move that makes no sense names the model as its place."""
        try:
            with self._database.writing() as connection:
                yield connection
        except RouteRefused as error:
            error.where = error.where or f"model {model}"
            raise

    def _record_move(
        self, connection: Connection, order: Order, before: Route | None, after: Route, detail: Any = None
    ) -> None:
        history.append(
            connection,
            model=order.model,
            kind=order.kind,
            actor=order.actor,
            reason=order.reason,
            at_us=self._clock.now_us(),
            before=None if before is None else before.describe(),
            after=after.describe(),
            detail=detail,
        )


def _admit(connection: Connection, after: Route, admit: Admit | None) -> None:
    """Hand the records of a new route to the caller, who may refuse it."""
    if admit is not None:
        admit(tuple(record_table.version(connection, after.model, each.version) for each in after.variants))


def _select(connection: Connection, model: str, selector: int | str) -> ModelRecord:
    if isinstance(selector, str) and selector.isdecimal():
        selector = int(selector)
    if isinstance(selector, int):
        return record_table.version(connection, model, selector)
    newest = record_table.latest(connection, model)
    if selector == "latest":
        return newest
    route = _route(connection, model)
    variant = None if route is None else route.variant(selector)
    if variant is None:
        raise record_table.unknown_version(model, selector, range(1, newest.version + 1))
    return record_table.version(connection, model, variant.version)


def _route(connection: Connection, model: str) -> Route | None:
    entry = history.last_route_entry(connection, model)
    return None if entry is None else route_from_description(entry.after)


def _expected(connection: Connection, model: str, revision: int | None) -> Route | None:
    """Return the current route, once it is found at the revision that the caller saw."""
    entry = history.last_route_entry(connection, model)
    route = None if entry is None else route_from_description(entry.after)
    current = 0 if route is None else route.revision
    if revision is not None and revision != current:
        moved = f", moved by {entry.actor} at {format_instant(entry.at_us)}" if entry else ""
        raise RouteConflict(
            f"the route is at revision {current}{moved}, not at {revision}",
            where=f"model {model}",
            mend="look at the route as it is now, and decide again",
        )
    return route


def _check_artifact(record: ModelRecord, onnx: bytes) -> None:
    if not onnx:
        raise RecordRefused(
            "the model file is empty", where=f"model {record.model}", mend="hand over the bytes of the ONNX graph"
        )
    if record.artifact_digest not in ("", bytes_digest(onnx)):
        raise RecordRefused(
            f"artifact_digest is {record.artifact_digest}, but the bytes have {bytes_digest(onnx)}",
            where=f"model {record.model}",
            mend="leave artifact_digest out: it is computed from the bytes",
        )


def _registered(record: ModelRecord) -> dict[str, Any]:
    return {
        "version": record.version,
        "record_hash": record.record_hash,
        "artifact_digest": record.artifact_digest,
    }


def _check_records(connection: Connection, chain: list[HistoryEntry]) -> None:
    stated = {(entry.model, entry.after["version"]): entry for entry in chain if entry.kind == "register"}
    kept = {
        (model, record.version): record
        for model in record_table.models(connection)
        for record in record_table.versions(connection, model)
    }
    for key, entry in stated.items():
        if key not in kept or _registered(kept[key]) != entry.after:
            raise history.broken(entry.seq, f"version {key[1]} of model {key[0]} is not what was registered")
    for model, version in kept.keys() - stated.keys():
        raise history.broken(len(chain), f"version {version} of model {model} was never registered")
