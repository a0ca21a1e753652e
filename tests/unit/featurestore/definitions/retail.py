"""A small set of sound definitions for the tests to use, and to spoil."""

from typing import Any

import numpy as np
import pytest

from featurestore.definitions import (
    Count,
    Decimal,
    Delay,
    Derived,
    Entity,
    EventSource,
    FeatureView,
    Float64,
    Int64,
    Last,
    Mean,
    Request,
    String,
    Sum,
    TableSource,
    Timestamp,
    request_feature,
)
from featurestore.foundation.errors import UnskewError

SCHEMA = {
    "basket_id": Int64,
    "household_id": Int64,
    "ts": Timestamp,
    "value": Decimal(2),
    "refunded": Decimal(2),
    "quantity": Int64,
    "store_id": String,
    "weight": Float64,
}
EVENTS: dict[str, Any] = {
    "schema": SCHEMA,
    "event_timestamp": "ts",
    "event_id": "basket_id",
    "available_at": Delay("0s"),
    "path": "data/baskets/",
}
TABLE: dict[str, Any] = {
    "schema": {"household_id": Int64, "since": Timestamp, "age": Int64, "income": String},
    "key": "household_id",
    "effective_at": "since",
    "path": "data/households.csv",
}

household = Entity("household", join_key="household_id")
baskets = EventSource("baskets", **EVENTS)
demographics = TableSource("demographics", **TABLE)
spending = FeatureView(
    "household_spending",
    household,
    baskets,
    derive={"net": Derived("value - refunded", Decimal(2))},
    where="quantity > 0",
    features=[Sum("net", over="30d"), Mean("net", over="30d"), Count(over="7d"), Last("store_id")],
)


@request_feature(inputs=[Request("basket_value", Float64), spending["net_mean_30d"]], dtype=Float64)
def basket_ratio(basket_value, net_mean_30d):
    return np.asarray(basket_value / net_mean_30d)


def assert_refused(make: Any, place: str, what: str, mend: str) -> None:
    """Hold an error to naming place, thing and mend."""
    with pytest.raises(UnskewError) as caught:
        make()
    error = caught.value
    assert place in (error.where or "")
    assert what in error.what
    assert mend in (error.mend or "")
