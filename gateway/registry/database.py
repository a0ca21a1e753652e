"""The registry's tables, and transactions on them: SQLite, written ahead, synced before a commit returns.

Both tables are append-only: triggers refuse every update, delete and replacement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from featurestore.foundation.durable_file import exclusive_lock, sync_folder
from gateway.errors import RegistryError

FORMAT = 1
"""Version of the tables, kept in SQLite's ``user_version``; 0 is a file without tables."""
BUSY_TIMEOUT_MS = 30_000
"""How long a writer waits for another one before it gives up."""

_metadata = MetaData()

records = Table(
    "records",
    _metadata,
    Column("model", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("record_hash", String, nullable=False),
    Column("content_digest", String, nullable=False),
    Column("description", Text, nullable=False),
    UniqueConstraint("model", "content_digest"),
)

history = Table(
    "history",
    _metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("model", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous_hash", String, nullable=False),
    Column("hash", String, nullable=False),
    Index("history_by_model", "model", "seq"),
)

_KEYS = {
    "records": "model = NEW.model AND version = NEW.version"
    " OR model = NEW.model AND content_digest = NEW.content_digest",
    "history": "seq = NEW.seq",
}


class Database:
    """A registry's database.

    Parameters
    ----------
    url
        ``sqlite:<path>``; the file and its folder are made if they are not there.
    """

    def __init__(self, url: str) -> None:
        self.path = _path(url)
        self._engine = _engine(self.path)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state throughout, and is never kept waiting by a writer."""
        with self._wrapped(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give the only connection that may write; on a clean exit its changes are on the disk, otherwise undone."""
        with self._wrapped(), self._engine.connect() as connection:
            immediate = connection.execution_options(immediate=True)
            with immediate.begin():
                yield immediate

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _prepare(self) -> None:
        try:
            with exclusive_lock(self.path.with_name(f"{self.path.name}.lock")), self._wrapped():
                self._create_tables()
        except OSError as error:
            raise RegistryError(
                f"the registry cannot be opened: {error.strerror}",
                where=str(self.path),
                mend="check [registry] url in unskew.toml, and the folder's permissions",
            ) from error

    def _create_tables(self) -> None:
        with self.reading() as connection:
            found = connection.execute(text("PRAGMA user_version")).scalar_one()
        if found > FORMAT:
            raise RegistryError(
                f"the registry has format {found}; this unskew knows {FORMAT}",
                where=str(self.path),
                mend="upgrade unskew",
            )
        if found == 0:
            self._write_ahead()
            with self.writing() as connection:
                _metadata.create_all(connection)
                for statement in _append_only():
                    connection.execute(text(statement))
                connection.execute(text(f"PRAGMA user_version = {FORMAT}"))
            sync_folder(self.path.parent)

    def _write_ahead(self) -> None:
        raw = self._engine.raw_connection()  # outside any transaction, where alone the mode can change
        try:
            raw.cursor().execute("PRAGMA journal_mode = WAL")
        finally:
            raw.close()

    @contextmanager
    def _wrapped(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            cause = getattr(error, "orig", None) or error
            raise RegistryError(
                f"the registry's database failed: {cause}",
                where=str(self.path),
                mend="is it a registry, its disk not full, and no program holding it locked? `unskew doctor` looks",
            ) from error


def _path(url: str) -> Path:
    scheme, _, rest = url.partition(":")
    if scheme != "sqlite" or not rest or (rest.startswith("//") and not rest.startswith("///")):
        raise RegistryError(
            f"no registry can be opened at {url!r}",
            where="[registry] url",
            mend='write "sqlite:.unskew/registry.db", or "sqlite:///srv/unskew/registry.db" for an absolute path',
        )
    return Path("/" + rest.lstrip("/") if rest.startswith("/") else rest).absolute()


def _engine(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)))

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing of its own accord: the listener below does
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _append_only() -> Iterator[str]:
    for table, same_key in _KEYS.items():
        refusal = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        taken = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same_key})"  # noqa: S608 - names from this module
        yield f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refusal}"
        yield f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refusal}"
        yield f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} {taken} {refusal}"
