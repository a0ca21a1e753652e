"""What we know of a customer: one definition set, for training and for serving."""

from featurestore.definitions import (
    Count,
    Decimal,
    Delay,
    Entity,
    EventSource,
    FeatureService,
    FeatureView,
    Int64,
    Label,
    Last,
    Mean,
    String,
    Sum,
    Timestamp,
)

customer = Entity("customer", join_key="customer_id", dtype=Int64)

orders = EventSource(
    "orders",
    schema={
        "order_id": Int64,
        "customer_id": Int64,
        "timestamp": Timestamp,
        "amount": Decimal(2),
        "channel": String,
    },
    event_timestamp="timestamp",
    event_id="order_id",
    available_at=Delay("1h"),  # orders reach us an hour late: training sees them as late as serving does
    path="data/orders.csv",
)

ordering = FeatureView(
    "customer_ordering",
    entity=customer,
    source=orders,
    features=[
        Count(over="7d"),
        Count(over="28d"),
        Sum("amount", over="28d"),
        Mean("amount", over="28d"),
        Last("channel"),
    ],
)

next_week_amount_inputs = FeatureService(
    "next_week_amount_inputs",  # a model answers only with the service it was trained on: do not change it, add another
    [
        ordering["count_7d"],
        ordering["count_28d"],
        ordering["amount_sum_28d"],
        ordering["amount_mean_28d"],
        ordering["channel_last"],
    ],
)

next_week_amount = Label("next_week_amount", Sum("amount"), of=ordering, over="7d", lateness="1h", empty=0.0)
