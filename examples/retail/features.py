"""What we know of a household: one definition set, for training and for serving."""

import numpy as np

from featurestore.definitions import (
    Attribute,
    Count,
    Decimal,
    Delay,
    Derived,
    DistinctCount,
    Entity,
    EventSource,
    FeatureService,
    FeatureView,
    Float64,
    Int64,
    Label,
    Last,
    Max,
    Mean,
    Min,
    Request,
    StdDev,
    String,
    Sum,
    TableSource,
    Timestamp,
    request_feature,
)

household = Entity("household", join_key="household_id", dtype=Int64)

baskets = EventSource(
    "baskets",
    schema={
        "basket_id": Int64,
        "household_id": Int64,
        "timestamp": Timestamp,
        "store_id": Int64,
        "lines": Int64,
        "quantity": Int64,
        "sales_value": Decimal(2),
        "retail_disc": Decimal(2),
        "coupon_disc": Decimal(2),
        "coupon_match_disc": Decimal(2),
    },
    event_timestamp="timestamp",
    event_id="basket_id",
    available_at=Delay("0s"),  # the till reports a basket as it closes
    path="data/baskets.parquet",
)

demographics = TableSource(
    "demographics",
    schema={
        "household_id": Int64,
        "recorded_at": Timestamp,
        "age": String,
        "income": String,
        "home_ownership": String,
        "marital_status": String,
        "household_size": String,
        "household_comp": String,
        "kids_count": String,
    },
    key="household_id",
    effective_at="recorded_at",
    path="data/demographics.parquet",
)

spending = FeatureView(
    "household_spending",
    entity=household,
    source=baskets,
    # sales_value is what the shop receives: loyalty and matched-coupon discounts are already off it. A manufacturer's
    # coupon is money the shop receives from elsewhere: the household paid that much less.
    derive={
        "net": Derived("sales_value - coupon_disc", Decimal(2)),
        "discount": Derived("retail_disc + coupon_disc + coupon_match_disc", Decimal(2)),
    },
    where="quantity > 0",  # a basket without goods is paper: refunds and coupons
    features=[
        Sum("net", over="7d"),
        Sum("net", over="30d"),
        Sum("net", over="90d"),
        Mean("net", over="30d"),
        Mean("net", over="90d"),
        StdDev("net", over="90d"),
        Min("net", over="90d"),
        Max("net", over="90d"),
        Sum("discount", over="30d"),
        Count(over="7d"),
        Count(over="30d"),
        Count(over="90d"),
        DistinctCount("store_id", over="90d"),
        Last("net"),
        Last("store_id"),
    ],
    ttl="180d",
    owner="pricing@retail.example",
)

profile = FeatureView(
    "household_profile",
    entity=household,
    source=demographics,
    features=[
        Attribute("age"),
        Attribute("income"),
        Attribute("home_ownership"),
        Attribute("marital_status"),
        Attribute("household_size"),
        Attribute("kids_count"),
    ],
    owner="pricing@retail.example",
)

basket_value = Request("basket_value", Float64)


@request_feature(inputs=[basket_value, spending["net_mean_90d"]], dtype=Float64)
def basket_ratio(value, usual):
    """The basket in hand against the household's usual one; a usual basket counts as a cent at least."""
    return value / np.maximum(usual, 0.01)


@request_feature(inputs=[spending["net_sum_90d"]], dtype=Float64)
def usual_week(net_sum_90d):
    """What the household pays in seven days, over the last ninety."""
    return net_sum_90d * (7.0 / 90.0)


next_week_spend_inputs = FeatureService(
    "next_week_spend_inputs",
    [
        spending["net_sum_7d"],
        spending["net_sum_30d"],
        spending["net_sum_90d"],
        spending["net_mean_30d"],
        spending["net_mean_90d"],
        spending["net_std_90d"],
        spending["net_min_90d"],
        spending["net_max_90d"],
        spending["discount_sum_30d"],
        spending["count_7d"],
        spending["count_30d"],
        spending["count_90d"],
        spending["store_id_distinct_90d"],
        spending["net_last"],
        profile,
        basket_value,
        basket_ratio,
        usual_week,
    ],
    missing="null",  # two households in three have no demographics: the model has learnt what that means
)

spends_more_next_week = Label(
    "spends_more_next_week",
    Sum("net"),
    of=spending,
    over="7d",
    empty=0.0,  # nobody came: nothing was spent
    exceeds=usual_week,
)
