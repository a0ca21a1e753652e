"""This engine's side of the comparison: the one module that knows the engine's API.

To be filled in when `featurestore.offline` has landed. Each ``open_*`` gets a `Workload`, does what is not to be
timed (import of the baskets file into a snapshot, definitions, opening the store), and returns the job: a callable
without arguments that turns ``workload.spine`` into an Arrow table in spine order with the columns that
`workload.WINDOW_COLUMNS`, `LATEST_COLUMNS` or `EXTREME_COLUMNS` names. ``None`` stands for a job that is not there
yet; the run then has no ratio for it, and fails.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from loadtests.pit.workload import Workload

Job = Callable[[], pa.Table]


def open_windows(workload: Workload) -> Job | None:
    """Sum, mean and count of net over 7, 30 and 90 days, and the last store: `WINDOW_COLUMNS`."""


def open_latest(workload: Workload) -> Job | None:
    """The latest basket's net and store: `LATEST_COLUMNS`."""


def open_extremes(workload: Workload) -> Job | None:
    """Minimum, maximum, standard deviation of net and distinct stores over 30 days: `EXTREME_COLUMNS`."""
