"""Hand-written DuckDB SQL for exactly this data, as fast as we could make it.

`open_windows` answers what the engine answers: corrections replace, late baskets do not leak. Its form is the fastest
of those measured (loadtests/README.md): fixed-point BIGINT cents; one row per instant at which a window of a
household changes; sorted once, then *streaming* running sums without a partition, which need no reset per household
because every basket that enters a window also leaves it; a window's cents and its count of baskets (below 2^20) packed
into one BIGINT, which halves the sums; one ASOF join on a 32-bit key; one sort into spine order.

`open_windows_without_corrections` is what one writes who knows that no basket was ever corrected or late: prefix sums
over the baskets, looked up at both edges of every window. Wrong as soon as there are corrections.
"""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import pyarrow as pa

from loadtests.pit.workload import CENTS, DAY_US, WINDOW_DAYS, Workload, connect

NEVER_US = 2**63 - 1
PACK_BITS = 20
PACK = 2**PACK_BITS

_VERSIONS = """
CREATE OR REPLACE TEMP TABLE version AS
WITH read AS (
    SELECT household_id::INTEGER AS household, basket_id, epoch_us(event_timestamp) AS event_us,
           epoch_us(available_at) AS available_us, (net * 100)::BIGINT AS cents, store_id, file_row_number
    FROM read_parquet($baskets, file_row_number = true)
)
SELECT household, event_us, greatest(event_us, available_us) AS enter_us, cents, store_id,
       lead(available_us, 1, 9223372036854775807) OVER (
           PARTITION BY basket_id ORDER BY available_us, file_row_number) AS replaced_us,
       row_number() OVER (ORDER BY household, event_us, available_us, basket_id) AS place
FROM read
"""

_STAB_LATEST = """
CREATE OR REPLACE TEMP TABLE latest_where_replaced AS
SELECT change.household, change.at_us, coalesce(max(version.place << 32 | version.store_id), -1) AS latest
FROM (SELECT DISTINCT household, at_us FROM change
      SEMI JOIN (FROM version WHERE replaced_us < 9223372036854775807) USING (household)) AS change
LEFT JOIN version ON version.household = change.household
     AND version.enter_us <= change.at_us AND version.replaced_us > change.at_us
GROUP BY ALL
"""

_LOOK_UP = """
SELECT {columns}
FROM (SELECT household_id::INTEGER AS household, epoch_us("at") AS at_us, place FROM spine) AS s
ASOF LEFT JOIN timeline ON s.household = timeline.household AND s.at_us >= timeline.at_us
ORDER BY s.place
"""


def open_windows(workload: Workload) -> Callable[[], pa.Table]:
    """Return the job: Parquet and the spine in, the features in spine order out."""
    connection = _connect(workload)

    def run() -> pa.Table:
        connection.execute(_VERSIONS, {"baskets": str(workload.baskets)})
        connection.execute(f"CREATE OR REPLACE TEMP TABLE change AS {_changes()}")
        connection.execute(_STAB_LATEST)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE timeline AS {_timeline()}")
        return connection.sql(_LOOK_UP.format(columns=_window_columns())).to_arrow_table()

    return run


def _connect(workload: Workload) -> duckdb.DuckDBPyConnection:
    connection = connect()
    places = pa.array(range(len(workload.spine)), pa.int32())
    connection.register("spine", workload.spine.append_column("place", places))
    return connection


def _leave(days: int) -> str:
    return f"least(event_us + {days * DAY_US}, replaced_us)"


def _changes() -> str:
    """Write one row per entry into all windows, one per exit from each, one per replacement (the latest may change)."""
    packed = f"(cents * {PACK} + 1)"
    entered = ", ".join(f"if({_leave(days)} > enter_us, {packed}, 0) AS state_{days}" for days in WINDOW_DAYS)
    parts = [f"SELECT household, enter_us AS at_us, {entered}, place << 32 | store_id AS latest FROM version"]
    for days in WINDOW_DAYS:
        left = ", ".join(f"-{packed}" if other == days else "0" for other in WINDOW_DAYS)
        parts.append(f"SELECT household, {_leave(days)}, {left}, -1 FROM version WHERE {_leave(days)} > enter_us")
    nothing = ", ".join("0" for _ in WINDOW_DAYS)
    parts.append(f"SELECT household, replaced_us, {nothing}, -1 FROM version WHERE replaced_us < {NEVER_US}")
    return " UNION ALL ".join(parts)


def _timeline() -> str:
    """Write the values after each change; of several changes at one instant, the last row has them all."""
    running = ", ".join(
        f"sum(state_{days}) OVER (ROWS UNBOUNDED PRECEDING)::BIGINT AS state_{days}" for days in WINDOW_DAYS
    )
    states = [(f"state_{days} >> {PACK_BITS}", f"state_{days} & {PACK - 1}", days) for days in WINDOW_DAYS]
    values = ", ".join(_values(*state) for state in states)
    return f"""
SELECT household, at_us, {values}, nullif(coalesce(fixed.latest, running.latest), -1) & 4294967295 AS last_store
FROM (
    SELECT household, at_us, {running}, max(latest) OVER (ROWS UNBOUNDED PRECEDING) AS latest,
           lead(at_us) OVER () IS DISTINCT FROM at_us OR lead(household) OVER () <> household AS is_last
    FROM (FROM change ORDER BY household, at_us)
) AS running
LEFT JOIN latest_where_replaced AS fixed USING (household, at_us)
WHERE is_last
"""


def _values(cents: str, count: str, days: int) -> str:
    """Write sum, mean and count: exact integers, divided once."""
    return (
        f"if({count} > 0, ({cents}) / {CENTS}::DOUBLE, NULL) AS sum_{days}d, "
        f"if({count} > 0, ({cents}) / ({CENTS} * ({count}))::DOUBLE, NULL) AS mean_{days}d, {count} AS count_{days}d"
    )


def _window_columns() -> str:
    values = [
        f"timeline.sum_{days}d, timeline.mean_{days}d, coalesce(timeline.count_{days}d, 0) AS count_{days}d"
        for days in WINDOW_DAYS
    ]
    return ", ".join([*values, "timeline.last_store"])


_PREFIX = """
CREATE OR REPLACE TEMP TABLE prefix AS
SELECT household, event_us, store_id, sum(cents) OVER running::BIGINT AS cents, count(*) OVER running AS baskets
FROM (SELECT household_id::INTEGER AS household, epoch_us(event_timestamp) AS event_us,
             (net * 100)::BIGINT AS cents, store_id FROM read_parquet($baskets))
WINDOW running AS (PARTITION BY household ORDER BY event_us ROWS UNBOUNDED PRECEDING)
"""


def open_windows_without_corrections(workload: Workload) -> Callable[[], pa.Table]:
    """Return the job that is right only where every basket was known at once and never corrected."""
    connection = _connect(workload)

    def run() -> pa.Table:
        connection.execute(_PREFIX, {"baskets": str(workload.baskets)})
        return connection.sql(_edge_look_up()).to_arrow_table()

    return run


def _edge_look_up() -> str:
    edges = "\n".join(
        f"ASOF LEFT JOIN prefix AS p{days} ON s.household = p{days}.household "
        f"AND s.at_us - {days * DAY_US} >= p{days}.event_us"
        for days in (0, *WINDOW_DAYS)
    )
    values = ", ".join(
        _values(
            f"coalesce(p0.cents, 0) - coalesce(p{days}.cents, 0)",
            f"coalesce(p0.baskets, 0) - coalesce(p{days}.baskets, 0)",
            days,
        )
        for days in WINDOW_DAYS
    )
    return f"""
SELECT {values}, p0.store_id AS last_store
FROM (SELECT household_id::INTEGER AS household, epoch_us("at") AS at_us, place FROM spine) AS s
{edges}
ORDER BY s.place
"""


_EXTREMES = f"""
SELECT min(b.net)::DECIMAL(18, 2) AS min_30d, max(b.net)::DECIMAL(18, 2) AS max_30d,
       if(count(b.cents) > 1, sqrt((count(b.cents) * sum(b.cents * b.cents) - sum(b.cents) * sum(b.cents))::DOUBLE
           / (count(b.cents) * (count(b.cents) - 1) * {CENTS * CENTS})::DOUBLE), NULL) AS std_30d,
       count(DISTINCT b.store_id) AS stores_30d
FROM (SELECT household_id::INTEGER AS household, epoch_us("at") AS at_us, place FROM spine) AS s
LEFT JOIN basket AS b
ON s.household = b.household AND b.enter_us <= s.at_us AND b.leave_us > s.at_us
GROUP BY s.place ORDER BY s.place
"""


def open_extremes(workload: Workload) -> Callable[[], pa.Table]:
    """Return the job of what prefix sums cannot do, minimum, maximum and distinct stores of 30 days: a stab join."""
    connection = _connect(workload)

    def run() -> pa.Table:
        connection.execute(_VERSIONS, {"baskets": str(workload.baskets)})
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE basket AS SELECT *, {_leave(30)} AS leave_us, "
            "(cents::DECIMAL(18, 2) / 100)::DECIMAL(18, 2) AS net FROM version"
        )
        return connection.sql(_EXTREMES).to_arrow_table()

    return run
