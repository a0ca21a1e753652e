from typing import Any

import pytest

from featurestore.definitions import Bool, Delay, EventSource, Float64, Int64, String, TableSource, Timestamp
from tests.unit.featurestore.definitions.retail import EVENTS, SCHEMA, TABLE, assert_refused, baskets, demographics


def test_an_event_is_identified_by_its_id_and_a_table_row_by_key_and_instant() -> None:
    assert baskets.identity == ("basket_id",)
    assert baskets.event_timestamp == "ts"
    assert demographics.identity == ("household_id", "since")
    assert demographics.event_timestamp == "since"


def test_availability_by_delay_or_by_column() -> None:
    delayed = EventSource("e", **{**EVENTS, "available_at": Delay("2s")})
    assert (delayed.available_column, delayed.delay_us) == (None, 2_000_000)
    assert delayed.describe()["available_at"] == {"delay_us": 2_000_000}
    by_column = EventSource("e", **{**EVENTS, "schema": {**SCHEMA, "seen": Timestamp}, "available_at": "seen"})
    assert (by_column.available_column, by_column.delay_us) == ("seen", 0)
    assert by_column.describe()["available_at"] == "seen"
    assert demographics.delay_us == 0


def test_the_schema_keeps_its_order_and_cannot_be_changed() -> None:
    assert [name for name, _ in baskets.describe()["schema"]] == list(SCHEMA)
    with pytest.raises(TypeError):
        baskets.schema["more"] = Int64  # type: ignore[index]


def test_the_schema_is_a_copy() -> None:
    schema = dict(SCHEMA)
    source = EventSource("e", **{**EVENTS, "schema": schema})
    schema["more"] = Int64
    assert "more" not in source.schema


def test_a_reduced_description_keeps_the_columns_with_a_part_to_play() -> None:
    reduced = baskets.describe_columns({"quantity"})
    assert [name for name, _ in reduced["schema"]] == ["basket_id", "ts", "quantity"]


@pytest.mark.parametrize(
    ("change", "what", "mend"),
    [
        ({"event_timestamp": "tss"}, "event_timestamp names column 'tss'", "did you mean 'ts'?"),
        ({"event_timestamp": "basket_id"}, "'basket_id' is int64", "type timestamp"),
        ({"event_timestamp": None}, "event_timestamp is None", "name of a column"),
        ({"event_id": "basket"}, "event_id names column 'basket'", "did you mean 'basket_id'?"),
        ({"event_id": "weight"}, "'weight' is float64: rounding would merge events", "Int64 or String"),
        ({"event_id": "value"}, "'value' is decimal(2)", "int64 or string"),
        ({"available_at": "seen"}, "available_at names column 'seen'", "known are"),
        ({"available_at": "quantity"}, "'quantity' is int64", "type timestamp"),
        ({"available_at": 5}, "available_at is 5", "a column or a Delay"),
        ({"tombstone": "quantity"}, "'quantity' is int64", "type bool"),
        ({"tombstone": "gone"}, "tombstone names column 'gone'", "known are"),
        ({"timezone": "Europe/Bärlin"}, "timezone is 'Europe/Bärlin'", "Europe/Berlin"),
        ({"timezone": 3}, "timezone is 3", "UTC"),
        ({"timezone": "../x"}, "timezone is '../x'", "UTC"),
        ({"path": ""}, "path is empty", "a value"),
        ({"path": None}, "path is None", "string"),
        ({"schema": {}}, "schema is {}", '{"column": Int64'),
        ({"schema": ["ts"]}, "schema is ['ts']", '{"column": Int64'),
        ({"schema": {**SCHEMA, "TS": Timestamp}}, "'ts' and 'TS' differ only in case", "rename"),
        ({"schema": {**SCHEMA, "__commit": Int64}}, "'__commit' begins with '__'", "rename"),
        ({"schema": {**SCHEMA, "": Int64}}, "column '' is not a name", "printable"),
        ({"schema": {**SCHEMA, "a\nb": Int64}}, "is not a name", "printable"),
        ({"schema": {**SCHEMA, "note": str}}, "schema['note'] is <class 'str'>", "String"),
    ],
)
def test_refused_event_sources(change: dict[str, Any], what: str, mend: str) -> None:
    assert_refused(lambda: EventSource("baskets", **{**EVENTS, **change}), "EventSource baskets", what, mend)


@pytest.mark.parametrize(
    ("change", "what", "mend"),
    [
        ({"key": "household"}, "key names column 'household'", "did you mean 'household_id'?"),
        ({"key": "since"}, "'since' is timestamp", "int64 or string"),
        ({"effective_at": "age"}, "effective_at column 'age' is int64", "type timestamp"),
        ({"effective_at": "from"}, "effective_at names column 'from'", "known are"),
    ],
)
def test_refused_table_sources(change: dict[str, Any], what: str, mend: str) -> None:
    assert_refused(lambda: TableSource("people", **{**TABLE, **change}), "TableSource people", what, mend)


def test_tombstones_are_boolean_columns() -> None:
    source = EventSource("e", **{**EVENTS, "schema": {**SCHEMA, "gone": Bool}, "tombstone": "gone", "timezone": "UTC"})
    assert (source.describe()["tombstone"], source.describe()["timezone"]) == ("gone", "UTC")


def test_a_delay_is_a_duration_of_zero_or_more() -> None:
    assert Delay("0s").us == 0
    assert_refused(lambda: Delay("-1s"), "Delay", "'-1s' is not a duration", "30d")
    assert_refused(lambda: Delay(3), "Delay", "length is 3", "30d")  # type: ignore[arg-type]


def test_columns_of_other_types_stay_allowed_in_a_schema() -> None:
    source = EventSource("e", **{**EVENTS, "schema": {**SCHEMA, "Basket Note": String, "w2": Float64}})
    assert source.schema["Basket Note"] == String
