from featurestore.definitions import Entity, Float64, Int64, String
from tests.unit.featurestore.definitions.retail import assert_refused


def test_describes_name_key_and_type() -> None:
    assert Entity("store", "store_id", String).describe() == {
        "definition": "Entity",
        "name": "store",
        "join_key": "store_id",
        "dtype": "string",
    }
    assert Entity("household", "household_id").dtype == Int64


def test_join_keys_are_whole_numbers_or_text() -> None:
    assert_refused(lambda: Entity("store", "store_id", Float64), "Entity store", "dtype is float64", "Int64 or String")


def test_the_join_key_is_an_identifier() -> None:
    assert_refused(lambda: Entity("store", "Store Id"), "Entity store join_key", "'Store Id'", "call it 'store_id'")


def test_a_description_is_text() -> None:
    assert_refused(lambda: Entity("store", "store_id", description=3), "Entity store", "description is 3", "string")  # type: ignore[arg-type]
