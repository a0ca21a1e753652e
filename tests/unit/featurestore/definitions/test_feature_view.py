from typing import Any

import pytest

from featurestore.definitions import (
    Attribute,
    Count,
    Decimal,
    Delay,
    Derived,
    DistinctCount,
    Entity,
    EventSource,
    FeatureView,
    Float64,
    Int64,
    Last,
    Mean,
    String,
    Sum,
    Timestamp,
)
from featurestore.foundation.clock import DAY
from tests.unit.featurestore.definitions.retail import (
    EVENTS,
    SCHEMA,
    assert_refused,
    baskets,
    demographics,
    household,
    spending,
)

NET = {"net": Derived("value - refunded", Decimal(2))}


def view(**change: Any) -> FeatureView:
    fields: dict[str, Any] = {"entity": household, "source": baskets, "features": [Count(over="7d")], **change}
    return FeatureView("spending", **fields)


def test_features_in_order_with_their_types() -> None:
    assert [(feature.name, feature.dtype) for feature in spending.features] == [
        ("net_sum_30d", Float64),
        ("net_mean_30d", Float64),
        ("count_7d", Int64),
        ("store_id_last", String),
    ]
    assert spending.refs[0].name == "household_spending.net_sum_30d"
    assert spending["count_7d"].dtype == Int64
    assert spending["count_7d"].view is spending


def test_what_engines_ask_of_a_view() -> None:
    assert spending.columns == ("net", "store_id")
    assert spending.windows == (7 * DAY, 30 * DAY)
    assert spending.key == "household_id"
    assert spending.ttl_us is None
    assert view(ttl="30d").ttl_us == 30 * DAY
    assert spending.column_dtype("net") == Decimal(2)
    assert spending.column_dtype("quantity") == Int64
    assert spending.derived_expressions["net"].columns == ("refunded", "value")
    assert spending.where_expression is not None
    assert spending.where_expression.sql == '"quantity" > 0'
    assert view().where_expression is None


def test_attributes_of_a_table_are_named_as_their_columns() -> None:
    profile = FeatureView("profile", household, demographics, [Attribute("age"), Attribute("income")])
    assert [feature.name for feature in profile.features] == ["age", "income"]
    assert profile.windows == ()


def test_another_column_may_hold_the_key() -> None:
    source = EventSource("trips", **{**EVENTS, "schema": {**SCHEMA, "origin": Int64}})
    assert view(source=source, key="origin").key == "origin"


def test_the_digest_covers_entity_source_and_every_field() -> None:
    base = view(derive=NET, where="quantity > 0")
    assert base.digest == view(derive={"net": Derived(" value -  refunded", Decimal(2))}, where="quantity>0").digest
    assert base.digest == view(derive=NET, where="quantity > 0", owner="ann", description="told").digest
    others = [
        view(derive=NET, where="quantity > 1"),
        view(derive=NET),
        view(where="quantity > 0"),
        view(derive={"net": Derived("value", Decimal(2))}, where="quantity > 0"),
        view(derive={"net": Derived("value - refunded", Float64)}, where="quantity > 0"),
        view(derive=NET, where="quantity > 0", ttl="30d"),
        view(derive=NET, where="quantity > 0", features=[Count(over="8d", name="count_7d")]),
        view(derive=NET, where="quantity > 0", entity=Entity("customer", "household_id")),
        view(derive=NET, where="quantity > 0", source=EventSource("sales", **EVENTS)),
        view(derive=NET, where="quantity > 0", key="basket_id"),
    ]
    assert len({other.digest for other in (base, *others)}) == len(others) + 1


def test_a_feature_means_only_what_it_depends_on() -> None:
    def described(**change: Any) -> dict[str, Any]:
        source = EventSource("baskets", **{**EVENTS, "schema": {**SCHEMA, **change.pop("more", {})}})
        fields = {
            "derive": NET,
            "where": "quantity > 0",
            "features": [Sum("net", over="30d"), Count(over="7d")],
            **change,
        }
        return view(source=source, **fields)["net_sum_30d"].describe()

    base = described()
    columns = [name for name, _ in base["view"]["source"]["schema"]]
    assert columns == ["basket_id", "household_id", "ts", "value", "refunded", "quantity"]
    assert base == described(more={"extra": Int64})
    assert base == described(features=[Count(over="1d"), Sum("net", over="30d")])
    assert base == described(derive={**NET, "gross": Derived("value", Decimal(2))})
    assert base != described(where="quantity > 1")
    assert base != described(derive={"net": Derived("value", Decimal(2))})
    assert base != described(ttl="30d")


def test_features_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        spending.ttl = "1d"  # type: ignore[misc]
    with pytest.raises(TypeError):
        spending.derive["more"] = Derived("value", Int64)  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "place", "what", "mend"),
    [
        ({"entity": "household"}, "", "entity is 'household'", "an Entity"),
        ({"source": household}, "", "source is Entity household", "EventSource or a TableSource"),
        ({"key": "household"}, "", "EventSource baskets has no column 'household'", "did you mean 'household_id'?"),
        ({"entity": Entity("shop", "shop")}, "", "has no column 'shop'", "key=..."),
        ({"key": "store_id"}, "", "'store_id' is string, the join key of Entity household is int64", "types"),
        ({"source": demographics, "key": "age"}, "", "not 'household_id', the key of TableSource", "EventSource"),
        ({"ttl": "0s"}, "", "ttl is zero", "ttl=None"),
        ({"ttl": "soon"}, "", "'soon' is not a duration", "30d"),
        ({"ttl": 30}, "", "ttl is 30", 'ttl="30d"'),
        ({"features": []}, "", "features is []", "Sum("),
        ({"features": "count"}, "", "features is 'count'", "Sum("),
        ({"features": Count(over="7d")}, "", "features is Aggregation", "a list"),
        ({"features": ["net_sum_30d"]}, "", "features[0] is 'net_sum_30d'", "Sum("),
        ({"features": [Sum("valeu", over="7d")]}, "", "unknown column 'valeu'", "did you mean 'value'?"),
        ({"features": [Sum("nett", over="7d")], "derive": NET}, "", "unknown column 'nett'", "did you mean 'net'?"),
        ({"features": [Count(over="7d"), Count(over="168h")]}, "", "two features are called 'count_7d'", "name=..."),
        ({"features": [Sum("value")]}, "", "Sum('value') has no window", "over="),
        ({"features": [Sum("weight", over="7d")]}, "", "has no exact sum", "scale=2"),
        ({"features": [Sum("store_id", over="7d")]}, "", "is string, not a number", "derive"),
        ({"where": "quantity"}, " where", "'quantity' is not a condition", "quantity > 0"),
        ({"where": "quantiy > 0"}, " where", "unknown column 'quantiy'", "did you mean 'quantity'?"),
        ({"where": "net > 0", "derive": NET}, " where", "unknown column 'net'", "known are"),
        ({"where": ""}, " where", "'' is no expression", "SQL"),
        ({"where": 3}, " where", "3 is no expression", "SQL"),
        ({"derive": {"net": "value - refunded"}}, "", "derive['net'] is 'value - refunded'", "Derived("),
        ({"derive": ["net"]}, "", "derive is ['net']", "Derived("),
        (
            {"derive": {"net": Derived("valeu", Int64)}},
            " derive['net']",
            "unknown column 'valeu'",
            "did you mean 'value'?",
        ),
        ({"derive": {"net": Derived("value", "int64")}}, "", "derive['net'] dtype is 'int64'", "Int64"),  # type: ignore[arg-type]
        ({"derive": {"value": Derived("value", Int64)}}, "", "derive['value'] has the name of a column", "otherwise"),
        ({"derive": {"Net": Derived("value", Int64)}}, " derive", "'Net' is not a name", "call it 'net'"),
        (
            {"derive": {"a": Derived("value", Int64), "b": Derived("a", Int64)}},
            " derive['b']",
            "unknown column 'a'",
            "",
        ),
        ({"derive": {"r": Derived("random()", Float64)}}, " derive['r']", "one call to the next", "own columns"),
        ({"description": None}, "", "description is None", "string"),
        ({"owner": 1}, "", "owner is 1", "string"),
    ],
)
def test_refused(change: dict[str, Any], place: str, what: str, mend: str) -> None:
    assert_refused(lambda: view(**change), f"FeatureView spending{place}", what, mend)


def test_default_names_that_are_none_ask_for_one() -> None:
    source = EventSource("odd", **{**EVENTS, "schema": {**SCHEMA, "Basket Size": Int64}})
    with_name = view(source=source, features=[Mean("Basket Size", over="7d", name="size_mean_7d")])
    assert with_name.features[0].name == "size_mean_7d"
    assert_refused(
        lambda: view(source=source, features=[Last("Basket Size")]),
        "FeatureView spending",
        "'Basket Size_last'",
        "name=",
    )


def test_an_unknown_feature_names_the_nearest() -> None:
    assert_refused(
        lambda: spending["net_sum_3d"], "FeatureView household_spending", "no feature is called", "'net_sum_30d'?"
    )


def test_distinct_count_needs_no_number() -> None:
    assert view(features=[DistinctCount("store_id", over="90d")]).features[0].dtype == Int64


def test_stored_rows_keep_their_name_while_nothing_they_are_made_from_changes():
    def made(schema=None, features=None, **more):
        source = EventSource(
            "visits",
            schema={"id": Int64, "who": Int64, "at": Timestamp, "paid": Decimal(2), **(schema or {})},
            event_timestamp="at",
            event_id="id",
            available_at=Delay("0s"),
            path="visits.parquet",
        )
        return FeatureView("visits", Entity("person", "who"), source, features or [Sum("paid", over="7d")], **more)

    same = [made(), made({"extra": String}), made(ttl="3d"), made(derive={"unused": Derived("paid * 2", Decimal(2))})]
    assert len({view.row_digest for view in same}) == 1
    assert len({view.digest for view in same}) == 4
    other = [
        made(features=[Sum("paid", over="8d")]),
        made(features=[Sum("paid", over="7d"), Count(over="7d")]),
        made(where="paid > 0"),
        made({"extra": Int64}, where="extra > 0"),
        made(derive={"paid2": Derived("paid", Decimal(2))}, features=[Sum("paid2", over="7d")]),
        made(derive={"paid2": Derived("paid * 2", Decimal(2))}, features=[Sum("paid2", over="7d")]),
    ]
    assert len({view.row_digest for view in [*other, made()]}) == 7
