"""Model records in the registry's database: each written once, checked against its hash at every read."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from featurestore.foundation.canonical import canonical_bytes
from gateway.errors import HistoryBroken, ModelUnknown
from gateway.registry.database import records
from gateway.registry.record import ModelRecord, from_description


def add(connection: Connection, record: ModelRecord) -> None:
    """Write a new version, within the caller's writing transaction."""
    connection.execute(
        insert(records).values(
            model=record.model,
            version=record.version,
            record_hash=record.record_hash,
            content_digest=record.content_digest,
            description=canonical_bytes(record.describe()).decode(),
        )
    )


def models(connection: Connection) -> tuple[str, ...]:
    """Return the names of all models, sorted."""
    return tuple(connection.execute(select(records.c.model).distinct().order_by(records.c.model)).scalars())


def versions(connection: Connection, model: str) -> tuple[ModelRecord, ...]:
    """Return a model's records, first version first."""
    query = select(records).where(records.c.model == model).order_by(records.c.version)
    found = tuple(_record(row) for row in connection.execute(query))
    if not found:
        raise _unknown_model(model, models(connection))
    return found


def version(connection: Connection, model: str, number: int) -> ModelRecord:
    """Return one record."""
    query = select(records).where(records.c.model == model, records.c.version == number)
    row = connection.execute(query).first() if number < 2**63 else None  # SQLite has no greater number
    if row is None:
        raise unknown_version(model, number, [each.version for each in versions(connection, model)])
    return _record(row)


def latest(connection: Connection, model: str) -> ModelRecord:
    """Return a model's newest record."""
    return versions(connection, model)[-1]


def next_version(connection: Connection, model: str) -> int:
    """Return the number that the model's next version gets."""
    query = select(records.c.version).where(records.c.model == model).order_by(records.c.version.desc()).limit(1)
    return (connection.execute(query).scalar() or 0) + 1


def same_content(connection: Connection, record: ModelRecord) -> ModelRecord | None:
    """Return the version that differs from ``record`` in nothing but version and instant, if there is one."""
    query = select(records).where(records.c.model == record.model, records.c.content_digest == record.content_digest)
    row = connection.execute(query).first()
    return None if row is None else _record(row)


def unknown_version(model: str, asked: object, known: Iterable[int]) -> ModelUnknown:
    """Return the error of a version or alias that is not there, with those that are."""
    numbers = list(known)
    span = f"versions 1 to {numbers[-1]}" if len(numbers) > 1 else "version 1"
    return ModelUnknown(
        f"model {model} has no version {asked!r}",
        mend=f"it has {span}; a number, champion, challenger or latest can be asked for",
    )


def _unknown_model(model: str, known: tuple[str, ...]) -> ModelUnknown:
    near = difflib.get_close_matches(model, known, n=3, cutoff=0.5)
    if near:
        mend = f"did you mean {' or '.join(near)}?"
    elif known:
        mend = f"there are {', '.join(known[:5])}{', ...' if len(known) > 5 else ''}"
    else:
        mend = "there are no models yet: `unskew train` registers one"
    return ModelUnknown(f"no model is called {model!r}", mend=mend)


def _record(row: Row[Any]) -> ModelRecord:
    record = from_description(json.loads(row.description))
    if record.record_hash != row.record_hash or (record.model, record.version) != (row.model, row.version):
        raise HistoryBroken(
            "the record is not the one that was registered",
            where=f"model {row.model}, version {row.version}",
            mend="the registry was altered by other means than unskew: restore it from a backup",
        )
    return record
