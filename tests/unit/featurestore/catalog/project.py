"""A project's definition file as a user would write it, and ways to change it."""

from pathlib import Path

from featurestore.catalog import Catalog, load_definitions

FEATURES = """
import numpy as np

from featurestore.definitions import (
    Count, Decimal, Delay, Derived, Entity, EventSource, FeatureService, FeatureView, Float64, Int64, Label, Last, Mean,
    Request, String, Sum, Timestamp, request_feature,
)

household = Entity("household", join_key="household_id")
baskets = EventSource(
    "baskets",
    schema={"basket_id": Int64, "household_id": Int64, "ts": Timestamp, "value": Decimal(2), "quantity": Int64,
            "store_id": String},
    event_timestamp="ts",
    event_id="basket_id",
    available_at=Delay("0s"),
    path="data/baskets/",
)
spending = FeatureView(
    "spending",
    household,
    baskets,
    where="quantity > 0",
    derive={"net": Derived("value - 0", Decimal(2))},
    features=[Sum("net", over="30d"), Mean("net", over="30d"), Count(over="7d"), Last("store_id")],
    owner="ann",
)


@request_feature(inputs=[Request("basket_value", Float64), spending["net_mean_30d"]], dtype=Float64)
def basket_ratio(basket_value, net_mean_30d):
    return basket_value / net_mean_30d


inputs = FeatureService("inputs", [spending["net_sum_30d"], basket_ratio])
label = Label("spend_next_7d", Sum("net"), spending, over="7d", lateness="1d")
"""


def changed(*changes: tuple[str, str]) -> str:
    """Return the file with each first text replaced by the second; every first text must be there."""
    text = FEATURES
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def load(folder: Path, text: str = FEATURES) -> Catalog:
    """Load a text as a project's definitions."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "features.py").write_text(text)
    return load_definitions(folder / "features.py")
