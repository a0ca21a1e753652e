"""A small history of two sources, read by two entities: enough for every status and both kinds of change."""

import pyarrow as pa

from featurestore.definitions import (
    Attribute,
    Count,
    Decimal,
    Delay,
    DistinctCount,
    Entity,
    EventSource,
    FeatureService,
    FeatureView,
    Int64,
    Last,
    Mean,
    String,
    Sum,
    TableSource,
    Timestamp,
)
from featurestore.foundation.clock import DAY, HOUR, FixedClock, parse_instant
from featurestore.offline.event_import import import_file

NOON = parse_instant("2017-06-01T12:00:00Z")
AMOUNT = Decimal(2)

household = Entity("household", join_key="household_id")
shop = Entity("shop", join_key="shop_id", dtype=String)
baskets = EventSource(
    "baskets",
    schema={"basket_id": Int64, "household_id": Int64, "shop_id": String, "ts": Timestamp, "value": AMOUNT},
    event_timestamp="ts",
    event_id="basket_id",
    available_at=Delay("0s"),
    path="baskets",
)
members = TableSource(
    "members",
    schema={"household_id": Int64, "since": Timestamp, "level": String},
    key="household_id",
    effective_at="since",
    path="members",
)
spending = FeatureView(
    "spending",
    household,
    baskets,
    [Sum("value", "1d"), Mean("value", "1d"), Count(over="1d"), Last("shop_id"), DistinctCount("shop_id", "7d")],
    ttl="30d",
)
profile = FeatureView("profile", household, members, [Attribute("level")])
trade = FeatureView("trade", shop, baskets, [Sum("value", "1d")])
service = FeatureService("inputs", [spending, profile, trade])

BASKETS = [
    (1, 7, "north", NOON - 2 * DAY, 100),
    (2, 7, "south", NOON - HOUR, 250),
    (3, 7, "south", NOON, 50),
    (4, 8, "north", NOON - 29 * DAY, 999),
    (5, 9, None, NOON - HOUR, None),
]
MEMBERS = [(7, NOON - 300 * DAY, "gold"), (8, NOON - 300 * DAY, None)]


def instants(values):
    return pa.array(values, pa.int64()).cast(pa.timestamp("us", "UTC"))


def baskets_table(rows):
    ids, households, shops, at, values = zip(*rows, strict=True)
    return pa.table(
        {
            "basket_id": pa.array(ids, pa.int64()),
            "household_id": pa.array(households, pa.int64()),
            "shop_id": pa.array(shops, pa.string()),
            "ts": instants(at),
            "value": pa.array([None if v is None else f"{v / 100:.2f}" for v in values]).cast(pa.decimal128(18, 2)),
        }
    )


def members_table(rows):
    households, since, levels = zip(*rows, strict=True)
    return pa.table(
        {
            "household_id": pa.array(households, pa.int64()),
            "since": instants(since),
            "level": pa.array(levels, pa.string()),
        }
    )


def import_all(root):
    import_file(baskets, baskets_table(BASKETS), root, FixedClock(NOON))
    import_file(members, members_table(MEMBERS), root, FixedClock(NOON))
