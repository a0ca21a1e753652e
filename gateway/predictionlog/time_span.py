"""A span of instants, and what of a log's files need be read for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.foundation.clock import DAY

EPOCH = date(1970, 1, 1)
PARTITION = "date="


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """``since <= instant < until``, microseconds UTC; None is open."""

    since_us: int | None = None
    until_us: int | None = None

    def meets(self, least_us: int, greatest_us: int) -> bool:
        """Tell whether some of the instants from ``least_us`` to ``greatest_us`` may be within."""
        return (self.since_us is None or greatest_us >= self.since_us) and (
            self.until_us is None or least_us < self.until_us
        )

    def meets_day(self, file: Path) -> bool:
        """Tell whether a file may have some of it, by the day that its folder names."""
        day_us = (date.fromisoformat(file.parent.name.removeprefix(PARTITION)) - EPOCH).days * DAY
        return self.meets(day_us, day_us + DAY - 1)

    def row_groups(self, file: pq.ParquetFile) -> list[int]:
        """Return the row groups of a file that may have some of it."""
        at = file.schema_arrow.names.index("instant")
        statistics = [
            file.metadata.row_group(number).column(at).statistics for number in range(file.metadata.num_row_groups)
        ]
        return [
            number
            for number, each in enumerate(statistics)
            if each is None or not each.has_min_max or self.meets(each.min_raw, each.max_raw)
        ]

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of a batch that are within."""
        if self.since_us is None and self.until_us is None:
            return batch
        instants = batch.column("instant").cast(pa.int64()).to_numpy()
        kept = np.ones(len(instants), dtype=np.bool_)
        if self.since_us is not None:
            kept &= instants >= self.since_us
        if self.until_us is not None:
            kept &= instants < self.until_us
        return batch if kept.all() else batch.filter(pa.array(kept))


def day_folder(day: int) -> str:
    """Return the name of the folder of a day, counted from 1970."""
    return f"{PARTITION}{date.fromordinal(EPOCH.toordinal() + day)}"
