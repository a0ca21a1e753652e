"""The split in time: no instant on both sides, no label that reaches over the edge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.errors import TrainingRefused
from lifecycle.training.holdout import split_in_time


def split(instants, labelled=None, **options):
    instants = np.array(instants, dtype=np.int64)
    labelled = np.ones(len(instants), dtype=bool) if labelled is None else np.array(labelled)
    options = {"fraction": None, "start_us": None, "label_span_us": 0, **options}
    return split_in_time(instants, labelled, **options)


def test_the_latest_share_is_held_out():
    found = split([50, 10, 40, 20, 30], fraction=0.4)
    assert found.start_us == 40
    assert found.holdout.tolist() == [True, False, True, False, False]
    assert found.train.tolist() == [False, True, False, True, True]


def test_rows_of_one_instant_stay_together():
    found = split([1, 2, 2, 2], fraction=0.25)
    assert found.holdout.tolist() == [False, True, True, True]


def test_a_row_whose_label_is_known_exactly_at_the_edge_trains():
    found = split([0, 6, 7, 10], start_us=10, label_span_us=4)
    assert found.train.tolist() == [True, True, False, False]
    assert found.purged.tolist() == [False, False, True, False]


def test_rows_without_a_label_are_in_no_part():
    found = split([1, 2, 3, 4], labelled=[True, False, True, False], fraction=0.5)
    assert (found.train | found.holdout | found.purged).tolist() == [True, False, True, False]


@given(
    st.lists(st.integers(0, 50), min_size=2, max_size=40),
    st.floats(0.05, 0.95),
    st.integers(0, 20),
)
def test_parts_are_disjoint_and_nothing_leaks(instants, fraction, span):
    try:
        found = split(instants, fraction=fraction, label_span_us=span)
    except TrainingRefused:
        return
    assert (found.train.astype(int) + found.holdout + found.purged == 1).all()
    given_at = np.array(instants)
    assert (given_at[found.train] + span).max() <= given_at[found.holdout].min()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"labelled": [False, False]}, "no row of the training set has a label"),
        ({"start_us": 0}, "no row to train on"),
        ({"start_us": 99}, "no row to hold out"),
        ({"start_us": 2, "label_span_us": 100}, "no row to train on"),
    ],
)
def test_an_empty_part_is_refused_with_the_span_of_the_rows(options, what):
    with pytest.raises(TrainingRefused, match=what) as caught:
        split([1, 2], **options)
    assert caught.value.mend
