"""The registry's history: who did what, when and why; each entry's hash covers the one before it.

The current route of a model is the ``after`` of its last entry that moved the route; nothing else says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select

from featurestore.foundation.canonical import canonical_bytes, digest
from gateway.errors import HistoryBroken
from gateway.registry import database

ROUTE_KINDS = ("promote", "challenge", "withdraw", "rollback")
"""Kinds of entries that move a route; the other kind is ``register``."""
GENESIS = "0" * 64
"""What stands for the hash before the first entry."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that was done.

    Attributes
    ----------
    seq
        1 for the registry's first entry, consecutive over all models.
    before, after
        The model's route as plain data, ``None`` before the first; for ``register``, ``after`` names version,
        record hash and artifact digest.
    detail
        For promotions and challenges: the gate's report, and whether it was overridden. For rollbacks: the
        revision gone back to.
    hash
        SHA-256 of all of the above and of ``previous_hash``.
    """

    seq: int
    model: str
    kind: str
    actor: str
    reason: str
    at_us: int
    before: Any
    after: Any
    detail: Any
    previous_hash: str
    hash: str = ""

    def describe(self) -> dict[str, Any]:
        """Return it as plain data, its own hash included."""
        return self._covered() | {"hash": self.hash}

    def computed_hash(self) -> str:
        """Return the hash that its content asks for."""
        return digest(self._covered())

    def _covered(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__ if name != "hash"}


@dataclass(frozen=True, slots=True)
class HistoryHead:
    """The end of the history. Kept elsewhere, it shows later whether entries were cut off the end."""

    seq: int
    hash: str


def entries(connection: Connection, model: str | None = None) -> list[HistoryEntry]:
    """Return a model's entries, or all, oldest first."""
    query = select(database.history).order_by(database.history.c.seq)
    if model is not None:
        query = query.where(database.history.c.model == model)
    return [_entry(row) for row in connection.execute(query).mappings()]


def last_route_entry(connection: Connection, model: str) -> HistoryEntry | None:
    """Return the entry that put the model's current route, ``None`` if it has none.

    Raises
    ------
    HistoryBroken
        If its content does not have its hash: a route that nobody moved to is not served.
    """
    table = database.history
    query = select(table).where(table.c.model == model, table.c.kind.in_(ROUTE_KINDS))
    row = connection.execute(query.order_by(table.c.seq.desc()).limit(1)).mappings().first()
    entry = None if row is None else _entry(row)
    if entry is not None and entry.hash != entry.computed_hash():
        raise broken(entry.seq, "its content does not have its hash")
    return entry


def head(connection: Connection) -> HistoryHead:
    """Return where the history ends."""
    table = database.history
    row = connection.execute(select(table.c.seq, table.c.hash).order_by(table.c.seq.desc()).limit(1)).first()
    return HistoryHead(0, GENESIS) if row is None else HistoryHead(row.seq, row.hash)


def append(
    connection: Connection,
    *,
    model: str,
    kind: str,
    actor: str,
    reason: str,
    at_us: int,
    before: Any,
    after: Any,
    detail: Any,
) -> HistoryEntry:
    """Add an entry at the end, within the caller's writing transaction."""
    end = head(connection)
    entry = HistoryEntry(end.seq + 1, model, kind, actor, reason, at_us, before, after, detail, end.hash)
    hashed = entry.computed_hash()
    values = entry.describe() | {name: _text(getattr(entry, name)) for name in ("before", "after", "detail")}
    connection.execute(insert(database.history).values(values | {"hash": hashed}))
    return HistoryEntry(**(entry.describe() | {"hash": hashed}))


def check_chain(chain: Sequence[HistoryEntry]) -> HistoryHead:
    """Check numbers, hashes and that each route begins where the model's last one ended; return the end.

    Raises
    ------
    HistoryBroken
        Naming the first entry that does not hold.
    """
    end = HistoryHead(0, GENESIS)
    routes: dict[str, Any] = {}
    for entry in chain:
        for objection in _objections(entry, end, routes.get(entry.model)):
            raise broken(entry.seq, objection)
        if entry.kind in ROUTE_KINDS:
            routes[entry.model] = entry.after
        end = HistoryHead(entry.seq, entry.hash)
    return end


def broken(seq: int, objection: str) -> HistoryBroken:
    """Return the error of an entry that does not hold."""
    return HistoryBroken(
        objection,
        where=f"registry history, entry {seq}",
        mend="the registry was altered by other means than unskew: restore it from a backup",
    )


def _objections(entry: HistoryEntry, end: HistoryHead, route: Any) -> Iterable[str]:
    if entry.seq != end.seq + 1:
        yield f"entry {end.seq + 1} is missing"
    if entry.previous_hash != end.hash:
        yield "it does not continue the entry before it"
    if entry.hash != entry.computed_hash():
        yield "its content does not have its hash"
    if entry.kind in ROUTE_KINDS and entry.before != route:
        yield "it does not begin at the route before it"


def _text(value: Any) -> str:
    return canonical_bytes(value).decode()


def _entry(row: RowMapping) -> HistoryEntry:
    parsed = {name: json.loads(row[name]) for name in ("before", "after", "detail")}
    return HistoryEntry(**(dict(row) | parsed))
