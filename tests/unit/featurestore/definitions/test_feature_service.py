from typing import Any

import numpy as np
import pytest

from featurestore.definitions import (
    Attribute,
    Count,
    Decimal,
    FeatureService,
    FeatureView,
    Float64,
    Int64,
    Request,
    Sum,
    Timestamp,
    request_feature,
)
from featurestore.semantics.model_input import InputFeature, InputSpec
from featurestore.semantics.value import Column, column
from tests.unit.featurestore.definitions.retail import (
    assert_refused,
    basket_ratio,
    baskets,
    demographics,
    household,
    spending,
)

profile = FeatureView("profile", household, demographics, [Attribute("age"), Attribute("income")])
hour = Request("hour", Int64)


def service(*parts: Any, **fields: Any) -> FeatureService:
    return FeatureService("inputs", list(parts), **fields)


def filled(defaults: Any) -> dict[str, Any]:
    return {"missing": "default", "defaults": defaults}


def test_outputs_in_the_order_written() -> None:
    made = service(profile["age"], hour, basket_ratio, spending)
    assert [(output.name, str(output.dtype)) for output in made.outputs] == [
        ("profile.age", "int64"),
        ("hour", "int64"),
        ("basket_ratio", "float64"),
        ("household_spending.net_sum_30d", "float64"),
        ("household_spending.net_mean_30d", "float64"),
        ("household_spending.count_7d", "int64"),
        ("household_spending.store_id_last", "string"),
    ]


def test_what_is_needed_also_through_request_features() -> None:
    @request_feature(inputs=[basket_ratio, hour, profile["age"]], dtype=Float64)
    def mixed(ratio, hour, age):
        return np.asarray(ratio * hour + age)

    made = service(mixed)
    assert [ref.name for ref in made.refs] == ["household_spending.net_mean_30d", "profile.age"]
    assert [view.name for view in made.views] == ["household_spending", "profile"]
    assert [request.name for request in made.requests] == ["basket_value", "hour"]
    assert [feature.name for feature in made.request_features] == ["basket_ratio", "mixed"]
    assert [ref.name for ref in made.refs_of(profile)] == ["profile.age"]
    columns = {
        "household_spending.net_mean_30d": column(Float64, [2.0, None]),
        "profile.age": column(Int64, [40, 50]),
        "basket_value": column(Float64, [1.0, 1.0]),
        "hour": column(Int64, [3, 4]),
    }
    evaluated = made.evaluate(columns)
    assert list(evaluated) == ["mixed"]
    assert evaluated["mixed"].to_pylist() == [41.5, None]


def test_evaluating_gives_every_output_in_order() -> None:
    made = service(basket_ratio, hour, profile["age"])
    given = {
        "profile.age": column(Int64, [1]),
        "hour": column(Int64, [2]),
        "basket_value": column(Float64, [6.0]),
        "household_spending.net_mean_30d": column(Float64, [3.0]),
        "unasked": column(Int64, [1, 2, 3]),
    }
    assert {name: part.to_pylist() for name, part in made.evaluate(given).items()} == {
        "basket_ratio": [2.0], "hour": [2], "profile.age": [1],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"hour": None}, "hour is not among the columns"),
        ({"hour": column(Float64, [1.0])}, "column hour is float64, not int64"),
        ({"hour": column(Int64, [1, 2])}, "columns have lengths [1, 2]"),
    ],
)
def test_columns_that_do_not_fit(change: dict[str, Column | None], what: str) -> None:
    given = {"hour": column(Int64, [1]), "profile.age": column(Int64, [1]), **change}
    columns = {name: part for name, part in given.items() if part is not None}
    assert_refused(lambda: service(hour, profile["age"]).evaluate(columns), "FeatureService inputs", what, "")


def test_defaults_reach_the_model_in_storage_form() -> None:
    stamped = Request("since", Timestamp)
    made = service(
        profile["income"], stamped, Request("price", Decimal(2)), Request("other", Int64), missing="default",
        defaults={"profile.income": "none", "since": "1970-01-01T00:00:01Z", "price": "1.25"},
    )  # fmt: skip
    assert made.input_spec == InputSpec((
        InputFeature("profile.income", profile["income"].dtype, "none"),
        InputFeature("since", Timestamp, 1_000_000),
        InputFeature("price", Decimal(2), 125),
        InputFeature("other", Int64, None),
    ))  # fmt: skip
    assert service(profile["age"]).input_spec == InputSpec((InputFeature("profile.age", Int64),))


@pytest.mark.parametrize(
    ("parts", "fields", "what", "mend"),
    [
        ([], {}, "features is []", "list of views"),
        ([spending, spending["count_7d"]], {}, "two outputs are called 'household_spending.count_7d'", "once"),
        ([hour, Request("hour", Float64)], {}, "two outputs are called 'hour'", "once"),
        (
            [basket_ratio, Request("basket_value", Int64)],
            {},
            "two different inputs are called 'basket_value'",
            "rename",
        ),
        (["profile.age"], {}, "features[0] is 'profile.age'", 'view["feature"]'),
        ([Sum("net", over="7d")], {}, "features[0] is Aggregation", 'view["feature"]'),
        ([household], {}, "features[0] is Entity household", "a view"),
        ([profile], {"missing": "nul"}, "missing is 'nul'", "did you mean 'null'?"),
        ([profile], {"missing": None}, "missing is None", "default, null, refuse"),
        ([profile], {"defaults": {"profile.age": 0}}, "defaults are given but missing='null'", 'missing="default"'),
        ([profile], filled({}), "no default for profile.age, profile.income", "give each"),
        ([profile], filled({"profile.age": 0}), "no default for profile.income", "give each"),
        ([profile["age"]], filled({"age": 0}), "defaults names 'age', which is no output", "profile.age"),
        ([profile["age"]], filled({"profile.age": "0"}), "is '0', not a value of int64", "whole number"),
        ([profile["age"]], filled({"profile.age": None}), "default of profile.age is None", "whole number"),
        ([profile["age"]], filled(["profile.age"]), "defaults is ['profile.age']", "view.feature"),
        ([profile], {"owner": None}, "owner is None", "string"),
    ],
)  # fmt: skip
def test_refused(parts: list[Any], fields: dict[str, Any], what: str, mend: str) -> None:
    assert_refused(lambda: service(*parts, **fields), "FeatureService inputs", what, mend)


def test_two_views_of_one_name_are_refused() -> None:
    twin = FeatureView("profile", household, baskets, [Count(over="7d")])
    assert_refused(
        lambda: service(profile["age"], twin),
        "FeatureService inputs",
        "two different views are called 'profile'",
        "rename",
    )


def test_a_single_view_is_not_a_list() -> None:
    single: Any = profile
    assert_refused(lambda: FeatureService("inputs", single), "FeatureService inputs", "features is FeatureView", "list")


def test_the_digest_is_of_outputs_order_and_policy() -> None:
    base = service(profile["age"], hour)
    assert base.digest == service(profile["age"], hour, owner="ann").digest
    more = FeatureView("profile", household, demographics, [Attribute("age")])
    assert base.digest == service(more["age"], hour).digest
    others = [
        service(hour, profile["age"]),
        service(profile["age"]),
        service(profile["age"], hour, missing="refuse"),
        service(profile["age"], hour, missing="default", defaults={"profile.age": 1}),
        service(profile["age"], hour, missing="default", defaults={"profile.age": 2}),
        service(FeatureView("profile", household, demographics, [Attribute("age")], ttl="9d")["age"], hour),
    ]
    assert len({made.digest for made in (base, *others)}) == len(others) + 1
