"""Spines as a new user would hand them to `unskew training-set build`."""

# ruff: noqa: E501 - a table is read a case a line

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.e2e.malformed.shop import NOW_AT, spine, write_csv

ROWS = 4


@dataclass(frozen=True)
class BadSpine:
    """A spine for the service ``spend_inputs`` and the label ``next_week``, and what the error must say of it."""

    name: str
    make: Callable[[Path], Path]
    thing: str
    place: str
    mend: str
    arguments: tuple[str, ...] = ("--service", "spend_inputs", "--label", "next_week")


def column(name: str, values: Any, kind: pa.DataType | None = None) -> Callable[[Path], Path]:
    """Return a spine with one column replaced."""
    array = values if isinstance(values, pa.Array) else pa.array(values, kind)
    return changed(lambda given: given.set_column(given.column_names.index(name), name, array))


def changed(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], Path]:
    """Return a good spine, changed."""

    def make(folder: Path) -> Path:
        pq.write_table(change(spine(ROWS)), folder / "spine.parquet")
        return folder / "spine.parquet"

    return make


def content(whole: bytes, name: str = "spine.parquet") -> Callable[[Path], Path]:
    """Return a file of just these bytes."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(whole)
        return folder / name

    return make


def good(folder: Path) -> Path:
    """Return a spine that fits."""
    return changed(lambda given: given)(folder)


def _cut_short(folder: Path) -> Path:
    path = good(folder)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def _folder(folder: Path) -> Path:
    (folder / "spines").mkdir()
    return folder / "spines"


def _renamed(old: str, new: str) -> Callable[[Path], Path]:
    return changed(lambda given: given.rename_columns([new if name == old else name for name in given.column_names]))


def _dropped(name: str) -> Callable[[Path], Path]:
    return changed(lambda given: given.drop_columns([name]))


_INSTANTS = [NOW_AT - timedelta(days=20 + row) for row in range(ROWS)]
_UTC = pa.timestamp("us", "UTC")

SPINES = [
    BadSpine("a key misspelt", _renamed("customer_id", "costumer_id"), "'customer_id'", "spine.parquet", "rename 'costumer_id'"),
    BadSpine("no instants", _dropped("timestamp"), "'timestamp'", "spine.parquet", "add it"),
    BadSpine("instants called otherwise", _renamed("timestamp", "time_stamp"), "'timestamp'", "spine.parquet", "rename 'time_stamp'"),
    BadSpine("an option that names another column", good, "'when'", "spine.parquet", "add it", ("--service", "spend_inputs", "--timestamp-column", "when")),
    BadSpine("a request value left out", _dropped("cart"), "'cart'", "spine.parquet", "add it"),
    BadSpine("a request value misspelt", _renamed("items", "item"), "'items'", "spine.parquet", "rename 'item'"),
    BadSpine("a request value misspelt in capitals", _renamed("word", "WORD"), "'word'", "spine.parquet", "rename 'WORD'"),
    BadSpine("a column twice", changed(lambda given: given.append_column("cart", given.column("cart"))), "2 columns called 'cart'", "spine.parquet", "keep one"),
    BadSpine("keys as texts", column("customer_id", ["1", "2", "3", "4"]), "string where int64", "spine.parquet column customer_id", "declare"),
    BadSpine("keys with a null", column("customer_id", [1, None, 3, 4], pa.int64()), "first is row 1", "spine.parquet column customer_id", "leave rows without a key"),
    BadSpine("keys with a fraction", column("customer_id", [1.5, 2.0, 3.0, 4.0]), "row 0: 1.5 is not a whole number", "spine.parquet column customer_id", "correct"),
    BadSpine("keys beyond 64 bits", column("customer_id", [2**63, 2, 3, 4], pa.uint64()), "row 0: 9223372036854775808", "spine.parquet column customer_id", "correct"),
    BadSpine("instants without a zone", column("timestamp", [each.replace(tzinfo=None) for each in _INSTANTS], pa.timestamp("us")), "no time zone", "spine.parquet column timestamp", "tz_localize"),
    BadSpine("instants as texts", column("timestamp", ["2024-06-01"] * ROWS), "string where timestamp", "spine.parquet column timestamp", "declare"),
    BadSpine("instants as days", column("timestamp", [each.date() for each in _INSTANTS]), "date32", "spine.parquet column timestamp", ""),
    BadSpine("instants with a null", column("timestamp", [*_INSTANTS[:3], None], _UTC), "first is row 3", "spine.parquet column timestamp", "leave rows without a key or an instant"),
    BadSpine("instants in nanoseconds", column("timestamp", pa.array([1, 0, 0, 0], pa.timestamp("ns", "UTC"))), "row 0: 1 ns", "spine.parquet column timestamp", "correct"),
    BadSpine("instants in the future", column("timestamp", [NOW_AT + timedelta(seconds=1), *_INSTANTS[1:]], _UTC), "first is row 0: 2024-07-01T00:00:01Z", "spine.parquet column timestamp", "leave them out"),
    BadSpine("instants after the cut", good, "lie after the cut", "spine.parquet column timestamp", "later instant", ("--service", "spend_inputs", "--as-of", "2024-01-01T00:00:00Z")),
    BadSpine("a cart as text", column("cart", ["1", "2", "3", "4"]), "string where float64", "spine.parquet column cart", "declare"),
    BadSpine("items with a fraction", column("items", [1.0, 2.5, 3.0, 4.0]), "row 1: 2.5", "spine.parquet column items", "correct"),
    BadSpine("a short that is not one", column("short", [0.1, 0.5, 0.5, 0.5]), "row 0: 0.1 is not exactly a float32", "spine.parquet column short", "correct"),
    BadSpine("a gift as a number", column("gift", [1, 0, 1, 0]), "int64 where bool", "spine.parquet column gift", "declare"),
    BadSpine("a word as a number", column("word", [1, 2, 3, 4]), "int64 where string", "spine.parquet column word", "declare"),
    BadSpine("a seen without a zone", column("seen", [datetime(2024, 6, 1)] * ROWS, pa.timestamp("us")), "no time zone", "spine.parquet column seen", "tz_localize"),  # noqa: DTZ001 - that is the mistake
    BadSpine("a fee of three places", column("fee", [Decimal("1.005")] * ROWS), "row 0: 1.005 has more than 2 decimals", "spine.parquet column fee", "correct"),
    BadSpine("a column called as a feature", changed(lambda given: given.append_column("ordering.count_7d", given.column("items"))), "'ordering.count_7d'", "spine.parquet", "rename or drop"),
    BadSpine("a column called as the label", changed(lambda given: given.append_column("next_week", given.column("items"))), "'next_week'", "spine.parquet", "rename or drop"),
    BadSpine("a spine that is not there", lambda folder: folder / "spin.parquet", "no such file", "spin.parquet", "check the path"),
    BadSpine("a spine cut short", _cut_short, "not a Parquet file", "spine.parquet", "Parquet"),
    BadSpine("a spine of CSV", lambda folder: write_csv(folder / "spine.csv", spine(ROWS)), "not a Parquet file", "spine.csv", "Parquet"),
    BadSpine("an empty spine file", content(b""), "not a Parquet file", "spine.parquet", "Parquet"),
    BadSpine("an empty folder", _folder, "not a Parquet file", "spines", "Parquet"),
    BadSpine("a service misspelt", good, "'spend_input'", "unskew training-set build", "'spend_inputs'", ("--service", "spend_input")),
    BadSpine("a label misspelt", good, "'next_weak'", "unskew training-set build", "'next_week'", ("--service", "spend_inputs", "--label", "next_weak")),
    BadSpine("a model misspelt", good, "'spent'", "models.py", "'spend'", ("--model", "spent")),
    BadSpine("neither model nor service", good, "which features", "unskew training-set build", "--model", ()),
    BadSpine("a model's label and another", good, "label", "unskew training-set build", "--label", ("--model", "spend", "--label", "next_week")),
    BadSpine("a cut that is no instant", good, "'yesterday'", "unskew training-set build", "2017-12-31", ("--service", "spend_inputs", "--as-of", "yesterday")),
    BadSpine("a cut without a zone", good, "no time zone", "unskew training-set build", "Z", ("--service", "spend_inputs", "--as-of", "2024-06-01T00:00:00")),
]  # fmt: skip
