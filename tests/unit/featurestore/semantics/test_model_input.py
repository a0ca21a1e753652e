from __future__ import annotations

import math

import numpy as np
import pytest

from featurestore.foundation.errors import SemanticsError
from featurestore.semantics.model_input import NULL_TEXT, InputFeature, InputSpec, assemble, parse_input_spec
from featurestore.semantics.value import Bool, Decimal, Float64, Int64, String, column

SPEC = InputSpec(
    (
        InputFeature("amount", Decimal(2)),
        InputFeature("town", String),
        InputFeature("ratio", Float64, 0.5),
        InputFeature("member", Bool),
        InputFeature("street", String, "unknown"),
    )
)
COLUMNS = {
    "amount": column(Decimal(2), [1234, None]),
    "town": column(String, [None, ""]),
    "ratio": column(Float64, [None, math.nan]),
    "member": column(Bool, [True, False]),
    "street": column(String, ["a", None]),
    "other": column(Int64, [1, 2]),
}


def test_numbers_and_texts_stand_apart_in_service_order() -> None:
    made = assemble(SPEC, COLUMNS)
    assert (SPEC.numeric_names, SPEC.text_names) == (("amount", "ratio", "member"), ("town", "street"))
    expected = np.array([[12.34, 0.5, 1], [np.nan, np.nan, 0]], dtype=np.float32)
    np.testing.assert_array_equal(made.numeric, expected)
    assert made.text.tolist() == [[NULL_TEXT, "a"], ["", "unknown"]]
    assert set(made.feeds()) == {"numeric", "text"}


def test_each_row_is_assembled_alone_as_in_its_batch() -> None:
    whole = assemble(SPEC, COLUMNS)
    for row in range(2):
        alone = assemble(SPEC, {name: of.take(np.array([row])) for name, of in COLUMNS.items()})
        np.testing.assert_array_equal(alone.numeric[0], whole.numeric[row])
        assert alone.text[0].tolist() == whole.text[row].tolist()


def test_a_specification_survives_the_trip_through_plain_data() -> None:
    assert parse_input_spec(SPEC.describe()) == SPEC


def test_an_input_without_columns_is_left_out() -> None:
    spec = InputSpec((InputFeature("member", Bool),))
    assert set(assemble(spec, COLUMNS).feeds()) == {"numeric"}


@pytest.mark.parametrize(("name", "dtype"), [("absent", Bool), ("member", Int64)])
def test_a_feature_that_is_absent_or_of_another_type_is_refused(name: str, dtype: object) -> None:
    with pytest.raises(SemanticsError, match=name):
        assemble(InputSpec((InputFeature(name, dtype),)), COLUMNS)  # type: ignore[arg-type]


def test_decimals_of_eighteen_digits_are_rounded_to_the_nearest_double_first() -> None:
    digits = np.random.default_rng(0).integers(10**17, 10**18, 2_000).tolist()
    spec = InputSpec((InputFeature("d", Decimal(9)),))
    expected = np.array([digit / 10**9 for digit in digits]).astype(np.float32)
    np.testing.assert_array_equal(assemble(spec, {"d": column(Decimal(9), digits)}).numeric[:, 0], expected)
