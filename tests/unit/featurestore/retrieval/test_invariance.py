from __future__ import annotations

import numpy as np
import pytest

from featurestore.definitions import Float64, Request, request_feature
from featurestore.foundation.errors import DefinitionError
from featurestore.retrieval.invariance import check_invariance, leaves
from featurestore.semantics.value import column

X = Request("x", Float64)


@request_feature(inputs=[X], dtype=Float64)
def doubled(x: np.ndarray) -> np.ndarray:
    return x * 2


@request_feature(inputs=[doubled], dtype=Float64)
def ranked(doubled: np.ndarray) -> np.ndarray:
    return np.argsort(doubled).astype(np.float64)


def test_leaves_are_what_a_feature_is_computed_from() -> None:
    assert leaves(ranked) == [X]
    assert leaves(X) == [X]


def test_a_function_of_each_row_alone_passes_and_one_of_the_batch_does_not() -> None:
    columns = {"x": column(Float64, [3.0, None, 1.0, 2.0])}
    check_invariance([doubled], columns)
    with pytest.raises(DefinitionError, match="ranked"):
        check_invariance([doubled, ranked], columns)


def test_rows_without_inputs_decide_nothing() -> None:
    check_invariance([ranked], {"x": column(Float64, [None, 1.0])})
    check_invariance([ranked], {"x": column(Float64, [])})
