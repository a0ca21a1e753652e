"""The split in time: earlier rows train, later rows judge, and rows whose label reaches over the edge do neither."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurestore.foundation.clock import format_instant
from lifecycle.errors import TrainingRefused


@dataclass(frozen=True)
class Split:
    """Which rows do what; every labelled row is in exactly one of the three.

    Attributes
    ----------
    start_us
        The first instant of the hold-out.
    train, holdout, purged
        Shape ``(N,)``, bool. Purged rows are earlier than the hold-out, but their label matured after its start.
    """

    start_us: int
    train: NDArray[np.bool_]
    holdout: NDArray[np.bool_]
    purged: NDArray[np.bool_]


def split_in_time(
    instants_us: NDArray[np.int64],
    labelled: NDArray[np.bool_],
    *,
    fraction: float | None,
    start_us: int | None,
    label_span_us: int,
) -> Split:
    """Hold the latest labelled rows out.

    Parameters
    ----------
    instants_us
        When each row asked.
    labelled
        Which rows have a matured label; the others are in no part.
    fraction, start_us
        Share of the labelled rows to hold out, rounded up to a whole instant so that no instant is on both sides; or
        the first instant to hold out.
    label_span_us
        From a row's instant until its label is known: its window and its lateness.

    Raises
    ------
    TrainingRefused
        If a part would be empty.
    """
    known = instants_us[labelled]
    if not len(known):
        raise TrainingRefused(
            "no row of the training set has a label",
            mend="take a spine whose labels have matured: rows before the clock minus the label's window and lateness",
        )
    if start_us is None:
        start_us = _latest(known, fraction or 0.0)
    holdout = labelled & (instants_us >= start_us)
    train = labelled & ~holdout & (instants_us + label_span_us <= start_us)
    purged = labelled & ~holdout & ~train
    _refuse_empty(train, holdout, known, start_us)
    return Split(start_us, train, holdout, purged)


def _latest(known: NDArray[np.int64], fraction: float) -> int:
    ordered = np.sort(known)
    return int(ordered[len(ordered) - max(1, round(len(ordered) * fraction))])


def _refuse_empty(
    train: NDArray[np.bool_], holdout: NDArray[np.bool_], known: NDArray[np.int64], start_us: int
) -> None:
    for part, name in ((train, "train on"), (holdout, "hold out")):
        if not part.any():
            raise TrainingRefused(
                f"there is no row to {name}: the hold-out starts at {format_instant(start_us)}, the labelled rows span "
                f"{format_instant(int(known.min()))} to {format_instant(int(known.max()))}",
                mend="move the model's holdout_from or holdout_fraction, or take a longer spine",
            )
