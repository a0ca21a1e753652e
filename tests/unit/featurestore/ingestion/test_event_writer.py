import math
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal as Exact

import numpy as np
import pytest

from featurestore.definitions import Decimal, Delay, EventSource, Float64, Int64, String, Timestamp
from featurestore.foundation.clock import parse_instant
from featurestore.ingestion.dead_letter import DeadLetters
from featurestore.ingestion.errors import BacklogFull
from featurestore.ingestion.event_writer import EventWriter
from featurestore.ingestion.stream.journal import Journal

SOURCE = EventSource(
    "orders",
    schema={"id": Int64, "ts": Timestamp, "amount": Decimal(2), "real": Float64, "word": String},
    event_timestamp="ts", event_id="id", available_at=Delay("0s"), path="orders.csv",
)  # fmt: skip
TS = "2017-12-30T10:00:00Z"


@pytest.fixture
def letters(tmp_path):
    return DeadLetters(tmp_path / "dead")


@pytest.fixture
def open_writer(tmp_path, letters):
    opened = []

    def make(limit_rows=100, **options):
        stream = Journal(tmp_path / "stream", "orders", backlog_limit_rows=limit_rows)
        opened.append(EventWriter(SOURCE, stream, letters, **options))
        return opened[-1]

    yield make
    for writer in opened:
        writer.close()


@pytest.fixture
def stream(tmp_path):
    made = Journal(tmp_path / "stream", "orders", backlog_limit_rows=100)
    yield made
    made.close()


def sent(writer, stream):
    return writer.form.columns([entry.payload for entry in stream.read("", 10**6, 0)])


def test_rows_are_in_the_stream_when_it_returns(open_writer, stream):
    writer = open_writer()
    told = writer.write([{"id": 1, "ts": TS, "amount": "12.50"}, {"id": 2, "ts": TS, "colour": "red"}])
    assert (told.accepted, told.rejected, told.unread) == (2, (), ("colour",))
    assert sent(writer, stream)["amount"].to_pylist() == [1250, None]


def test_values_of_python_and_numpy_are_taken_as_what_they_are(open_writer, stream):
    writer = open_writer()
    moment = datetime(2017, 12, 30, 10, tzinfo=UTC)
    rows = [
        {"id": np.int64(2**53 + 1), "ts": moment, "amount": Exact("12.5"), "real": math.nan, "word": np.str_("ü")},
        {"id": 2, "ts": moment, "amount": 3, "real": np.float32(0.5), "word": None},
    ]
    assert writer.write(rows).accepted == 2
    columns = sent(writer, stream)
    assert columns["id"].to_pylist() == [2**53 + 1, 2]
    assert columns["ts"].to_pylist() == [parse_instant(TS)] * 2
    assert columns["amount"].to_pylist() == [1250, 300]
    assert (math.isnan(columns["real"].values[0]), columns["real"].nulls.tolist()) == (True, [False, False])
    assert columns["word"].to_pylist() == ["ü", None]


def test_an_instant_without_a_zone_is_refused(open_writer):
    (rejected,) = open_writer().write([{"id": 1, "ts": datetime(2017, 12, 30)}]).rejected  # noqa: DTZ001 - the subject
    assert (rejected.pointer, "no time zone" in rejected.reason) == ("/ts", True)


def test_refused_rows_are_told_by_their_place_and_kept(open_writer, letters):
    rows = [{"id": n if n != 3 else "x", "ts": TS} for n in range(5)] + [7]
    told = open_writer(chunk_rows=2).write(rows)
    assert told.accepted == 4
    assert [(row.row, row.pointer) for row in told.rejected] == [(3, "/id"), (5, "")]
    assert [letters.get(row.dead_letter_id).row for row in told.rejected] == [rows[3], 7]


def test_it_waits_for_room_and_goes_on(open_writer, stream):
    writer = open_writer(limit_rows=4, chunk_rows=2)
    waits: list[int] = []

    def drain():
        while not waits:
            time.sleep(0.005)
        stream.commit(stream.read("", 10**6, 0)[-1].position)

    drainer = threading.Thread(target=drain)
    drainer.start()
    assert writer.write([{"id": n, "ts": TS} for n in range(6)], waits.append).accepted == 6
    drainer.join()
    assert set(waits) == {4}
    assert sent(writer, stream)["id"].to_pylist() == list(range(6))


def test_it_gives_up_where_nothing_is_committed(open_writer):
    writer = open_writer(limit_rows=2, chunk_rows=2, patience_s=0.1)
    with pytest.raises(BacklogFull, match="2 rows wait"):
        writer.write([{"id": n, "ts": TS} for n in range(4)])
    assert writer.backlog_rows() == 2


def test_an_append_larger_than_the_backlog_is_refused_without_waiting(open_writer):
    with pytest.raises(BacklogFull):
        open_writer(limit_rows=2, chunk_rows=3).write([{"id": n, "ts": TS} for n in range(3)])


def test_records_of_a_pandas_frame_mean_what_the_frame_means(open_writer, stream):
    """pandas writes a null as NaN, NaT or NA, and makes whole numbers floats to have room for it."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "id": [1.0, 2.0],
            "ts": pd.to_datetime([TS, TS]),
            "amount": [Exact("1.50"), None],
            "real": [math.nan, 0.5],
            "word": ["ü", math.nan],
        }
    ).to_dict("records")
    writer = open_writer()
    assert writer.write(frame).rejected == ()
    columns = sent(writer, stream)
    assert columns["id"].to_pylist() == [1, 2]
    assert columns["amount"].to_pylist() == [150, None]
    assert columns["word"].to_pylist() == ["ü", None]
    assert (math.isnan(columns["real"].values[0]), columns["real"].nulls.tolist()) == (True, [False, False])
    nulls = writer.write([{"id": 3, "ts": TS, "real": pd.NA, "word": pd.NA}, {"id": 4, "ts": pd.NaT}])
    assert [(row.row, row.reason) for row in nulls.rejected] == [(1, "the event timestamp is null")]
    assert sent(writer, stream)["real"].nulls.tolist() == [False, False, True]


@pytest.mark.parametrize("value", [7.5, 2.0**53 + 2, math.inf, -math.inf])
def test_a_float_that_is_no_certain_whole_number_is_none(open_writer, value):
    (rejected,) = open_writer().write([{"id": value, "ts": TS}]).rejected
    assert rejected.pointer == "/id"


def test_one_mapping_is_one_event(open_writer):
    assert open_writer().write({"id": 1, "ts": TS}).accepted == 1


def test_rows_without_a_key_of_any_view_are_counted(open_writer):
    writer = open_writer(keys={"word"}, chunk_rows=2)
    rows = [
        {"id": 1, "ts": TS},
        {"id": 2, "ts": TS, "word": "a"},
        {"id": "x", "ts": TS},
        {"id": 4, "ts": TS, "word": None},
    ]
    assert writer.write(rows).without_key == 2
