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
from featurestore.ingestion.event_file import event_files, send_file
from featurestore.ingestion.event_writer import EventWriter
from featurestore.ingestion.sent_files import SentFiles
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


def chunks_of(path, source=SOURCE, chunk_rows=2):
    form = EventForm(source, {"key"} & set(source.schema))
    return [chunk for file in event_files(path) for chunk in file.chunks(form, source, chunk_rows)]


def events_of(path, source=SOURCE, chunk_rows=2):
    chunks = chunks_of(path, source, chunk_rows)
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
            chunks_of(tmp_path / path)
        assert refused.value.mend
    with pytest.raises(ImportRefused, match="column 'id' is not in the file"):
        chunks_of(written(tmp_path / "other.csv", [["1"]], ["number"]))


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


@pytest.fixture
def open_writer(tmp_path):
    opened = []

    def make(source=SOURCE, keys=()):
        stream = Journal(tmp_path / "stream", source.name, backlog_limit_rows=100)
        opened.append(EventWriter(source, stream, DeadLetters(tmp_path / "dead"), keys=keys, chunk_rows=2))
        return opened[-1]

    yield make
    for writer in opened:
        writer.close()


def test_a_file_that_was_sent_is_left_out_until_it_is_sent_again_on_purpose(tmp_path, open_writer):
    writer, path = open_writer(), written(tmp_path / "some.csv")
    assert send_file(writer, path, sent=SentFiles(tmp_path / "sent")).accepted == 3
    left_out = send_file(writer, path, sent=SentFiles(tmp_path / "sent"))
    assert (left_out.accepted, left_out.already_sent, writer.backlog_rows()) == (0, (str(path),), 3)
    assert send_file(writer, path, sent=SentFiles(tmp_path / "sent"), again=True).accepted == 3
    assert send_file(writer, written(path, ROWS[:1]), sent=SentFiles(tmp_path / "sent")).accepted == 1


def test_of_a_folder_the_files_that_are_new_are_sent(tmp_path, open_writer):
    folder, sent = tmp_path / "folder", SentFiles(tmp_path / "sent")
    folder.mkdir()
    first = written(folder / "a.csv", ROWS[:1])
    assert send_file(open_writer(), folder, sent=sent).accepted == 1
    written(folder / "b.csv", ROWS[1:])
    report = send_file(open_writer(), folder, sent=sent)
    assert (report.accepted, report.already_sent) == (2, (str(first),))


def test_a_file_of_which_nothing_was_accepted_or_that_was_cut_off_is_not_remembered(tmp_path, open_writer):
    sent, path = SentFiles(tmp_path / "sent"), written(tmp_path / "bad.csv", [["x", *ROWS[0][1:]]])
    for _ in range(2):
        assert send_file(open_writer(), path, sent=sent).rejected == 1
    lines = tmp_path / "some.csv"

    def stop(_rows: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        send_file(open_writer(), written(lines), sent=sent, progress=stop)
    assert send_file(open_writer(), lines, sent=sent).accepted == 3


def test_a_file_that_changes_while_it_is_sent_is_not_remembered_by_what_it_was(tmp_path, open_writer):
    sent, path = SentFiles(tmp_path / "sent"), written(tmp_path / "some.csv")
    send_file(open_writer(), path, sent=sent, progress=lambda _: written(path, ROWS[:2]))
    assert send_file(open_writer(), written(path), sent=sent).accepted == 3


def test_rows_without_a_key_of_any_view_are_counted(tmp_path, open_writer):
    people = TableSource(
        "people", schema={"key": Int64, "since": Timestamp, "age": Int64, "home": Int64}, key="key",
        effective_at="since", path="people.csv", available_at=Delay("1d"),
    )  # fmt: skip
    header, since = list(people.schema), "2017-01-01T00:00:00Z"
    path = written(
        tmp_path / "people.csv", [["1", since, "41", ""], ["2", since, "", ""], ["3", since, "", "9"]], header
    )
    assert send_file(open_writer(people, {"age", "home"}), path).without_key == 1
    assert send_file(open_writer(people, {"key", "home"}), path).without_key == 0
    lines = tmp_path / "people.ndjson"
    lines.write_text(json.dumps({"key": 1, "since": since}) + "\n")
    assert send_file(open_writer(people, {"age", "home"}), lines).without_key == 1
