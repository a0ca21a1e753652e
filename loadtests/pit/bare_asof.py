"""DuckDB's bare ASOF join of the latest basket: no ties, no late rows, no corrections, in whatever order it comes."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from loadtests.pit.workload import Workload, connect

_LATEST = """
SELECT spine.household_id, spine."at", basket.net, basket.store_id
FROM spine ASOF LEFT JOIN read_parquet($baskets) AS basket
ON spine.household_id = basket.household_id AND spine."at" >= basket.event_timestamp
"""


def open_latest(workload: Workload) -> Callable[[], pa.Table]:
    """Return the job: the spine's columns with the latest basket's net and store."""
    connection = connect()
    connection.register("spine", workload.spine)
    return lambda: connection.sql(_LATEST, params={"baskets": str(workload.baskets)}).to_arrow_table()
