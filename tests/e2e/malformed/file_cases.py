"""Files as a new user would hand them to `unskew import`."""

# ruff: noqa: E501 - a table is read a case a line

import csv
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from featurestore.offline.input_file import BATCH_ROWS
from featurestore.offline.month_files import BUFFER_ROWS
from tests.e2e.malformed.shop import NOW_AT, orders_table, people, write_csv

Make = Callable[[Path], Path]
"""Writes what a user would import into a folder; returns its path."""


@dataclass(frozen=True)
class BadFile:
    """Something to import into the source ``source``, and what the error must say of it."""

    name: str
    make: Make
    thing: str
    place: str
    mend: str
    source: str = "orders"


ROWS = 4
"""Rows of the good table that every bad one is made from."""


def good() -> pa.Table:
    """Return new orders that fit."""
    return orders_table(range(900_001, 900_001 + ROWS), [1, 2, 3, 4], [NOW_AT] * ROWS)


def cell(**cells: str) -> Make:
    """Return a CSV file whose first row has other cells."""
    return lambda folder: write_csv(folder / "new.csv", good(), **cells)


def text(content: str | bytes, name: str = "new.csv") -> Make:
    """Return a file of just this content."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def lines(change: Callable[[list[str]], list[str]]) -> Make:
    """Return a good CSV file with its lines changed."""

    def make(folder: Path) -> Path:
        path = write_csv(folder / "new.csv", good())
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
        return path

    return make


def column(name: str, values: Any, kind: pa.DataType | None = None, **options: Any) -> Make:
    """Return a Parquet file with one column replaced."""
    array = values if isinstance(values, pa.Array) else pa.array(values, kind)
    return table(lambda given: given.set_column(given.column_names.index(name), name, array), **options)


def table(change: Callable[[pa.Table], pa.Table], **options: Any) -> Make:
    """Return a Parquet file with the good table changed."""

    def make(folder: Path) -> Path:
        pq.write_table(change(good()), folder / "new.parquet", **options)
        return folder / "new.parquet"

    return make


def damaged(name: str, change: Callable[[bytes], bytes]) -> Make:
    """Return a good Parquet or Arrow file with its bytes changed."""

    def make(folder: Path) -> Path:
        path = folder / name
        if name.endswith(".parquet"):
            pq.write_table(good(), path)
        else:
            pa.feather.write_feather(good(), path, compression="uncompressed")
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


def renamed(name: str, make: Make) -> Make:
    """Return a file under another name."""
    return lambda folder: make(folder).rename(folder / name)


def in_folder(**files: Make) -> Make:
    """Return a folder of files."""

    def make(folder: Path) -> Path:
        inner = folder / "landing"
        inner.mkdir()
        for name, each in files.items():
            path = each(folder)
            path.rename(inner / f"{name}{path.suffix}")
        return inner

    return make


def people_with(**values: Any) -> Make:
    """Return a Parquet file for the source people, with columns replaced."""

    def make(folder: Path) -> Path:
        given = people()
        for name, array in values.items():
            given = given.set_column(given.column_names.index(name), name, array)
        pq.write_table(given, folder / "people.parquet")
        return folder / "people.parquet"

    return make


def _long(folder: Path) -> Path:
    """Return more good orders than an import holds in memory, and a bad one at the end."""
    rows = BUFFER_ROWS + BATCH_ROWS
    few, taken = good(), np.arange(rows) % ROWS
    whole = pa.table({name: few.column(name).take(pa.array(taken)) for name in few.column_names})
    identities = pa.array(np.arange(1_000_000, 1_000_000 + rows), mask=np.arange(rows) == rows - 1)
    pq.write_table(whole.set_column(0, "order_id", identities), folder / "new.parquet")
    return folder / "new.parquet"


def _semicolons(rows: list[str]) -> list[str]:
    return [row.replace(",", ";") for row in rows]


def _twice(given: pa.Table) -> pa.Table:
    return given.append_column("amount", given.column("amount"))


def _excel(folder: Path) -> Path:
    (folder / "new.xlsx").write_bytes(b"PK\x03\x04")
    return folder / "new.xlsx"


def _naive_csv(folder: Path) -> Path:
    return write_csv(folder / "new.csv", good(), at="2024-06-01 09:30:00")


def _pandas_index(folder: Path) -> Path:
    frame = good().to_pandas().set_index("order_id")
    frame.to_csv(folder / "new.csv", columns=["customer_id", "at"], index_label="id")
    return folder / "new.csv"


def _nothing(folder: Path) -> Path:
    (folder / "landing").mkdir()
    return folder / "landing"


def _european(folder: Path) -> Path:
    with (folder / "new.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(good().column_names)
        writer.writerow(["900001", "1", "2024-06-01T00:00:00Z", "12,50", "0.5", "app", "true", "false"])
    return folder / "new.csv"


AT_UTC = [datetime(2024, 6, 1, tzinfo=UTC)] * ROWS

CSV = [
    BadFile("a number in words", cell(order_id="nine"), "'nine' is not a whole number", "new.csv row 2, column order_id", ""),
    BadFile("a number beyond 64 bits", cell(order_id="9223372036854775808"), "does not fit 64 bits", "new.csv row 2, column order_id", ""),
    BadFile("a number with a point", cell(customer_id="1.0"), "'1.0' is not a whole number", "new.csv row 2, column customer_id", ""),
    BadFile("a number with spaces", cell(customer_id=" 1"), "' 1' is not a whole number", "new.csv row 2, column customer_id", ""),
    BadFile("a thousands separator", cell(amount="1,250.00"), "'1,250.00' is not a decimal", "new.csv row 2, column amount", ""),
    BadFile("a currency", cell(amount="€12.50"), "'€12.50' is not a decimal", "new.csv row 2, column amount", ""),
    BadFile("a decimal comma", _european, "'12,50' is not a decimal", "new.csv row 2, column amount", ""),
    BadFile("a decimal of three places", cell(amount="12.505"), "more than 2 decimals", "new.csv row 2, column amount", ""),
    BadFile("a decimal of nineteen digits", cell(amount="12345678901234567.89"), "more than 18 digits", "new.csv row 2, column amount", ""),
    BadFile("a weight in words", cell(weight_kg="half"), "'half' is not a number", "new.csv row 2, column weight_kg", ""),
    BadFile("a weight too large for a double", cell(weight_kg="1e999"), "too large", "new.csv row 2, column weight_kg", ""),
    BadFile("a truth in words", cell(paid="yes"), "'yes' is neither true nor false", "new.csv row 2, column paid", ""),
    BadFile("an instant without a zone", _naive_csv, "no time zone", "new.csv row 2, column at", ""),
    BadFile("an instant in another order", cell(at="01.06.2024 09:30"), "'01.06.2024 09:30' is not an instant", "new.csv row 2, column at", ""),
    BadFile("an instant in seconds", cell(at="1717234200"), "'1717234200' is not an instant", "new.csv row 2, column at", ""),
    BadFile("a day that does not exist", cell(at="2024-02-30T00:00:00Z"), "2024-02-30", "new.csv row 2, column at", ""),
    BadFile("an instant in nanoseconds", cell(at="2024-06-01T00:00:00.000000001Z"), "finer than a microsecond", "new.csv row 2, column at", ""),
    BadFile("an empty id", cell(order_id=""), "identity is null", "new.csv row 2, column order_id", ""),
    BadFile("an empty instant", cell(at=""), "the event timestamp is null", "new.csv row 2, column at", ""),
    BadFile("an empty tombstone", cell(gone=""), "the tombstone", "new.csv row 2, column gone", ""),
    BadFile("an instant at the end of time", cell(at="9999-12-31T23:59:59Z"), "after the year 9999", "new.csv row 2, column at", ""),
    BadFile("a column left out", lines(lambda rows: [row.rpartition(",")[0] for row in rows]), "'gone'", "new.csv", "the file has order_id"),
    BadFile("a column misspelt", lines(lambda rows: [rows[0].replace("amount", "amonut"), *rows[1:]]), "'amount'", "new.csv", "did you mean 'amonut'?"),
    BadFile("a column in capitals", lines(lambda rows: [rows[0].replace("amount", "AMOUNT"), *rows[1:]]), "'amount'", "new.csv", "'AMOUNT'"),
    BadFile("a column twice", lines(lambda rows: [f"{rows[0]},amount", *(f"{row},1.00" for row in rows[1:])]), "two columns 'amount'", "new.csv", "rename"),
    BadFile("semicolons", lines(_semicolons), "the header is one column", "new.csv", "commas"),
    BadFile("tabs", lines(lambda rows: [row.replace(",", "\t") for row in rows]), "the header is one column", "new.csv", "commas"),
    BadFile("a record cut short", lines(lambda rows: [*rows[:-1], "900004,4,2024"]), "3 cells where the header has 8", "new.csv row 5", ""),
    BadFile("a record too long", lines(lambda rows: [rows[0], f"{rows[1]},surplus", *rows[2:]]), "9 cells where the header has 8", "new.csv row 2", ""),
    BadFile("a quote left open in a file", lines(lambda rows: [rows[0], rows[1].replace("app", '"app'), *rows[2:]]), "a quote is left open", "new.csv", "close it"),
    BadFile("no header", lines(lambda rows: rows[1:]), "'order_id'", "new.csv", "the file has"),
    BadFile("an empty file", text(""), "empty", "new.csv", "header"),
    BadFile("blank lines alone", text("\n\n\n"), "empty", "new.csv", "header"),
    BadFile("an export of pandas", _pandas_index, "'order_id'", "new.csv", "the file has"),
    BadFile("a Parquet file called CSV", text(b"PAR1\x15\x04\x15\x80\xff\xfe\x00\x00PAR1"), "header", "new.csv", ""),
    BadFile("a CSV file in UTF-16", text("order_id,customer_id\n1,2\n".encode("utf-16")), "header", "new.csv", "UTF-8"),
    BadFile("a cell in Latin-1", lambda folder: text(write_csv(folder / "a.csv", good(), channel="Köln").read_text().encode("latin-1"))(folder), "UTF-8", "new.csv row 2, column channel", ""),
    BadFile("a page instead of data", text("<!doctype html>\n<html><body>404</body></html>\n"), "'order_id'", "new.csv", "the file has"),
]  # fmt: skip

PARQUET = [
    BadFile("a column dropped", table(lambda given: given.drop_columns(["amount"])), "'amount'", "new.parquet", "the file has"),
    BadFile("a column twice in Parquet", table(_twice), "two columns 'amount'", "new.parquet", "rename"),
    BadFile("ids as texts", column("order_id", ["900001"] * ROWS), "string where int64 is declared", "new.parquet, column order_id", "declare the type"),
    BadFile("ids beyond 64 bits", column("order_id", [2**64 - 1, 1, 2, 3], pa.uint64()), "does not fit 64 bits", "new.parquet row 1, column order_id", ""),
    BadFile("ids of a float with a fraction", column("order_id", [1.5, 2.0, 3.0, 4.0]), "1.5 is not a whole number", "new.parquet row 1, column order_id", ""),
    BadFile("ids of a float beyond 2^53", column("order_id", [2.0**60, 2.0, 3.0, 4.0]), "beyond 2^53", "new.parquet row 1, column order_id", ""),
    BadFile("ids of a float without value", column("order_id", [float("nan"), 2.0, 3.0, 4.0]), "NaN is not a whole number: write null", "new.parquet row 1, column order_id", ""),
    BadFile("a null id", column("order_id", [900001, None, 900003, 900004], pa.int64()), "identity is null", "new.parquet row 2, column order_id", ""),
    BadFile("a null instant", column("at", [NOW_AT, NOW_AT, None, NOW_AT], pa.timestamp("us", "UTC")), "the event timestamp is null", "new.parquet row 3, column at", ""),
    BadFile("a null tombstone", column("gone", [None, False, False, False]), "the tombstone", "new.parquet row 1, column gone", ""),
    BadFile("instants without a zone", column("at", [datetime(2024, 6, 1)] * ROWS, pa.timestamp("us")), "time zone", "new.parquet", "timezone"),  # noqa: DTZ001 - that is the mistake
    BadFile("instants in nanoseconds", column("at", pa.array([1, 0, 0, 0], pa.timestamp("ns", "UTC"))), "microsecond", "new.parquet row 1, column at", ""),
    BadFile("instants as texts", column("at", ["2024-06-01"] * ROWS), "string", "new.parquet, column at", "declare the type"),
    BadFile("instants as numbers", column("at", [1717200000] * ROWS), "int64", "new.parquet, column at", ""),
    BadFile("instants of 96 bits", column("at", AT_UTC, pa.timestamp("us", "UTC"), use_deprecated_int96_timestamps=True), "INT96", "new.parquet", "64-bit"),
    BadFile("amounts of three places", column("amount", [Decimal("1.005")] * ROWS), "more than 2 decimals", "new.parquet row 1, column amount", ""),
    BadFile("amounts as doubles of three places", column("amount", [1.005, 1.0, 1.0, 1.0]), "more than 2 decimals", "new.parquet row 1, column amount", ""),
    BadFile("amounts that are infinite", column("amount", [float("inf"), 1.0, 1.0, 1.0]), "inf is not a decimal: write null", "new.parquet row 1, column amount", ""),
    BadFile("amounts as texts", column("amount", ["1.00"] * ROWS), "string where decimal(2) is declared", "new.parquet, column amount", "declare"),
    BadFile("texts as numbers", column("channel", [1, 2, 3, 4]), "int64 where string is declared", "new.parquet, column channel", "declare"),
    BadFile("truths as numbers", column("paid", [1, 0, 1, 0]), "int64 where bool is declared", "new.parquet, column paid", "declare"),
    BadFile("lists in a column", column("channel", [["app"]] * ROWS), "list", "new.parquet, column channel", "declare"),
    BadFile("numbers too wide for a double", column("weight_kg", [2**53 + 1, 1, 1, 1]), "not exactly a float64", "new.parquet row 1, column weight_kg", ""),
    BadFile("a Parquet file cut short", damaged("new.parquet", lambda whole: whole[: len(whole) // 2]), "cannot be read", "new.parquet", "whole"),
    BadFile("a Parquet file damaged within", damaged("new.parquet", lambda whole: whole[:40] + b"\xff" * 400 + whole[440:]), "cannot be read", "new.parquet", "whole"),
    BadFile("an empty Parquet file", text(b"", "new.parquet"), "cannot be read", "new.parquet", "whole"),
    BadFile("a CSV file called Parquet", text("order_id,amount\n1,2\n", "new.parquet"), "cannot be read", "new.parquet", "whole"),
    BadFile("an Arrow file cut short", damaged("new.arrow", lambda whole: whole[:200]), "cannot be read", "new.arrow", "whole"),
    BadFile("a Parquet file called Arrow", renamed("new.arrow", table(lambda given: given)), "cannot be read", "new.arrow", "whole"),
    BadFile("a spreadsheet", _excel, "*.xlsx", "new.xlsx", ".parquet"),
    BadFile("a file without an ending", text("x", "orders_june"), "no ending", "orders_june", ".parquet"),
    BadFile("a folder without files", _nothing, "no files", "landing", "put .parquet"),
    BadFile("a folder with a note in it", in_folder(orders=table(lambda given: given), readme=text("x", "note.txt")), "*.txt", "landing/readme.txt", "move this one away"),
    BadFile("a folder with one bad file", in_folder(a=table(lambda given: given), b=column("order_id", ["x"] * ROWS)), "string where int64", "landing/b.parquet, column order_id", "declare"),
    BadFile("a path that is not there", lambda folder: folder / "june.parquet", "no such file", "june.parquet", "check the path"),
    BadFile("a key as text for a table", people_with(customer_id=pa.array(["1"] * 10)), "string where int64", "people.parquet, column customer_id", "declare", "people"),
    BadFile("a null instant for a table", people_with(since=pa.array([None] * 10, pa.timestamp("us", "UTC"))), "event timestamp is null", "people.parquet row 1, column since", "", "people"),
    BadFile("orders for people", table(lambda given: given), "'since'", "new.parquet", "the file has", "people"),
    BadFile("a bad row after many good ones", _long, "1 of", f"new.parquet row {BUFFER_ROWS + BATCH_ROWS}, column order_id", ""),
    BadFile("ids of pandas with gaps", column("order_id", pa.array(pd.Series([900001.0, np.nan, 3.0, 4.0]), from_pandas=True)), "identity is null", "new.parquet row 2, column order_id", ""),
]  # fmt: skip

FILES = [*CSV, *PARQUET]
