from typing import Any

import numpy as np
import pytest

from featurestore.definitions import Bool, Decimal, Float32, Float64, Int64, Request, RequestFeature, String, Timestamp
from featurestore.definitions import request_feature as decorated
from featurestore.definitions.aggregation import Sum
from featurestore.definitions.feature_view import FeatureView
from featurestore.foundation.errors import DefinitionError
from featurestore.semantics.value import Column, DType, column
from tests.unit.featurestore.definitions.retail import assert_refused, basket_ratio, baskets, household, spending

A, B = Request("a", Float64), Request("b", Float64)


def made(function: Any, *, inputs: Any = (A, B), dtype: DType = Float64) -> RequestFeature:
    function.__name__ = "f"
    return decorated(inputs=list(inputs), dtype=dtype)(function)


def identity(a):
    return a


def of(dtype: DType, *items: Any) -> Column:
    return column(dtype, items)


def test_takes_the_functions_name_or_another() -> None:
    assert basket_ratio.name == "basket_ratio"
    assert decorated(inputs=[A], dtype=Float64, name="other")(identity).name == "other"
    assert [given.name for given in basket_ratio.inputs] == ["basket_value", "household_spending.net_mean_30d"]
    assert basket_ratio(np.array([1.0]), np.array([2.0])).tolist() == [0.5]


def test_is_null_where_an_input_is_and_not_called_there() -> None:
    seen = []

    def f(a, b):
        seen.append((a.tolist(), b.tolist()))
        return a + b

    result = made(f).evaluate({"a": of(Float64, 1.0, None, 3.0), "b": of(Float64, 10.0, 20.0, None)}, 3)
    assert result.to_pylist() == [11.0, None, None]
    assert seen == [([1.0], [10.0])]


def test_is_not_called_when_no_row_is_whole() -> None:
    def f(a, b):
        raise AssertionError

    assert made(f).evaluate({"a": of(Float64, None), "b": of(Float64, 1.0)}, 1).to_pylist() == [None]
    assert made(f).evaluate({"a": of(Float64), "b": of(Float64)}, 0).to_pylist() == []


def test_arrays_are_contiguous_and_division_by_zero_is_infinity() -> None:
    def f(a, b):
        assert a.flags.c_contiguous
        return a / b

    strided = np.arange(6, dtype=np.float64)[::2]
    left = Column(Float64, strided, np.zeros(3, dtype=np.bool_))
    assert made(f).evaluate({"a": left, "b": of(Float64, 0.0, 0.0, 2.0)}, 3).values[1:].tolist() == [np.inf, 2.0]


@pytest.mark.parametrize(
    ("dtype", "items", "result"),
    [
        (Int64, [2**63 - 1, None], [2**63 - 1, None]),
        (Bool, [True, False], [True, False]),
        (String, ["a", ""], ["a", ""]),
        (Timestamp, [5, None], [5, None]),
        (Float32, [0.5, None], [0.5, None]),
    ],
)
def test_every_type_passes_unchanged(dtype: DType, items: list[Any], result: list[Any]) -> None:
    feature = decorated(inputs=[Request("a", dtype)], dtype=dtype)(identity)
    assert feature.evaluate({"a": of(dtype, *items)}, 2).to_pylist() == result


def test_text_arrays_of_numpy_are_taken() -> None:
    def f(a):
        return np.char.add(a.astype(np.str_), "!")

    feature = made(f, inputs=[Request("a", String)], dtype=String)
    assert feature.evaluate({"a": of(String, "x", None)}, 2).to_pylist() == ["x!", None]


@pytest.mark.parametrize(
    ("function", "what", "mend"),
    [
        (lambda a, b: a.sum(), "the function gave", "one value per row"),
        (lambda a, b: [1.0, 2.0], "the function gave [1.0, 2.0] for 2 rows", "one value per row"),
        (lambda a, b: None, "the function gave None", "one value per row"),
        (lambda a, b: a[:1], "an array of shape (1,) for 2 rows", "one value per row"),
        (lambda a, b: a.astype(np.float32), "the function gave float32, not float64", "result.astype('float64')"),
        (lambda a, b: a > b, "the function gave bool, not float64", "astype"),
        (lambda a, b: a["x"], "the function failed on 2 rows: IndexError", "test_request_feature.py:"),
    ],
)
def test_results_that_are_none(function: Any, what: str, mend: str) -> None:
    feature = made(function)
    columns = {"a": of(Float64, 1.0, 2.0), "b": of(Float64, 1.0, 2.0)}
    assert_refused(lambda: feature.evaluate(columns, 2), "RequestFeature f", what, mend)


def test_text_results_hold_text_only() -> None:
    def f(a):
        return np.array([None] * len(a), dtype=object)

    feature = made(f, inputs=[Request("a", String)], dtype=String)
    assert_refused(lambda: feature.evaluate({"a": of(String, "x")}, 1), "RequestFeature f", "not string", "astype")


def test_inputs_that_are_absent_or_of_another_type() -> None:
    feature = made(lambda a, b: a)
    one = of(Float64, 1.0)
    assert_refused(lambda: feature.evaluate({"a": one}, 1), "RequestFeature f", "input b is not among", "hand it in")
    assert_refused(
        lambda: feature.evaluate({"a": one, "b": of(Int64, 1)}, 1), "RequestFeature f", "1 values of int64", ""
    )
    assert_refused(lambda: feature.evaluate({"a": one, "b": one}, 2), "RequestFeature f", "expected 2 of float64", "")


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a / a.sum(),
        lambda a, b: np.sort(a),
        lambda a, b: a + np.arange(len(a)),
        lambda a, b: np.where(len(a) > 1, a, b),
        lambda a, b: np.cumsum(a),
    ],
)
def test_a_result_that_depends_on_the_batch_is_refused(function: Any) -> None:
    columns = {"a": of(Float64, 3.0, None, 1.0, 2.0), "b": of(Float64, 9.0, 9.0, 9.0, 9.0)}
    with pytest.raises(DefinitionError, match="in its batch"):
        made(function).check_batch_invariance(columns)


def test_a_result_by_row_passes() -> None:
    rows = np.random.default_rng(7).normal(size=37)
    columns = {"a": of(Float64, *rows), "b": of(Float64, *([None, 0.0, -1.5] * 12), np.nan)}
    made(lambda a, b: np.log(np.abs(a)) / np.exp(b)).check_batch_invariance(columns)


def test_may_take_other_request_features() -> None:
    doubled = decorated(inputs=[basket_ratio], dtype=Float64, name="doubled")(identity)
    assert doubled.inputs == (basket_ratio,)
    assert doubled.describe()["inputs"][0]["request_feature"]["name"] == "basket_ratio"


prices = FeatureView("prices", household, baskets, [Sum("quantity", over="1d", name="price")])


@pytest.mark.parametrize(
    ("make", "what", "mend"),
    [
        (lambda: made(identity, inputs=[]), "inputs is []", "Request("),
        (lambda: made(identity, inputs=["a"]), "inputs[0] is 'a'", "Request"),
        (lambda: made(identity, inputs=[spending]), "inputs[0] is FeatureView household_spending", 'view["name"]'),
        (lambda: made(lambda a, b: a, inputs=[A, A]), "name one twice", "once"),
        (lambda: made(identity), "the function takes (a) for 2 inputs", "one plain parameter per input"),
        (lambda: made(lambda *a: a[0]), "takes (*a) for 2 inputs", "one plain parameter"),
        (lambda: made(lambda a, *, b: a), "takes (a, *, b) for 2 inputs", "one plain parameter"),
        (lambda: made(lambda b, a: a), "takes (b, a) but the inputs are (a, b)", "one order"),
        (lambda: made(identity, inputs=[Request("a", Decimal(2))]), "input a is decimal(2)", "Float64"),
        (lambda: made(identity, inputs=[A], dtype=Decimal(2)), "dtype is a decimal", "Float64"),
        (lambda: made(identity, inputs=[A], dtype=float), "dtype is <class 'float'>", "Int64"),  # type: ignore[arg-type]
        (lambda: decorated(inputs=[A], dtype=Float64, name="f")(np.log), "the function is", "with def"),
        (lambda: decorated(inputs=[A], dtype=Float64, name="f")(lambda a: a), "the function is", "with def"),
    ],
)
def test_refused(make: Any, what: str, mend: str) -> None:
    assert_refused(make, "RequestFeature", what, mend)


def test_request_values_are_checked() -> None:
    assert_refused(lambda: Request("Basket", Float64), "Request", "'Basket' is not a name", "'basket'")
    assert_refused(lambda: Request("basket", float), "Request basket", "not a type", "Float64")  # type: ignore[arg-type]
