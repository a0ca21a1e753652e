"""Rows of events as a client sends them, held against their source, in the form that an event stream keeps.

The rules are those of an import: identity, event timestamp and tombstone have values, every other column may be null
or absent, and fields that the schema lacks are not read. When a row becomes available is the stamp of its commit: a
source's ``available_at`` column, unless it has another part to play, is not sent or kept, but filled in at the commit.

A payload is a JSON array: the layout (``[[column, type], ...]``, as the schema was), then for each of those columns an
array of its values in storage form (timestamps in microseconds UTC, decimals as scaled integers, not-a-number and the
infinities as texts). It says its own layout, so that events which wait while a schema gains a column are still read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from math import isfinite
from types import NoneType
from typing import Any

import numpy as np
import orjson

from featurestore.definitions.source import Source
from featurestore.ingestion.errors import EventsUnreadable
from featurestore.semantics.json_value import (
    FLOAT32_MAX,
    Reader,
    UnreadableValue,
    reader,
    shown,
    write_number,
    writer,
)
from featurestore.semantics.value import Column, DType, column, null_column

UNREAD_LIMIT = 20
"""Names of unread fields that are told."""
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """Why a row was not taken in.

    Attributes
    ----------
    position
        The row's place among those given, from 0.
    pointer
        RFC 6901 pointer into the row; empty if the whole of it is at fault.
    reason
        What is wrong: the first fault, in the order of the schema.
    mend
        What to send instead.
    raw
        The row as it was given.
    """

    position: int
    pointer: str
    reason: str
    mend: str
    raw: object


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of the rows given: ``rows`` of them are in ``payload``, the others are refused.

    Attributes
    ----------
    payload
        The rows taken in, in order, in the form that a stream keeps.
    refused
        In order of position.
    unread
        Names of fields that the schema lacks, sorted; at most `UNREAD_LIMIT`.
    without_key
        How many of the rows taken in no view has a key of, so that no feature will count them.
    """

    payload: bytes
    rows: int
    refused: list[RefusedRow]
    unread: tuple[str, ...]
    without_key: int = 0


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    dtype: DType
    read: Reader
    role: str | None


_Faults = dict[int, tuple[str, str, str]]
"""By position: field (empty for the whole row), reason, mend. The first fault of a row stands."""


class EventForm:
    """Read rows of one source, and read them back as columns.

    Parameters
    ----------
    keys
        The columns that hold the keys of the source's views; of rows that have a null in each of them it is told.

    Attributes
    ----------
    sent
        The columns that a client sends, in the order of the schema.
    filled
        The column that the commit fills with its stamp, if the source has one.
    """

    def __init__(self, source: Source, keys: Collection[str] = ()) -> None:
        roles = _roles(source)
        self.filled = None if source.available_column in roles else source.available_column
        self.sent = tuple(name for name in source.schema if name != self.filled)
        self._source = source
        self._fields = [
            _Field(name, source.schema[name], reader(source.schema[name]), roles.get(name)) for name in self.sent
        ]
        known = set(keys) <= set(self.sent)
        self._keys = [place for place, name in enumerate(self.sent) if known and name in keys]
        self._layout = [[field.name, str(field.dtype)] for field in self._fields]
        self._head = b"[" + orjson.dumps(self._layout) + b","

    def read(self, rows: Sequence[object]) -> Reading:
        """Take in the rows that meet the source's rules, and say what is wrong with the others.

        Parameters
        ----------
        rows
            JSON objects by column name, as orjson reads them.
        """
        faults: _Faults = {}
        given = _objects(rows, faults)
        columns = [_values(field, given, faults) for field in self._fields]
        payload = self._payload(columns, faults, len(given))
        without_key = self._without_key(columns, faults)
        refused = [
            RefusedRow(i, _pointer(name), what, mend, rows[i]) for i, (name, what, mend) in sorted(faults.items())
        ]
        return Reading(payload, len(given) - len(faults), refused, self._unread(given), without_key)

    def pack(self, columns: Mapping[str, Column]) -> bytes:
        """Write rows that are in storage form already and meet the rules, such as those of a file that was checked."""
        return self._dumped([_written(field.dtype, columns[field.name].to_pylist()) for field in self._fields])

    def without_key(self, columns: Mapping[str, Column]) -> int:
        """Return how many rows have a null in the key column of each of the source's views."""
        keys = [columns[self.sent[place]].nulls for place in self._keys]
        return int(np.logical_and.reduce(keys).sum()) if keys else 0

    def columns(self, payloads: Sequence[bytes]) -> dict[str, Column]:
        """Return the rows of payloads, in order: every column of the schema; nulls in the one that the commit fills.

        A column that a payload's layout lacks is null there.

        Raises
        ------
        EventsUnreadable
            If a payload is of a layout that the schema cannot read: a column has another type now, or one that must
            have values did not exist.
        """
        parts = self._parsed(payloads)
        found = {
            field.name: _column(field.dtype, list(chain.from_iterable([part[i] for part in parts])))
            for i, field in enumerate(self._fields)
        }
        if self.filled is not None:
            found[self.filled] = null_column(self._source.schema[self.filled], len(next(iter(found.values()))))
        return {name: found[name] for name in self._source.schema}

    def written(self, columns: Mapping[str, Column], index: int) -> dict[str, Any]:
        """Return a row of `columns` as the JSON object that `read` would take in."""
        row: dict[str, Any] = {}
        for field in self._fields:
            of = columns[field.name]
            row[field.name] = None if of.nulls[index] else writer(field.dtype)(of.values[index : index + 1].tolist()[0])
        return row

    def _without_key(self, columns: list[list[Any]], faults: _Faults) -> int:
        keys = [columns[place] for place in self._keys]
        if not keys or not all(None in values for values in keys):
            return 0
        return sum(
            position not in faults and not any(value is not None for value in row)
            for position, row in enumerate(zip(*keys, strict=True))
        )

    def _payload(self, columns: list[list[Any]], faults: _Faults, count: int) -> bytes:
        try:
            return self._dumped(_without(columns, faults, count))
        except orjson.JSONEncodeError:  # a string that no client can have sent, but a program can hand over
            for field, values in zip(self._fields, columns, strict=True):
                _note_surrogates(field, values, faults)
            return self._dumped(_without(columns, faults, count))

    def _dumped(self, columns: list[list[Any]]) -> bytes:
        return self._head + orjson.dumps(columns)[1:]

    def _unread(self, given: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        return tuple(sorted(set[str]().union(*given).difference(self._source.schema))[:UNREAD_LIMIT])

    def _parsed(self, payloads: Sequence[bytes]) -> list[list[list[Any]]]:
        """Return of each payload the values of the fields; all of the present layout are parsed at once."""
        head = len(self._head)
        if all(payload.startswith(self._head) for payload in payloads):
            tails = b",[".join([payload[head:] for payload in payloads])
            parsed: list[list[list[Any]]] = orjson.loads(b"[[" + tails + b"]") if payloads else []
            return parsed
        return [self._adapted(*orjson.loads(payload)) for payload in payloads]

    def _adapted(self, layout: list[list[str]], *columns: list[Any]) -> list[list[Any]]:
        """Return the values of the fields out of a payload of another layout."""
        there = {name: (dtype, values) for (name, dtype), values in zip(layout, columns, strict=True)}
        rows = len(columns[0])
        return [self._adapted_column(field, rows, *there.get(field.name, (None, []))) for field in self._fields]

    def _adapted_column(self, field: _Field, rows: int, dtype: str | None, values: list[Any]) -> list[Any]:
        if dtype == str(field.dtype):
            return values
        if dtype is None and field.role is None:
            return [None] * rows
        was = "did not exist" if dtype is None else f"was {dtype}"
        raise EventsUnreadable(
            f"column {field.name!r} is {field.dtype}, but {was} when {rows} waiting rows were taken in",
            where=f"source {self._source.name!r}",
            mend="put the former definitions in force until the backlog is committed, or give the column another name",
        )


def _roles(source: Source) -> dict[str, str]:
    """Return the columns that must have values, and what each is."""
    roles = dict.fromkeys(source.identity, "the row's identity")
    roles[source.event_timestamp] = "the event timestamp"
    if source.tombstone is not None:
        roles[source.tombstone] = "the tombstone (true or false)"
    return roles


def _objects(rows: Sequence[object], faults: _Faults) -> Sequence[dict[str, Any]]:
    """Return the rows, with an empty object in place of what is none."""
    if set(map(type, rows)) <= {dict}:
        return rows  # type: ignore[return-value]
    for position, row in enumerate(rows):
        if type(row) is not dict:
            faults[position] = ("", f"{shown(row)} is not an object", 'send an event as {"column": value, ...}')
    return [row if type(row) is dict else {} for row in rows]


def _values(field: _Field, given: Sequence[dict[str, Any]], faults: _Faults) -> list[Any]:
    """Return a column as a payload has it; null at rows at fault."""
    name = field.name
    raw = [row.get(name) for row in given]
    values = _read_at_once(field, raw)
    if values is None:
        values = _read_each(field, raw, faults)
    if field.role is not None and None in values:
        for position, value in enumerate(values):
            if value is None:
                faults.setdefault(position, (name, f"{field.role} is null", f"send {name!r} with every event"))
    return values


def _read_at_once(field: _Field, raw: list[Any]) -> list[Any] | None:
    """Return a column of which no value is at fault or needs rewriting; ``None`` if that is not so."""
    kinds = set(map(type, raw))
    present = [value for value in raw if value is not None] if NoneType in kinds else raw
    kinds.discard(NoneType)
    plain = _PLAIN.get(field.dtype.name)
    if plain is not None:
        kind, holds = plain
        return raw if kinds <= {kind} and (not present or holds(present)) else None
    try:
        read = field.read
        return [None if value is None else read(value) for value in raw]
    except UnreadableValue:
        return None


def _read_each(field: _Field, raw: list[Any], faults: _Faults) -> list[Any]:
    values: list[Any] = []
    for position, value in enumerate(raw):
        try:
            values.append(None if value is None else field.read(value))
        except UnreadableValue as error:
            faults.setdefault(position, (field.name, str(error), error.mend))
            values.append(None)
    return _written(field.dtype, values)


def _written(dtype: DType, values: list[Any]) -> list[Any]:
    """Return values in storage form as JSON can say them."""
    if not dtype.floating:
        return values
    return [value if value is None else write_number(value) for value in values]


def _without(columns: list[list[Any]], faults: _Faults, count: int) -> list[list[Any]]:
    if not faults:
        return columns
    kept = [position not in faults for position in range(count)]
    return [list(compress(values, kept)) for values in columns]


def _note_surrogates(field: _Field, values: list[Any], faults: _Faults) -> None:
    for position, value in enumerate(values):
        if type(value) is str and not _unicode(value):
            faults.setdefault(position, (field.name, f"{value!r} is not valid Unicode", "send text without surrogates"))


def _unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _column(dtype: DType, items: list[Any]) -> Column:
    if None in items:
        return column(dtype, items)
    return Column(dtype, np.array(items, dtype=dtype.storage), np.zeros(len(items), dtype=np.bool_))


def _pointer(name: str) -> str:
    return f"/{name.replace('~', '~0').replace('/', '~1')}" if name else ""


def _fits_int64(values: list[int]) -> bool:
    return min(values) >= _INT64_MIN and max(values) <= _INT64_MAX


def _finite(values: list[float]) -> bool:
    return all(map(isfinite, values))


def _fits_float32(values: list[float]) -> bool:
    return _finite(values) and max(map(abs, values)) < FLOAT32_MAX


_PLAIN: dict[str, tuple[type, Callable[[list[Any]], bool]]] = {
    "int64": (int, _fits_int64),
    "float64": (float, _finite),
    "float32": (float, _fits_float32),
    "bool": (bool, lambda _: True),
    "string": (str, lambda _: True),
}
"""The types whose values are stored as JSON has them: their Python type, and what else must hold."""
