"""What is missing is told by worker, and what a worker said it dropped apart from what was lost."""

import numpy as np

from gateway.predictionlog.completeness import Gap, worker_states


def states(numbers, notes=(), running=frozenset()):
    parts = [(worker, np.array(part, dtype=np.int64)) for worker, part in numbers]
    return {state.worker: state for state in worker_states(parts, notes, running)}


def test_a_worker_without_a_gap():
    (found,) = states([("w", [2, 0]), ("w", [1])], [{"worker": "w", "closed": 3}]).values()
    assert (found.rows, found.doubled, found.following, found.ending, found.gaps) == (3, 0, 3, "closed", ())


def test_lost_and_dropped_numbers_are_told_apart():
    notes = [
        {"worker": "w", "dropped": [5, 9]},
        {"worker": "w", "dropped": [10, 11]},
        {"worker": "w", "dropped": [5, 9]},
    ]
    found = states([("w", [0, 1, 3, 7, 14])], notes)["w"]
    assert found.gaps == (
        Gap("w", 2, 2),
        Gap("w", 4, 4),
        Gap("w", 5, 6, dropped=True),
        Gap("w", 8, 11, dropped=True),
        Gap("w", 12, 13),
    )
    assert (found.lost, found.dropped, found.rows, found.ending) == (4, 6, 5, "broken off")


def test_what_is_missing_at_the_end_shows_if_the_worker_said_so():
    found = states([("w", [0])], [{"worker": "w", "closed": 4}, {"worker": "x", "dropped": [0, 1]}], frozenset("x"))
    assert found["w"].gaps == (Gap("w", 1, 3),)
    assert (found["x"].gaps, found["x"].ending) == ((Gap("x", 0, 1, dropped=True),), "running")


def test_doubles_are_counted():
    assert states([("w", [0, 1, 1]), ("w", [1])])["w"].doubled == 2
