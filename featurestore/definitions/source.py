"""Where rows come from, and which of their columns say what happened, when, and when it could be known."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from featurestore.definitions.definition import (
    Definition,
    check_dtype,
    check_text,
    duration_us,
    nearest,
)
from featurestore.semantics.value import Bool, DType, Int64, String, Timestamp

RESERVED_PREFIX = "__"
"""Names that begin so are the store's own columns."""


@dataclass(frozen=True)
class Delay:
    """A constant time between an event and the instant at which serving can first see it.

    Attributes
    ----------
    us
        The delay in microseconds, zero or more.
    """

    length: str
    us: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "us", duration_us("Delay", "length", self.length, zero=True))


class Source(Definition):
    """What event and table sources share. See `EventSource` and `TableSource`."""

    schema: Mapping[str, DType]
    available_at: str | Delay
    path: str
    tombstone: str | None
    timezone: str | None
    description: str
    event_timestamp: str

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns that tell one event from another; rows equal in them are versions of one event."""
        raise NotImplementedError

    @cached_property
    def available_column(self) -> str | None:
        """The column that says when serving could first see a row, or ``None`` if a delay says it."""
        return None if isinstance(self.available_at, Delay) else self.available_at

    @cached_property
    def delay_us(self) -> int:
        """The constant delay in microseconds; 0 if a column says when a row is available."""
        return self.available_at.us if isinstance(self.available_at, Delay) else 0

    def describe(self) -> dict[str, Any]:
        """Return the schema in order, the columns with a part to play, the delay and the zone as plain data."""
        return self.describe_columns(self.schema)

    def describe_columns(self, columns: Collection[str]) -> dict[str, Any]:
        """Return what `describe` does for a source of these columns and those with a part to play alone."""
        kept = {*columns, *self.identity, self.event_timestamp, self.available_column, self.tombstone}
        return {
            "definition": self.noun,
            "name": self.name,
            "schema": [[name, str(dtype)] for name, dtype in self.schema.items() if name in kept],
            "event_timestamp": self.event_timestamp,
            "identity": list(self.identity),
            "available_at": {"delay_us": self.delay_us} if self.available_column is None else self.available_column,
            "tombstone": self.tombstone,
            "timezone": self.timezone,
        }

    def _checked(self) -> None:
        """Validate what both kinds of source have; called once the fields stand."""
        self._named(self.name)
        self._check_schema()
        self._check_role(
            "event_timestamp" if self.noun == "EventSource" else "effective_at", self.event_timestamp, Timestamp
        )
        if self.available_column is not None:
            self._check_role("available_at", self.available_column, Timestamp)
        if self.tombstone is not None:
            self._check_role("tombstone", self.tombstone, Bool)
        self._check_zone()
        check_text(self, "path", self.path, empty=False)
        check_text(self, "description", self.description)

    def _check_schema(self) -> None:
        if not isinstance(self.schema, Mapping) or not self.schema:
            raise self.refuse(f"schema is {self.schema!r}", 'give it as {"column": Int64, ...}')
        folded: dict[str, str] = {}
        for name, dtype in self.schema.items():
            self._check_column_name(name)
            check_dtype(self, f"schema[{name!r}]", dtype)
            if name.lower() in folded:
                raise self.refuse(
                    f"schema columns {folded[name.lower()]!r} and {name!r} differ only in case",
                    "rename one of them: SQL takes them for one",
                )
            folded[name.lower()] = name
        object.__setattr__(self, "schema", MappingProxyType(dict(self.schema)))

    def _check_column_name(self, name: object) -> None:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise self.refuse(f"schema column {name!r} is not a name", "name each column by printable text")
        if name.startswith(RESERVED_PREFIX):
            raise self.refuse(
                f"schema column {name!r} begins with {RESERVED_PREFIX!r}", "such names are the store's own: rename it"
            )

    def _check_role(self, role: str, name: object, *dtypes: DType) -> None:
        """Refuse a role's column that the schema lacks, or that is of another type than the role needs."""
        if not isinstance(name, str):
            also = " or a Delay" if role == "available_at" else ""
            raise self.refuse(f"{role} is {name!r}", f"give {role} the name of a column{also}")
        if name not in self.schema:
            raise self.refuse(f"{role} names column {name!r}, which the schema lacks", nearest(name, self.schema))
        if self.schema[name] not in dtypes:
            wanted = " or ".join(str(dtype) for dtype in dtypes)
            raise self.refuse(
                f"{role} column {name!r} is {self.schema[name]}", f"{role} needs a column of type {wanted}"
            )

    def _check_zone(self) -> None:
        if self.timezone is None:
            return
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, TypeError, OSError):
            raise self.refuse(
                f"timezone is {self.timezone!r}, which is no time zone", 'name one as in "UTC" or "Europe/Berlin"'
            ) from None


@dataclass(frozen=True, eq=False)
class EventSource(Source):
    """Things that happened, each once, with its own id.

    Attributes
    ----------
    schema
        Columns of a row and their types, in order; a file's other columns are not read.
    event_timestamp
        Column of type ``Timestamp``: when it happened.
    event_id
        Column of type ``Int64`` or ``String``; rows with one id are versions of one event, the last imported counts.
    available_at
        When serving could first see a row: a ``Timestamp`` column, or a constant `Delay` after the event.
    path
        File or folder that ``unskew import`` reads by default. No part of the meaning.
    tombstone
        Column of type ``Bool``: a true one withdraws the event.
    timezone
        How to read timestamps without a zone; without it such a file is refused.
    """

    noun: ClassVar[str] = "EventSource"

    name: str
    schema: Mapping[str, DType] = field(kw_only=True)
    event_timestamp: str = field(kw_only=True)
    event_id: str = field(kw_only=True)
    available_at: str | Delay = field(kw_only=True)
    path: str = field(kw_only=True)
    tombstone: str | None = field(kw_only=True, default=None)
    timezone: str | None = field(kw_only=True, default=None)
    description: str = field(kw_only=True, default="")

    def __post_init__(self) -> None:
        self._checked()
        if isinstance(self.event_id, str) and self.event_id in self.schema and self.schema[self.event_id].floating:
            raise self.refuse(
                f"event_id column {self.event_id!r} is {self.schema[self.event_id]}: rounding would merge events",
                "identify events by an Int64 or String column",
            )
        self._check_role("event_id", self.event_id, Int64, String)

    @property
    def identity(self) -> tuple[str, ...]:
        """The event id's column alone."""
        return (self.event_id,)


@dataclass(frozen=True, eq=False)
class TableSource(Source):
    """Attributes of things, which change slowly: each row says what holds of a key from an instant on.

    Attributes
    ----------
    key
        Column of type ``Int64`` or ``String``: whose attributes a row holds.
    effective_at
        Column of type ``Timestamp``: since when they hold. ``(key, effective_at)`` identifies a row.
    event_timestamp
        The column that ``effective_at`` names.
    schema, available_at, path, tombstone, timezone
        As for `EventSource`; rows are available at once unless ``available_at`` says otherwise.
    """

    noun: ClassVar[str] = "TableSource"

    name: str
    schema: Mapping[str, DType] = field(kw_only=True)
    key: str = field(kw_only=True)
    effective_at: str = field(kw_only=True)
    path: str = field(kw_only=True)
    available_at: str | Delay = field(kw_only=True, default=Delay("0s"))
    tombstone: str | None = field(kw_only=True, default=None)
    timezone: str | None = field(kw_only=True, default=None)
    description: str = field(kw_only=True, default="")
    event_timestamp: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "event_timestamp", self.effective_at)
        self._checked()
        self._check_role("key", self.key, Int64, String)

    @property
    def identity(self) -> tuple[str, ...]:
        """Key and instant."""
        return (self.key, self.effective_at)
