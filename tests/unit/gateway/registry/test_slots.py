from collections import Counter
from fractions import Fraction
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RouteRefused
from gateway.registry.slots import SLOTS, apportion, decode_runs, encode_runs, evolve, trial_start

pytestmark = pytest.mark.slow

WEIGHTS = st.lists(st.integers(0, 100), min_size=1, max_size=4).filter(any)


def _weights(weights: list[int]) -> dict[int, int]:
    return dict(enumerate(weights, start=1))


@given(WEIGHTS, st.dictionaries(st.integers(1, 4), st.integers(0, SLOTS)))
def test_every_share_is_its_quota_rounded_up_or_down(weights, held):
    slots = apportion(_weights(weights), held)
    assert sum(slots.values()) == SLOTS
    for version, weight in _weights(weights).items():
        quota = Fraction(weight * SLOTS, sum(weights))
        assert abs(slots[version] - quota) < 1
        assert weight or slots[version] == 0


@given(st.lists(WEIGHTS, min_size=1, max_size=5), st.integers(0, SLOTS - 1))
def test_a_change_moves_the_fewest_slots_there_can_be(changes, start):
    table: list[int] = []
    for weights in changes:
        successor = evolve(table, _weights(weights), start)
        target = apportion(_weights(weights), Counter(table))
        assert Counter(successor) == {version: slots for version, slots in target.items() if slots}
        if table:
            # Each version's surplus has to go, whatever one does; nothing else may.
            least = sum(max(0, slots - target.get(version, 0)) for version, slots in Counter(table).items())
            assert sum(was != now for was, now in zip(table, successor, strict=True)) == least
        table = successor


@given(WEIGHTS, st.integers(0, SLOTS - 1))
def test_nothing_moves_while_weights_stand(weights, start):
    table = evolve([], _weights(weights), start)
    assert evolve(table, _weights(weights), (start + 4_321) % SLOTS) == table
    assert evolve(table, _weights([7 * weight for weight in weights]), start) == table


@given(WEIGHTS, WEIGHTS)
def test_the_rounding_of_ties_moves_nothing_without_need(first, second):
    """Brute force: of all largest-remainder apportionments, the chosen one keeps most of what is held."""
    held = Counter(evolve([], _weights(first)))
    chosen = apportion(_weights(second), held)
    total = sum(second)
    whole = {version: weight * SLOTS // total for version, weight in _weights(second).items()}
    spare = SLOTS - sum(whole.values())
    remainder = {version: weight * SLOTS % total for version, weight in _weights(second).items()}
    for other in combinations(whole, spare):
        if sorted(remainder[v] for v in other) != sorted(remainder[v] for v in chosen if chosen[v] > whole[v]):
            continue
        kept = sum(min(held[v], whole[v] + (v in other)) for v in whole)
        assert kept <= sum(min(held[v], chosen[v]) for v in whole)


def test_weight_0_gets_nothing():
    assert set(evolve([1] * SLOTS, {1: 0, 2: 5})) == {2}
    assert set(evolve(evolve([], {1: 1, 2: 1}), {1: 1, 2: 0})) == {1}


def test_the_trial_begins_where_it_is_told_and_goes_round():
    table = evolve([1] * SLOTS, {1: SLOTS - 4, 2: 4}, SLOTS - 2)
    assert [slot for slot, owner in enumerate(table) if owner == 2] == [0, 1, SLOTS - 2, SLOTS - 1]


def test_golden_starts():
    """Computed once with hashlib.blake2b(b"spend/<revision>", digest_size=8), first two bytes, little endian."""
    assert [trial_start("spend", revision) for revision in (1, 2, 3)] == [3840, 14329, 2209]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({1: 0, 2: 0}, "all weights are 0"),
        ({1: -1, 2: 5}, "weight -1 of version 1 is not a whole number"),
        ({1: 0.9, 2: 0.1}, "weight 0.9 of version 1 is not a whole number"),
        ({1: True, 2: 1}, "weight True of version 1"),
        ({1: 10_000_000, 2: 1}, "weight 1 of version 2 is less than one slot in 16,384"),
    ],
)
def test_weights_that_make_no_shares_are_refused(weights, message):
    with pytest.raises(RouteRefused, match=message):
        apportion(weights, {})


@given(st.lists(st.integers(0, 2), max_size=50))
def test_runs_are_lossless(table):
    runs = encode_runs(table)
    assert decode_runs(runs) == table
    assert all(one[0] != two[0] for one, two in pairwise(runs))
