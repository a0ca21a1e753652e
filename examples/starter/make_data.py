"""Generate the starter's data: `python make_data.py [FOLDER]` writes orders.csv and spine.parquet, always the same."""

import csv
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 182
CUSTOMERS = 60
CHANNELS = ("shop", "app", "phone")


def orders() -> list[tuple[int, int, str, str, str]]:
    """Return rows of order id, customer, instant, amount and channel; busy customers stay busy."""
    chance = random.Random(7)  # noqa: S311 - nothing secret
    rows = []
    for customer in range(1, CUSTOMERS + 1):
        a_day, usual = chance.uniform(0.02, 0.4), chance.uniform(5, 60)
        for day in range(DAYS):
            if chance.random() < a_day:
                at = FIRST_DAY + timedelta(days=day, seconds=chance.randrange(8 * 3600, 20 * 3600))
                amount = f"{usual * chance.uniform(0.5, 1.5):.2f}"
                rows.append((at, customer, amount, chance.choice(CHANNELS)))
    rows.sort()
    return [
        (number, customer, f"{at:%Y-%m-%dT%H:%M:%SZ}", amount, channel)
        for number, (at, customer, amount, channel) in enumerate(rows, start=1)
    ]


def make(folder: Path) -> None:
    """Write the orders, and a spine: every customer on every Monday from the fifth on."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "orders.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(("order_id", "customer_id", "timestamp", "amount", "channel"))
        writer.writerows(orders())
    mondays = [FIRST_DAY + timedelta(days=day) for day in range(28, DAYS, 7)]
    asked = [(monday, customer) for monday in mondays for customer in range(1, CUSTOMERS + 1)]
    instants = pa.array([monday for monday, _ in asked], pa.timestamp("us", "UTC"))
    customers = pa.array([customer for _, customer in asked], pa.int64())
    pq.write_table(pa.table({"customer_id": customers, "timestamp": instants}), folder / "spine.parquet")


if __name__ == "__main__":
    make(Path(sys.argv[1] if len(sys.argv) > 1 else "data"))
