import csv
import json

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from featurestore.definitions import (
    Bool,
    Decimal,
    Delay,
    EventSource,
    Float32,
    Float64,
    Int64,
    String,
    TableSource,
    Timestamp,
)
from featurestore.foundation.clock import FixedClock
from featurestore.foundation.errors import ImportRefused
from featurestore.ingestion.accept import EventForm
from featurestore.ingestion.dead_letter import DeadLetters
from featurestore.ingestion.event_file import read_events, send_file
from featurestore.ingestion.event_writer import EventWriter
from featurestore.ingestion.stream.journal import Journal
from featurestore.offline.event_import import import_file
from featurestore.offline.snapshot import latest
from featurestore.semantics.arrow_column import from_arrow
from featurestore.semantics.value import identical

SOURCE = EventSource(
    "baskets",
    schema={
        "id": Int64, "ts": Timestamp, "seen": Timestamp, "net": Decimal(2), "real": Float64, "short": Float32,
        "word": String, "gone": Bool,
    },
    event_timestamp="ts", event_id="id", available_at="seen", path="baskets.csv", tombstone="gone",
    timezone="Europe/Berlin",
)  # fmt: skip
HEADER = ["id", "ts", "seen", "net", "real", "short", "word", "gone", "colour"]
ROWS = [
    ["1", "2017-12-30T10:00:00Z", "2017-12-30T11:00:00Z", "12.50", "0.1", "0.1", "a,b", "false", "red"],
    ["-922337203685477580", "2017-12-30T10:00:00.000001Z", "2018-01-01T00:00:00Z", "-0.01", "nan", "-inf", "", "1", ""],
    ["9007199254740993", "2017-07-30T10:00:00", "2017-12-31T00:00:00Z", "", "", "", '"ü"\n', "false", ""],
]  # fmt: skip


def written(path, rows=ROWS, header=HEADER):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def events_of(path, source=SOURCE, chunk_rows=2):
    chunks = list(read_events(source, path, chunk_rows))
    payloads = [chunk.payload for chunk in chunks if chunk.rows]
    return EventForm(source).columns(payloads), [row for chunk in chunks for row in chunk.refused], chunks


@pytest.fixture
def imported(tmp_path):
    """The columns of ROWS as an import reads them."""
    root = tmp_path / "offline"
    import_file(SOURCE, written(tmp_path / "imported.csv"), root, FixedClock(0))
    found = latest(root, SOURCE)
    table = pa.concat_tables([pq.read_table(found.folder / file.path) for file in found.commits[0].files])
    return table.sort_by("__row")


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow", "folder"])
def test_a_file_gives_the_events_that_an_import_of_it_gives(tmp_path, imported, kind):
    path = written(tmp_path / "events.csv")
    own = imported.select(list(SOURCE.schema))
    if kind == "parquet":
        path = tmp_path / "events.parquet"
        pq.write_table(own, path)
    elif kind == "arrow":
        path = tmp_path / "events.arrow"
        pyarrow.feather.write_feather(own, path)
    elif kind == "folder":
        path = tmp_path / "folder"
        path.mkdir()
        written(path / "a.csv", ROWS[:1])
        written(path / "b.csv", ROWS[1:])
    columns, refused, chunks = events_of(path)
    assert refused == []
    assert max(chunk.rows for chunk in chunks) <= 2
    for name, dtype in SOURCE.schema.items():
        if name == "seen":
            assert columns[name].nulls.all(), "when an event is available is the stamp of its commit"
        else:
            assert identical(columns[name], from_arrow(imported.column(name), dtype)).all(), name


def test_lines_of_json_give_the_events_that_http_gives(tmp_path):
    path = tmp_path / "events.ndjson"
    rows = [
        {"id": 1, "ts": "2017-12-30T10:00:00Z", "net": "12.50", "gone": False, "colour": 1},
        {"id": 2, "ts": "2017-12-30T10:00:00Z", "gone": True, "real": "NaN"},
    ]
    path.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n{\n" + json.dumps({**rows[0], "id": 0.5}))
    columns, refused, chunks = events_of(path)
    expected = EventForm(SOURCE)
    wanted = expected.columns([expected.read(rows).payload])
    assert all(identical(columns[name], wanted[name]).all() for name in SOURCE.schema)
    assert [(row.position, row.pointer) for row in refused] == [(4, ""), (5, "/id")]
    assert chunks[0].unread == ("colour",)


def test_rows_that_do_not_fit_are_told_with_their_numbers_and_the_others_taken(tmp_path):
    bad = [
        ["x", "yesterday", "", "1.5", "1", "1", "w", "false", ""],
        ROWS[0],
        ["7", "2017-12-30T10:00:00Z", "", "1.234", "1", "1", "w", "maybe", ""],
        ["8"],
        ["9", "", "", "1", "1", "1", "w", "false", ""],
    ]
    columns, refused, chunks = events_of(written(tmp_path / "bad.csv", bad))
    assert columns["id"].to_pylist() == [1]
    assert [(row.position, row.pointer) for row in refused] == [(2, "/id"), (4, "/net"), (5, ""), (6, "/ts")]
    assert all(row.reason and row.mend for row in refused)
    assert "gone" in refused[1].reason
    assert refused[0].raw == {
        "id": "x", "ts": "yesterday", "net": "1.50", "real": 1.0, "short": 1.0, "word": "w", "gone": False,
    }  # fmt: skip
    assert refused[2].raw == "8"
    assert set(chunks[0].unread) == {"seen", "colour"}


def test_a_refused_row_that_is_corrected_is_the_event_it_would_have_been(tmp_path):
    """What is kept of a good cell of a bad row reads back, as JSON, to the value that the file's cell has."""
    whole = [*ROWS[2][:3], "3.25", "2.5", "2.5", *ROWS[2][6:]]
    _, (refused,), _ = events_of(written(tmp_path / "bad.csv", [[*whole[:3], "1.234", *whole[4:]]]))
    reading = EventForm(SOURCE).read([{**refused.raw, "net": "3.25"}])
    assert reading.refused == []
    good, _, _ = events_of(written(tmp_path / "good.csv", [whole]))
    mended = EventForm(SOURCE).columns([reading.payload])
    assert all(identical(good[name], mended[name]).all() for name in SOURCE.schema)


def test_a_table_source_keeps_its_columns(tmp_path):
    source = TableSource(
        "people", schema={"key": Int64, "since": Timestamp, "age": Int64}, key="key", effective_at="since",
        path="people.csv", available_at=Delay("1d"),
    )  # fmt: skip
    path = written(tmp_path / "people.csv", [["1", "2017-01-01T00:00:00Z", "41"]], ["key", "since", "age"])
    columns, refused, _ = events_of(path, source)
    assert (columns["age"].to_pylist(), refused) == ([41], [])


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing else")
    for path in ("absent.csv", "broken.parquet"):
        with pytest.raises(ImportRefused) as refused:
            list(read_events(SOURCE, tmp_path / path, 10))
        assert refused.value.mend
    with pytest.raises(ImportRefused, match="column 'id' is not in the file"):
        list(read_events(SOURCE, written(tmp_path / "other.csv", [["1"]], ["number"]), 10))


def test_sending_a_file_tells_what_was_taken_and_keeps_the_rest(tmp_path):
    letters = DeadLetters(tmp_path / "dead")
    stream = Journal(tmp_path / "stream", "baskets", backlog_limit_rows=100)
    bad = [[str(n), "yesterday", "", "1.5", "1", "1", "w", "false", ""] for n in range(12)]
    told: list[int] = []
    with EventWriter(SOURCE, stream, letters, chunk_rows=2) as writer:
        report = send_file(writer, written(tmp_path / "some.csv", [*ROWS, *bad]), progress=told.append)
        assert (report.accepted, report.rejected, report.unread) == (3, 12, ("seen", "colour"))
        assert (len(report.first_rejected), told[-1], writer.backlog_rows()) == (10, 15, 3)
    assert len(letters.list("baskets")) == 12
    assert report.first_rejected[0].dead_letter_id in {letter.id for letter in letters.list()}
