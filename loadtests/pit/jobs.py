"""The jobs that run in this process, by name."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from loadtests.pit import bare_asof, handwritten, ours
from loadtests.pit.workload import Workload

Job = Callable[[], pa.Table]

OPENERS: dict[str, Callable[[Workload], Job]] = {
    "ours_windows": ours.open_windows,
    "handwritten_windows": handwritten.open_windows,
    "handwritten_windows_without_corrections": handwritten.open_windows_without_corrections,
    "ours_latest": ours.open_latest,
    "asof_latest": bare_asof.open_latest,
    "ours_training_set": ours.open_training_set,
    "ours_extremes": ours.open_extremes,
    "handwritten_extremes": handwritten.open_extremes,
}
RARE = frozenset({"ours_extremes", "handwritten_extremes"})
"""Timed once a round: extra figures, and slow."""


def open_jobs(workload: Workload) -> dict[str, Job]:
    """Open every job."""
    return {name: opener(workload) for name, opener in OPENERS.items()}
