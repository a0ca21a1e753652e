"""The set agrees with Python's, and needs little."""

import random
import tracemalloc

import numpy as np

from gateway.predictionlog import sequence_set
from gateway.predictionlog.sequence_set import BLOCK, SequenceSet


def spans(missing: set[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in sorted(missing):
        if found and found[-1][1] + 1 == number:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def test_it_agrees_with_a_set(monkeypatch):
    monkeypatch.setattr(sequence_set, "BLOCK", 16)
    for seed in range(60):
        chance = random.Random(seed)
        chosen, reference, added = SequenceSet(), set[int](), 0
        for _ in range(chance.randrange(6)):
            numbers = [chance.randrange(100) for _ in range(chance.randrange(80))]
            chosen.add(np.array(numbers, dtype=np.int64))
            reference |= set(numbers)
            added += len(numbers)
        following = chance.choice([chosen.following, 130, 48, 7])
        assert list(chosen.missing(following)) == spans(set(range(following)) - reference)
        assert (chosen.doubled, chosen.following) == (added - len(reference), max(reference, default=-1) + 1)


def test_numbers_of_two_interleaved_models_need_an_eighth_of_a_byte_each():
    """And none where all are there."""
    tracemalloc.start()
    chosen = SequenceSet()
    for start in range(0, 8 * BLOCK, BLOCK // 4):
        chosen.add(np.arange(start, start + BLOCK // 4, 2))
    held = tracemalloc.get_traced_memory()[0]
    for start in range(0, 8 * BLOCK, BLOCK // 4):
        chosen.add(np.arange(start + 1, start + BLOCK // 4, 2))
    full = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 8 * BLOCK // 8 + 100_000
    assert full < 100_000
    assert list(chosen.missing(8 * BLOCK)) == []
