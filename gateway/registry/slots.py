"""The slot table: weights to slots, and from one table to the next with the fewest moves. Pure.

A key's hash names one of `SLOTS` slots for good; a table gives each slot to a variant. Tables are lists of owners,
any hashable value per slot; routes keep them run-length encoded.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

from gateway.errors import RouteRefused

SLOTS = 16_384
"""Number of slots: shares are exact to 1/16,384. A power of two, so that a hash maps to a slot by its low bits."""


def apportion(weights: Mapping[int, int], held: Mapping[int, int]) -> dict[int, int]:
    """Share the slots out in proportion to relative integer weights, by largest remainders.

    Among equal remainders, who holds more than its whole part already goes first (nothing moves without need), then
    the order of ``weights``.

    Parameters
    ----------
    weights
        Weight by version, in the route's order; at least one is positive.
    held
        Slots that each version holds now; others hold none.

    Raises
    ------
    RouteRefused
        If a weight is negative, all are 0, or a positive one is too small for a single slot.
    """
    _check(weights)
    total = sum(weights.values())
    whole = {version: weight * SLOTS // total for version, weight in weights.items()}
    spare = SLOTS - sum(whole.values())
    by_remainder = sorted(
        weights,
        key=lambda version: (-(weights[version] * SLOTS % total), held.get(version, 0) <= whole[version]),
    )
    slots = {version: whole[version] + (version in by_remainder[:spare]) for version in weights}
    _check_shares(weights, slots)
    return slots


def evolve(table: Sequence[int], weights: Mapping[int, int], start: int = 0) -> list[int]:
    """Return the next table: every version gets its `apportion`, and the fewest slots change hands.

    Parameters
    ----------
    table
        The present owner of every slot, a version; empty if there is no table yet.
    weights
        The next weights by version.
    start
        The slot at which the search for slots to hand over begins, going round: a different one each time puts
        different keys on trial.
    """
    target = apportion(weights, Counter(table))
    if not table:
        return [version for version, slots in target.items() for _ in range(slots)]
    held = Counter(table)
    surplus = {version: slots - target.get(version, 0) for version, slots in held.items()}
    takers = iter([version for version in target for _ in range(target[version] - held[version])])
    successor = list(table)
    for offset in range(SLOTS):
        slot = (start + offset) % SLOTS
        if surplus[table[slot]] > 0:
            surplus[table[slot]] -= 1
            successor[slot] = next(takers)
    return successor


def trial_start(salt: str, revision: int) -> int:
    """Return the slot where a revision begins to hand slots over: fixed by salt and revision, otherwise arbitrary."""
    seed = hashlib.blake2b(f"{salt}/{revision}".encode(), digest_size=8).digest()
    return int.from_bytes(seed, "little") % SLOTS


def encode_runs(table: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Run-length encode a table: pairs of owner and number of slots."""
    return tuple((owner, len(list(run))) for owner, run in groupby(table))


def decode_runs(runs: Sequence[tuple[int, int]]) -> list[int]:
    """Return the table that `encode_runs` encoded."""
    return [owner for owner, length in runs for _ in range(length)]


def _check(weights: Mapping[int, int]) -> None:
    for version, weight in weights.items():
        if type(weight) is not int or weight < 0:
            raise RouteRefused(
                f"weight {weight!r} of version {version} is not a whole number from 0",
                mend="weights are relative: 9 and 1 give nine tenths and one tenth",
            )
    if not any(weights.values()):
        raise RouteRefused("all weights are 0, so nobody would answer", mend="give at least one variant a weight")


def _check_shares(weights: Mapping[int, int], slots: Mapping[int, int]) -> None:
    for version, weight in weights.items():
        if weight and not slots[version]:
            raise RouteRefused(
                f"weight {weight} of version {version} is less than one slot in {SLOTS:,}",
                mend=f"give it 0, or at least one {SLOTS:,}th of the sum of the weights",
            )
