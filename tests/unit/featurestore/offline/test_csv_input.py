"""CSV files cell by cell: nulls against empty texts, record numbers, and what is malformed."""

import csv
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.foundation.errors import ImportRefused
from featurestore.offline import csv_input
from featurestore.offline.csv_input import CsvInput
from featurestore.offline.input_file import Malformed


@pytest.fixture
def read(tmp_path):
    def read_all(text, wanted=("a", "b")):
        path = tmp_path / "x.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        assert CsvInput(path).names()
        rows: list[tuple[Any, ...]] = []
        malformed: list[Malformed] = []
        for batch in CsvInput(path).batches(wanted):
            cells = zip(*(batch.columns[name].to_pylist() for name in wanted), strict=True)
            rows += [(int(number), *row) for number, row in zip(batch.rows, cells, strict=True)]
            malformed += batch.malformed
        return rows, malformed

    return read_all


def test_an_empty_cell_is_null_and_a_quoted_one_an_empty_text(read):
    assert read('a,b\n,""\n')[0] == [(2, None, b"")]


def test_a_byte_order_mark_crlf_and_line_breaks_in_quotes_are_read(read):
    assert read('\ufeffa,b\r\n1,"x\r\ny"\r\n2,z\r\n')[0] == [(2, b"1", b"x\r\ny"), (3, b"2", b"z")]


def test_columns_not_wanted_are_left_out(read):
    assert read("z,b,a\n1,2,3\n")[0] == [(2, b"3", b"2")]


def test_records_are_numbered_with_the_header_as_1_and_blank_lines_not_counted(read):
    rows, malformed = read("a,b\n1,1\n\n2\n3,3\n4,4,4\n5,5\n6\n")
    assert [row[0] for row in rows] == [2, 4, 6]
    assert [(bad.row, bad.text) for bad in malformed] == [(3, "2"), (5, "4,4,4"), (7, "6")]
    assert malformed[0].reason == "the record has 1 cells where the header has 2"


def test_numbers_go_on_over_blocks(read, monkeypatch):
    monkeypatch.setattr(csv_input, "BLOCK_BYTES", 64)
    text = "a,b\n" + "".join("x\n" if number % 7 == 0 else f"{number},n\n" for number in range(2, 200))
    rows, malformed = read(text)
    assert [row[:2] for row in rows] == [(n, str(n).encode()) for n in range(2, 200) if n % 7]
    assert [bad.row for bad in malformed] == list(range(7, 200, 7))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"a;b\n1;2\n", "separate columns by commas"),
        (b'a,b\n1,"x\n2,3\n', "a quote is left open: the file has 1"),
        (b"\xff\xfea,b\n", "write UTF-8"),
    ],
)
def test_a_file_that_is_no_such_csv_is_refused(tmp_path, data, message):
    (tmp_path / "x.csv").write_bytes(data)
    with pytest.raises(ImportRefused, match=message):
        CsvInput(tmp_path / "x.csv").names()


def test_a_cell_that_is_not_utf8_is_no_fault_of_the_header(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"a,b\n1,K\xf6ln\n")
    assert CsvInput(tmp_path / "x.csv").names() == ["a", "b"]


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=5))
def test_what_python_writes_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    found = [
        tuple(cell.decode() for cell in row)
        for batch in CsvInput(path).batches(["a", "b"])
        for row in zip(batch.columns["a"].to_pylist(), batch.columns["b"].to_pylist(), strict=True)
    ]
    assert found == rows
