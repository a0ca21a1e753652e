from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.semantics.interval import NEVER_US, enters, version_leaves, window_leaves


@pytest.mark.parametrize(
    ("available", "leaves"),
    [
        ([], []),
        ([5], [NEVER_US]),
        ([5, 9], [9, NEVER_US]),
        ([9, 5], [5, NEVER_US]),
        ([10, 30, 20], [20, 20, NEVER_US]),
    ],
)
def test_a_version_leaves_at_the_earliest_later_commit(available: list[int], leaves: list[int]) -> None:
    assert version_leaves(available) == leaves


@given(st.lists(st.integers(0, 9), max_size=6), st.integers(0, 10))
def test_exactly_the_last_committed_of_the_available_versions_is_visible(available: list[int], t_us: int) -> None:
    leaves = version_leaves(available)
    visible = [i for i, a in enumerate(available) if a <= t_us < leaves[i]]
    assert visible == [i for i, a in enumerate(available) if a <= t_us][-1:]


def test_a_window_is_open_at_its_old_end_and_closed_at_t() -> None:
    event = np.array([100])
    enter, leave = enters(event, event), window_leaves(event, np.array([NEVER_US]), 10)
    inside = [bool(enter[0] <= t < leave[0]) for t in (99, 100, 109, 110)]
    assert inside == [False, True, True, False]


def test_late_and_replaced_versions_are_visible_only_while_they_were_known() -> None:
    assert enters(np.array([100]), np.array([105])).tolist() == [105]
    assert window_leaves(np.array([100]), np.array([103]), 10).tolist() == [103]
    assert window_leaves(np.array([100]), np.array([103]), None).tolist() == [103]
