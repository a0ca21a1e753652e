"""A source and its files, as the tests of the offline rooms use them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from featurestore.definitions import Delay, EventSource
from featurestore.foundation.clock import FixedClock
from featurestore.offline.event_import import import_file
from featurestore.offline.import_report import ImportReport
from featurestore.semantics.value import Bool, Decimal, Float64, Int64, Timestamp

NOW_US = 1_700_000_000_000_000


@pytest.fixture
def baskets() -> EventSource:
    return EventSource(
        "baskets",
        schema={"id": Int64, "household": Int64, "ts": Timestamp, "value": Float64, "gone": Bool, "net": Decimal(2)},
        event_timestamp="ts",
        event_id="id",
        available_at=Delay("1h"),
        path="baskets/",
        tombstone="gone",
    )


@pytest.fixture
def rows() -> Callable[..., pa.Table]:
    """Make a table of baskets from (id, instant in µs) pairs."""

    def make(*pairs: tuple[int | None, int | None], **columns: list[Any]) -> pa.Table:
        count = len(pairs)
        table = {
            "id": pa.array([identity for identity, _ in pairs], pa.int64()),
            "household": pa.array(range(count), pa.int64()),
            "ts": pa.array([instant for _, instant in pairs], pa.int64()).cast(pa.timestamp("us", "UTC")),
            "value": pa.array([0.5] * count, pa.float64()),
            "gone": pa.array([False] * count, pa.bool_()),
            "net": pa.array([1.25] * count, pa.float64()),
        }
        return pa.table({**table, **columns})

    return make


@pytest.fixture
def take_in(baskets: EventSource, tmp_path: Path) -> Callable[..., ImportReport]:
    """Import into the store under ``tmp_path / "offline"``."""

    def take(data: Any, source: EventSource = baskets, **options: Any) -> ImportReport:
        return import_file(source, data, tmp_path / "offline", FixedClock(NOW_US), **options)

    return take
