import math

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.definitions.source import Delay, EventSource, TableSource
from featurestore.ingestion.accept import UNREAD_LIMIT, EventForm
from featurestore.ingestion.errors import EventsUnreadable
from featurestore.semantics.value import (
    Bool,
    Column,
    Decimal,
    Float32,
    Float64,
    Int64,
    String,
    Timestamp,
    column,
    identical,
)

SCHEMA = {
    "id": Int64,
    "ts": Timestamp,
    "shop": String,
    "value": Float64,
    "weight": Float32,
    "price": Decimal(2),
    "member": Bool,
    "gone": Bool,
    "seen": Timestamp,
}
ROW = {"id": 1, "ts": "2017-03-01T10:00:00Z", "gone": False}
TS_US = 1_488_362_400_000_000


def source(schema=None, **given):
    roles = {"event_timestamp": "ts", "event_id": "id", "available_at": "seen", "tombstone": "gone", "path": "x"}
    return EventSource("sales", schema=schema or SCHEMA, **{**roles, **given})


@pytest.fixture
def form():
    return EventForm(source())


def values(form, *payloads):
    return {name: of.to_pylist() for name, of in form.columns(payloads).items()}


def test_a_row_is_read_into_storage_form_and_comes_back_as_columns_of_the_schema(form):
    row = {
        "id": 2**62 + 1, "ts": "2017-03-01T11:00:00.000001+01:00", "shop": "Köln", "value": 0.1, "weight": 0.1,
        "price": "12.50", "member": True, "gone": False,
    }  # fmt: skip
    reading = form.read([row])
    assert (reading.rows, reading.refused, reading.unread) == (1, [], ())
    found = form.columns([reading.payload])
    assert list(found) == list(SCHEMA)
    assert {name: of.dtype for name, of in found.items()} == SCHEMA
    assert {name: of.to_pylist() for name, of in found.items()} == {
        "id": [2**62 + 1], "ts": [TS_US + 1], "shop": ["Köln"], "value": [0.1],
        "weight": [float(np.float32(0.1))], "price": [1250], "member": [True], "gone": [False], "seen": [None],
    }  # fmt: skip


def test_columns_may_be_null_or_absent_but_for_identity_timestamp_and_tombstone(form):
    reading = form.read([ROW, {**ROW, "id": 2, "shop": None, "value": None, "member": None}])
    assert reading.rows == 2
    found = values(form, reading.payload)
    assert found["id"] == [1, 2]
    assert all(found[name] == [None, None] for name in ("shop", "value", "weight", "price", "member"))
    for name, what in {"id": "the row's identity", "ts": "the event timestamp", "gone": "the tombstone"}.items():
        for row in ({**ROW, name: None}, {key: value for key, value in ROW.items() if key != name}):
            reading = form.read([row])
            (refused,) = reading.refused
            assert reading.rows == 0
            assert (refused.position, refused.pointer, refused.raw) == (0, f"/{name}", row)
            assert what in refused.reason
            assert "is null" in refused.reason
            assert refused.mend == f"send {name!r} with every event"


def test_a_source_without_a_tombstone_takes_what_a_row_leaves_out():
    form = EventForm(source(tombstone=None))
    assert form.read([{"id": 1, "ts": ROW["ts"]}]).rows == 1


def test_the_column_of_availability_is_neither_needed_nor_kept_nor_told_as_unread(form):
    assert form.filled == "seen"
    assert form.sent == tuple(name for name in SCHEMA if name != "seen")
    reading = form.read([{**ROW, "seen": "2017-03-01T10:00:00Z"}, {**ROW, "seen": "not looked at"}])
    assert (reading.rows, reading.unread) == (2, ())
    assert values(form, reading.payload)["seen"] == [None, None]


def test_a_column_of_availability_that_has_another_part_to_play_is_sent():
    form = EventForm(source(available_at="ts"))
    assert form.filled is None
    assert values(form, form.read([ROW]).payload)["ts"] == [TS_US]


def test_a_table_source_is_identified_by_key_and_instant():
    table = TableSource(
        "shops", schema={"shop": String, "since": Timestamp, "size": Int64}, key="shop", effective_at="since", path="x"
    )
    reading = EventForm(table).read([{"shop": "a", "since": ROW["ts"]}, {"since": ROW["ts"]}, {"shop": "a"}])
    assert reading.rows == 1
    assert [(row.position, row.pointer) for row in reading.refused] == [(1, "/shop"), (2, "/since")]


def test_an_event_may_lie_in_the_future_up_to_the_last_instant_that_can_be_stored(form):
    last = "9999-12-31T23:59:59.999999Z"
    reading = form.read([{**ROW, "ts": last}, {**ROW, "ts": "9999-12-31T23:59:59.999999-00:01"}])
    assert values(form, reading.payload)["ts"] == [253_402_300_799_999_999]
    (refused,) = reading.refused
    assert (refused.position, refused.pointer) == (1, "/ts")


def test_bad_rows_are_told_apart_from_good_ones_in_any_mixture(form):
    rows = [ROW, {**ROW, "id": "7"}, {**ROW, "id": 3}, 5, None, {**ROW, "id": 4, "ts": "yesterday", "value": "x"}, []]
    reading = form.read(rows)
    assert reading.rows == 2
    assert values(form, reading.payload)["id"] == [1, 3]
    assert [(row.position, row.pointer) for row in reading.refused] == [
        (1, "/id"),
        (3, ""),
        (4, ""),
        (5, "/ts"),
        (6, ""),
    ]
    assert [row.raw for row in reading.refused] == [rows[i] for i in (1, 3, 4, 5, 6)]
    reasons = [row.reason for row in reading.refused]
    assert reasons[0] == "'7' is not a whole number"
    assert reasons[1] == "5 is not an object"
    assert all(row.mend for row in reading.refused)


def test_a_batch_of_bad_rows_alone_gives_no_rows(form):
    reading = form.read([7, 8])
    assert reading.rows == 0
    assert len(form.columns([reading.payload])["id"]) == 0
    reading = form.read([])
    assert (reading.rows, reading.refused, reading.unread) == (0, [], ())


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("id", True), ("id", 1.0), ("id", 2**63), ("id", -(2**63) - 1), ("id", "1"), ("id", 2.0**63),
        ("ts", 1_488_362_400), ("ts", "2017-03-01T10:00:00"), ("ts", "2017-02-30T10:00:00Z"),
        ("shop", 7), ("shop", ["x"]), ("value", "0.5"), ("value", True), ("value", {}),
        ("value", 2**1024 - 2**970), ("value", -(10**400)), ("weight", 10**400),
        ("weight", 3.5e38), ("weight", -3.4028236e38), ("price", "1.234"), ("price", 1e17), ("price", "x"),
        ("price", "12345678901234567.00"), ("member", 1), ("gone", "false"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("among", [0, 3])
def test_a_value_of_another_type_or_out_of_range_is_refused_alone_and_among_others(form, name, bad, among):
    good = [
        {**ROW, "id": 10 + i, "shop": "s", "value": 1.5, "weight": 0.5, "price": 1, "member": True}
        for i in range(among)
    ]
    reading = form.read([*good, {**ROW, name: bad}])
    assert reading.rows == among
    (refused,) = reading.refused
    assert (refused.position, refused.pointer) == (among, f"/{name}")
    assert values(form, reading.payload)["id"] == [10 + i for i in range(among)]


@pytest.mark.parametrize(
    ("name", "sent", "stored"),
    [
        ("id", -(2**63), -(2**63)), ("id", 2**63 - 1, 2**63 - 1), ("value", 3, 3.0), ("value", -0.0, -0.0),
        ("value", 2**1024 - 2**970 - 1, 1.7976931348623157e308),
        ("value", "Infinity", math.inf), ("value", "-Infinity", -math.inf), ("value", 5e-324, 5e-324),
        ("weight", "-Infinity", -math.inf), ("weight", 16777217, 16777216.0),
        ("weight", 3.4028235e38, 3.4028234663852886e38),
        ("price", 5, 500), ("price", 0.1, 10), ("price", "-0.01", -1), ("shop", "", ""), ("shop", "\x00𝄞", "\x00𝄞"),
        ("ts", "2017-03-01t10:00:00z", TS_US), ("member", False, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("beside", [None, {"id": 5}, {"id": 5, "value": 1.5, "weight": 1.5, "shop": "x"}])
def test_values_at_the_edges_survive_whatever_stands_beside_them(form, name, sent, stored, beside):
    rows = [{**ROW, name: sent}] + ([{**ROW, **beside}] if beside else [])
    found = form.columns([form.read(rows).payload])[name].to_pylist()[0]
    assert found == stored
    assert math.copysign(1, found) == math.copysign(1, stored) if isinstance(stored, float) else True


def test_not_a_number_is_not_null_as_a_text_or_from_python(form):
    reading = form.read([{**ROW, "value": "NaN", "weight": "NaN"}, {**ROW, "value": math.nan, "weight": None}, ROW])
    found = form.columns([reading.payload])
    assert found["value"].nulls.tolist() == [False, False, True]
    assert np.isnan(found["value"].values[:2]).all()
    assert found["weight"].nulls.tolist() == [False, True, True]
    assert np.isnan(found["weight"].values[0])


def test_text_that_is_not_unicode_is_refused_alone(form):
    """orjson lets no such text through; a program can hand it over."""
    reading = form.read([{**ROW, "shop": "a"}, {**ROW, "id": 2, "shop": "\ud800"}, {**ROW, "id": 3, "shop": "b"}])
    assert reading.rows == 2
    assert values(form, reading.payload)["shop"] == ["a", "b"]
    (refused,) = reading.refused
    assert (refused.position, refused.pointer) == (1, "/shop")
    assert "not valid Unicode" in refused.reason


def test_fields_that_the_schema_lacks_are_told_once_and_not_read(form):
    reading = form.read([{**ROW, "zebra": 1}, {**ROW, "id": 2, "Shop": "x", "zebra": {}}, 7])
    assert (reading.rows, reading.unread) == (2, ("Shop", "zebra"))
    assert set(values(form, reading.payload)) == set(SCHEMA)
    many = form.read([{**ROW, f"x{i:03}": 1} for i in range(100)])
    assert many.unread == tuple(f"x{i:03}" for i in range(UNREAD_LIMIT))


def test_a_pointer_escapes_what_a_name_has():
    form = EventForm(source({**SCHEMA, "a/b~c": Int64}))
    assert form.read([{**ROW, "a/b~c": "x"}]).refused[0].pointer == "/a~1b~0c"


def test_payloads_are_read_together_in_order(form):
    payloads = [form.read([{**ROW, "id": i * 10 + j} for j in range(i)]).payload for i in range(5)]
    assert values(form, *payloads)["id"] == [10, 20, 21, 30, 31, 32, 40, 41, 42, 43]
    assert values(form) == {name: [] for name in SCHEMA}


def test_a_payload_says_its_layout_and_holds_storage_form(form):
    payload = form.read([{**ROW, "value": "NaN", "price": "1.50"}, 7]).payload
    layout, *stored = orjson.loads(payload)
    assert layout == [[name, str(dtype)] for name, dtype in SCHEMA.items() if name != "seen"]
    assert stored == [[1], [TS_US], [None], ["NaN"], [None], [150], [None], [False]]


def test_a_schema_that_gained_lost_or_moved_columns_reads_what_was_taken_in_before(form):
    before = form.read([{**ROW, "shop": "a", "value": 1.5}, {**ROW, "id": 2}]).payload
    changed = {"gone": Bool, "ts": Timestamp, "id": Int64, "value": Float64, "till": String, "seen": Timestamp}
    after = EventForm(source(changed))
    now = after.read([{**ROW, "id": 3, "till": "t"}]).payload
    assert values(after, before, now) == {
        "gone": [False] * 3, "ts": [TS_US] * 3, "id": [1, 2, 3], "value": [1.5, None, None],
        "till": [None, None, "t"], "seen": [None] * 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"shop": Int64}, "column 'shop' is int64, but was string when 1 waiting rows were taken in"),
        ({"price": Decimal(3)}, r"column 'price' is decimal\(3\), but was decimal\(2\)"),
    ],
)
def test_a_column_that_changed_its_type_is_said(form, changed, says):
    before = form.read([ROW]).payload
    with pytest.raises(EventsUnreadable, match=says):
        EventForm(source({**SCHEMA, **changed})).columns([before])


def test_a_column_that_must_have_values_cannot_be_new(form):
    before = form.read([ROW]).payload
    after = EventForm(source({**SCHEMA, "number": String}, event_id="number"))
    with pytest.raises(EventsUnreadable, match="column 'number' is string, but did not exist"):
        after.columns([before])


texts = st.none() | st.text()
columns_of = st.integers(0, 6).flatmap(
    lambda n: st.fixed_dictionaries({
        "id": st.lists(st.integers(-(2**63), 2**63 - 1), min_size=n, max_size=n).map(lambda v: column(Int64, v)),
        "ts": st.lists(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999), min_size=n, max_size=n).map(
            lambda v: column(Timestamp, v)
        ),
        "shop": st.lists(texts, min_size=n, max_size=n).map(lambda v: column(String, v)),
        "value": st.lists(st.none() | st.floats(), min_size=n, max_size=n).map(lambda v: column(Float64, v)),
        "weight": st.lists(st.none() | st.floats(width=32), min_size=n, max_size=n).map(lambda v: column(Float32, v)),
        "price": st.lists(st.none() | st.integers(1 - 10**18, 10**18 - 1), min_size=n, max_size=n).map(
            lambda v: column(Decimal(2), v)
        ),
        "member": st.lists(st.none() | st.booleans(), min_size=n, max_size=n).map(lambda v: column(Bool, v)),
        "gone": st.lists(st.booleans(), min_size=n, max_size=n).map(lambda v: column(Bool, v)),
        "seen": st.just(column(Timestamp, [None] * n)),
    })
)  # fmt: skip


@given(columns_of)
def test_columns_survive_packing_and_being_written_as_rows_and_read_again(given: dict[str, Column]):
    form = EventForm(source())
    rows = [form.written(given, i) for i in range(len(given["id"]))]
    reading = form.read(orjson.loads(orjson.dumps(rows)))
    assert reading.refused == []
    for payload in (form.pack(given), reading.payload):
        found = form.columns([payload])
        assert list(found) == list(SCHEMA)
        for name, of in found.items():
            assert identical(of, given[name]).all()


def test_a_delay_is_no_column():
    form = EventForm(source(available_at=Delay("1h")))
    assert form.filled is None
    assert "seen" in form.sent
