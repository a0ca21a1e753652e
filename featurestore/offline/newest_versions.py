"""What an ingest program must know of history before it goes on: which version of each event is the newest, and when.

The newest version of an event is its last committed one, tombstones included, whatever its ``available_at``.
"""

from __future__ import annotations

from featurestore.definitions import Source
from featurestore.offline.row_check import AVAILABLE_US, COMMIT, DELETED, EVENT_US, ROW
from featurestore.offline.row_sql import quoted


def newest_versions_sql(source: Source, stored: str, since_us: int) -> str:
    """Return the query of the newest version of each event, of those that happened after an instant.

    Result columns: the source's, `EVENT_US`, `DELETED`. Only events that have several versions are sorted for it.

    Parameters
    ----------
    stored
        A table expression of the source's stored versions.
    """
    identity = ", ".join(map(quoted, source.identity))
    picked = ", ".join([*map(quoted, source.schema), EVENT_US, DELETED])
    return (
        f"WITH stored AS (SELECT {picked}, {COMMIT}, {ROW} FROM {stored}), "
        f"repeated AS (SELECT {identity} FROM stored GROUP BY {identity} HAVING count(*) > 1), "
        f"newest AS (SELECT * FROM stored SEMI JOIN repeated USING ({identity}) QUALIFY "
        f"row_number() OVER (PARTITION BY {identity} ORDER BY {COMMIT} DESC, {ROW} DESC) = 1) "
        f"SELECT {picked} FROM newest WHERE {EVENT_US} > {int(since_us)} "
        f"UNION ALL SELECT {picked} FROM stored ANTI JOIN repeated USING ({identity}) "
        f"WHERE {EVENT_US} > {int(since_us)}"
    )


def availables_after_sql(stored: str, t_us: int) -> str:
    """Return the query of the distinct instants after ``t_us`` at which stored versions become available."""
    return f"SELECT DISTINCT {AVAILABLE_US} AS at FROM {stored} WHERE {AVAILABLE_US} > {int(t_us)}"
