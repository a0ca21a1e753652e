"""Histories that are nasty on purpose, as rows to import and as versions for the oracle, from one set of choices.

A `Chooser` makes every choice, so that the same code gives small histories that Hypothesis shrinks, and thousands from
a seed. Instants are drawn from a few per history and from the edges that windows, TTLs and availability make of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal as Exact
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from featurestore.definitions import (
    Attribute,
    Count,
    Delay,
    Derived,
    DistinctCount,
    Entity,
    EventSource,
    FeatureView,
    Last,
    Max,
    Mean,
    Min,
    StdDev,
    Sum,
    TableSource,
)
from featurestore.definitions.aggregation import Aggregation
from featurestore.foundation.clock import EARLIEST_US, LATEST_US, parse_duration
from featurestore.semantics.arrow_column import arrow_type
from featurestore.semantics.value import Bool, Decimal, DType, Float32, Float64, Int64, String, Timestamp
from tests.oracle.point_in_time import Ask, Version, View

T = TypeVar("T")

START_US = 1_483_228_800_000_000
SCALE, SINGLE_SCALE = 2, 1
SERIAL = "serial"


class Chooser(Protocol):
    """Whoever decides."""

    def integer(self, low: int, high: int) -> int:
        """Choose between the two, both included."""
        ...

    def one(self, of: Sequence[T]) -> T:
        """Choose one of them; the first is the simplest."""
        ...


class Seeded:
    """Choices from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def integer(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def one(self, of: Sequence[T]) -> T:
        return of[self._random.randrange(len(of))]


class Drawn:
    """Choices that Hypothesis makes, remembers and shrinks."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def one(self, of: Sequence[T]) -> T:
        return of[self._draw(st.integers(0, len(of) - 1))]


VALUES: dict[str, tuple[DType, list[Any]]] = {
    "whole": (Int64, [0, 1, -1, 2**53 + 1, 2**53, -(2**53) - 1, 7, 2**58 + 3, None]),
    "huge": (Int64, [0, 2**63 - 1, -(2**63), 2**53 + 1, 2**53, None]),
    "double": (
        Float64,
        [
            *(0.0, -0.0, 1.25, 0.125, 0.375, -0.375, 0.1, 0.2, 1.005, 1e300, 4.6e16, 4.7e16, 5e-324),
            *(float("nan"), float("inf"), float("-inf"), None),
        ],
    ),
    "single": (
        Float32,
        [*(float(np.float32(x)) for x in (0.0, -0.0, 0.1, 0.25, 1e38, 16777216.0, float("nan"), float("inf"))), None],
    ),
    "flag": (Bool, [False, True, None]),
    "text": (String, ["", "a", "B", "é", "\U0001f600", "\uffee", "a\x00b", 'it\'s "quoted"', None]),
    "money": (Decimal(SCALE), [Exact(0), Exact("1.10"), Exact("-0.01"), Exact("9999999999999999.99"), None]),
    "moment": (Timestamp, [0, START_US + 1, EARLIEST_US, LATEST_US, None]),
    "count": (Int64, [1, 2, 0, -1, None]),
}
WINDOWS = ["1us", "3us", "7us", "1h", "1d", "30d"]
TTLS = [None, "1us", "5us", "1d", "36h"]


@dataclass
class Setting:
    """One source and one view over it, as the user defines them and as the oracle knows them."""

    source: EventSource | TableSource
    view: FeatureView
    oracle: View
    text_keys: bool
    text_ids: bool
    start_us: int
    spans_us: list[int]

    @property
    def is_table(self) -> bool:
        return isinstance(self.source, TableSource)


@dataclass
class History:
    """The versions of one key space, in the order of their imports, and the rows that say the same."""

    versions: list[Version] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    keys: list[Any] = field(default_factory=list)
    questions: list[tuple[Any, int]] = field(default_factory=list)


def make_setting(choose: Chooser, name: str = "") -> Setting:
    """Choose a source, its roles, and a view with every aggregate over every kind of column.

    ``name`` goes before the names of source, view, entity and the entity's join key, which is else the source's column.
    """
    table = choose.integer(0, 3) == 3
    text_keys, text_ids = choose.integer(0, 1) == 1, choose.integer(0, 1) == 1
    by_column = choose.integer(0, 1) == 1
    schema: dict[str, DType] = {"key": String if text_keys else Int64, "id": String if text_ids else Int64}
    schema |= {"at": Timestamp, "known": Timestamp, "gone": Bool, SERIAL: Int64}
    schema |= {name: dtype for name, (dtype, _) in VALUES.items()}
    delay = choose.one(["0s", "1us", "1h"])
    roles: dict[str, Any] = {
        "schema": schema,
        "available_at": "known" if by_column else Delay(delay),
        "tombstone": "gone",
        "path": "none",
    }
    source: EventSource | TableSource
    if table:
        source = TableSource(f"{name}history", key="key", effective_at="at", **roles)
    else:
        source = EventSource(f"{name}history", event_timestamp="at", event_id="id", **roles)
    windows = sorted({choose.one(WINDOWS) for _ in range(2)})
    ttl = choose.one(TTLS)
    filtered, derived = choose.integer(0, 1) == 1, choose.integer(0, 1) == 1
    entity = Entity(f"{name}thing", join_key=f"{name}key", dtype=schema["key"])
    aggregations = list(_aggregations(windows))
    derive: dict[str, Derived] = {}
    oracle = View("key", [_ask(one) for one in aggregations], None if ttl is None else parse_duration(ttl))
    if derived:
        derive["half"] = Derived("double / 2", Float64)
        derive["difference"] = Derived("coalesce(whole, 0) - count", Int64)
        aggregations += [Sum("difference", windows[0]), Last("half"), Sum("half", windows[0], scale=3)]
        oracle.asks += [_ask(one) for one in aggregations[-3:]]
        oracle.derive["half"] = lambda row: None if row["double"] is None else row["double"] / 2
        oracle.derive["difference"] = lambda row: None if row["count"] is None else (row["whole"] or 0) - row["count"]
    if filtered:
        oracle.where = lambda row: None if row["count"] is None else row["count"] > 0
    where = "count > 0" if filtered else None
    view = FeatureView(f"{name}view", entity, source, aggregations, derive=derive, where=where, ttl=ttl, key="key")
    spans = [parse_duration(window) for window in windows] + ([] if ttl is None else [parse_duration(ttl)])
    start = choose.one([START_US] * 8 + [EARLIEST_US, LATEST_US - 4 * max(spans)])
    return Setting(source, view, oracle, text_keys, text_ids, start, spans)


def make_history(choose: Chooser, setting: Setting, number: int, commits: int) -> History:
    """Choose the versions of one key space: ``number`` tells its keys and ids from those of other histories."""
    history = History(keys=[_key(setting, number, local) for local in range(3)])
    pool = _instants(choose, setting)
    count = choose.integer(0, 10)
    sequences = sorted(choose.integer(1, commits) for _ in range(count))
    for s in sequences:
        _add_version(choose, setting, history, pool, number, s)
    edges = sorted(_edges(setting, pool, history))
    for _ in range(choose.integer(1, 12)):
        history.questions.append((choose.one(history.keys), choose.one(edges)))
    return history


def _instants(choose: Chooser, setting: Setting) -> list[int]:
    """Choose a few instants, many of them a span of the view apart, or a microsecond."""
    pool = []
    for _ in range(choose.integer(1, 6)):
        steps = choose.integer(0, 2) * choose.one([0, *setting.spans_us]) + choose.integer(0, 3)
        pool.append(min(setting.start_us + steps, LATEST_US - 4_000_000_000))
    return pool


def _add_version(choose: Chooser, setting: Setting, history: History, pool: list[int], number: int, s: int) -> None:
    values = {name: choose.one(allowed) for name, (_, allowed) in VALUES.items()}
    key = choose.one([*history.keys, None])
    identity: tuple[Any, ...] = (_identity(setting, number, choose.integer(0, 4)),)
    event = choose.one(pool)
    if setting.is_table:
        key = choose.one(history.keys[:2])
    available = choose.one(pool) if setting.source.available_column else event + setting.source.delay_us
    deleted = choose.integer(0, 5) == 5
    row = {"key": key, "id": identity[0], "at": event, "known": available, "gone": deleted, **values}
    if setting.is_table:
        identity = (key, event)
    history.versions.append(Version(identity, event, available, s, row, deleted))
    history.rows.append({**row, "s": s})


def _edges(setting: Setting, pool: list[int], history: History) -> set[int]:
    """Return the instants at which something may change, and those a microsecond off."""
    known = {version.available for version in history.versions}
    edges = {*pool, *known, *(instant + span for instant in pool for span in setting.spans_us)}
    near = {edge + off for edge in edges for off in (-1, 0, 1)}
    return {instant for instant in near if EARLIEST_US <= instant <= LATEST_US}


def _key(setting: Setting, number: int, local: int) -> Any:
    return f"{number:05d}{'aÉ😀'[local]}" if setting.text_keys else (2**53 if local == 2 else 0) + number * 10 + local


def _identity(setting: Setting, number: int, local: int) -> Any:
    if setting.text_ids:
        return ["", "\uffee", "\U0001f600", "Z", "a"][local] + f"{number:05d}"
    return (number * 10 + local) * (-1 if local == 4 else 1) + (2**60 if local == 3 else 0)


def _aggregations(windows: list[str]) -> Iterator[Aggregation]:
    for name in VALUES:
        if name != "count":
            yield Attribute(name)
    for over in windows:
        yield Count(over=over)
        for name, (dtype, _) in VALUES.items():
            yield Count(name, over)
            yield Min(name, over)
            yield Max(name, over)
            yield DistinctCount(name, over)
            yield Last(name, over)
            if name in ("whole", "count", "money", "double", "single"):
                scale = {"double": SCALE, "single": SINGLE_SCALE}.get(name) if dtype.floating else None
                yield Sum(name, over, scale=scale)
                yield Mean(name, over, scale=scale)
                yield StdDev(name, over, scale=scale)


def _ask(one: Aggregation) -> Ask:
    return Ask(one.feature_name, str(one.kind), one.column, one.over_us, one.scale)


def arrow_table(setting: Setting, rows: Sequence[dict[str, Any]], serial: int) -> pa.Table:
    """Write rows as a table to import; ``serial`` makes them differ from those of every other import."""
    columns = {}
    for name, dtype in setting.source.schema.items():
        cells = range(serial, serial + len(rows)) if name == SERIAL else [row[name] for row in rows]
        kind = arrow_type(dtype)
        plain = pa.int64() if dtype == Timestamp else kind
        columns[name] = pa.array(cells, plain).cast(kind)
    return pa.table(columns)
