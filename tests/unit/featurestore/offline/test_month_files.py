"""Rows by month: none lost, each row group in order, few files open and few rows held at a time."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from featurestore.foundation.clock import EARLIEST_US, LATEST_US
from featurestore.offline import month_files
from featurestore.offline.month_files import MonthFiles, month_name, month_numbers

SCHEMA = pa.schema([("__event_us", pa.int64()), ("__row", pa.int64())])
EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - counted in UTC throughout


def table(instants, first=0):
    rows = np.arange(first, first + len(instants), dtype=np.int64)
    return pa.table([pa.array(instants, pa.int64()), pa.array(rows)], schema=SCHEMA)


@given(st.integers(EARLIEST_US, LATEST_US))
def test_the_month_is_that_of_the_calendar(instant_us):
    moment = EPOCH + dt.timedelta(microseconds=instant_us)
    assert month_name(int(month_numbers(np.array([instant_us]))[0])) == f"{moment.year:04d}-{moment.month:02d}"


def test_row_groups_are_in_order_and_bounded_and_no_row_is_lost(tmp_path):
    rng = np.random.default_rng(1)
    files = MonthFiles(tmp_path / "x", SCHEMA, buffer_rows=500)
    instants = rng.integers(0, 90 * 86_400_000_000, (20, 200))
    for number, batch in enumerate(instants):
        files.add(table(batch, 200 * number))
    seen = []
    for path in files.finish():
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group).to_pylist()
                assert len(rows) <= 700
                assert rows == sorted(rows, key=lambda row: (row["__event_us"], row["__row"]))
                assert {month_name(int(m)) for m in month_numbers(np.array([r["__event_us"] for r in rows]))} == {
                    path.stem
                }
                seen += [(row["__row"], row["__event_us"]) for row in rows]
    assert sorted(seen) == list(enumerate(instants.ravel().tolist()))


def test_a_month_that_comes_back_after_its_file_was_closed_goes_on_in_a_part(tmp_path, monkeypatch):
    monkeypatch.setattr(month_files, "OPEN_FILES", 1)
    files = MonthFiles(tmp_path / "x", SCHEMA, buffer_rows=0)
    for instant in (0, 3 * 10**12, 1):
        files.add(table([instant]))
    paths = files.finish()
    assert [path.name for path in paths] == ["1970-01.parquet", "1970-01.part2.parquet", "1970-02.parquet"]
    assert [pq.read_table(path)["__event_us"].to_pylist() for path in paths] == [[0], [1], [3 * 10**12]]


def test_the_same_rows_give_the_same_bytes(tmp_path):
    written = []
    for folder in ("a", "b"):
        files = MonthFiles(tmp_path / folder, SCHEMA)
        files.add(table([5, 3, 3]))
        written.append([path.read_bytes() for path in files.finish()])
    assert written[0] == written[1]


def test_nothing_is_no_file(tmp_path):
    assert MonthFiles(tmp_path / "x", SCHEMA).finish() == []
