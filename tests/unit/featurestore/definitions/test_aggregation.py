from typing import Any

import pytest

from featurestore.definitions import (
    Aggregation,
    Attribute,
    Bool,
    Count,
    Decimal,
    DistinctCount,
    DType,
    Float32,
    Float64,
    Int64,
    Last,
    Max,
    Mean,
    Min,
    StdDev,
    String,
    Sum,
    Timestamp,
)
from featurestore.foundation.clock import DAY
from featurestore.semantics.aggregate import Aggregate, Kind
from tests.unit.featurestore.definitions.retail import assert_refused

TYPES: dict[str, DType] = {
    "net": Decimal(2), "n": Int64, "x": Float64, "y": Float32, "s": String, "ok": Bool, "ts": Timestamp,
}  # fmt: skip


@pytest.mark.parametrize(
    ("written", "name", "dtype"),
    [
        (Sum("net", over="30d"), "net_sum_30d", Float64),
        (Sum("n", over="36h"), "n_sum_36h", Int64),
        (Mean("net", over="30d"), "net_mean_30d", Float64),
        (StdDev("x", over="1d12h", scale=2), "x_std_36h", Float64),
        (Min("net", over="7d"), "net_min_7d", Decimal(2)),
        (Max("ts", over="2w"), "ts_max_14d", Timestamp),
        (Min("s", over="7d"), "s_min_7d", String),
        (Max("ok", over="7d"), "ok_max_7d", Bool),
        (Count(over="7d"), "count_7d", Int64),
        (Count("net", over="7d"), "net_count_7d", Int64),
        (Last("s"), "s_last", String),
        (Last("s", over="7d"), "s_last_7d", String),
        (DistinctCount("s", over="90d"), "s_distinct_90d", Int64),
        (Attribute("s"), "s", String),
        (Attribute("s", name="store"), "store", String),
        (Sum("net", over="30d", name="spent"), "spent", Float64),
    ],
)
def test_names_and_types(written: Aggregation, name: str, dtype: DType) -> None:
    assert written.feature_name == name
    assert written.resolve(TYPES.__getitem__, "here").output == dtype


def test_resolving_gives_the_aggregate_engines_compute() -> None:
    resolved = Sum("x", over="30d", scale=2).resolve(TYPES.__getitem__, "here")
    assert resolved == Aggregate(Kind.SUM, "x", Float64, 30 * DAY, 2)
    assert Count().resolve(TYPES.__getitem__, "here", DAY) == Aggregate(Kind.COUNT, None, None, DAY)


@pytest.mark.parametrize(
    ("written", "what", "mend"),
    [
        (Sum("x", over="30d"), "Sum('x', over=\"30d\"): column 'x' is float64, which has no exact sum", "scale=2"),
        (Mean("y", over="30d"), "column 'y' is float32", "scale=2"),
        (StdDev("x", over="30d"), "StdDev('x'", "scale=2"),
        (Sum("s", over="30d"), "column 's' is string, not a number", "derive one"),
        (Mean("ok", over="30d"), "column 'ok' is bool", "derive one"),
        (StdDev("ts", over="30d"), "column 'ts' is timestamp", "derive one"),
        (Sum("net", over="30d", scale=2), "has scale=2 but sums no float column", "leave scale out"),
        (Sum("net"), "Sum('net') has no window", 'over="30d"'),
        (Count(), "Count() has no window", 'over="30d"'),
        (Min("n"), "Min('n') has no window", 'over="30d"'),
        (DistinctCount("n"), "DistinctCount('n') has no window", 'over="30d"'),
    ],
)
def test_refused_for_their_columns(written: Aggregation, what: str, mend: str) -> None:
    assert_refused(lambda: written.resolve(TYPES.__getitem__, "FeatureView v"), "FeatureView v", what, mend)


@pytest.mark.parametrize(
    ("make", "place", "what", "mend"),
    [
        (lambda: Sum("net", over="0d"), "Sum('net')", "over is zero", "30d"),
        (lambda: Sum("net", over="thirty days"), "Sum('net')", "'thirty days' is not a duration", "30d"),
        (lambda: Sum("net", over=30), "Sum('net')", "over is 30", "30d"),  # type: ignore[arg-type]
        (lambda: Sum("net", over="-7d"), "Sum('net')", "not a duration", "30d"),
        (lambda: Sum("", over="7d"), "Sum", "column is ''", 'Sum("column"'),
        (lambda: Last(None), "Last", "column is None", 'Last("column"'),  # type: ignore[arg-type]
        (lambda: Sum("x", over="7d", scale=16), "Sum('x')", "scale is 16", "0 to 15"),
        (lambda: Sum("x", over="7d", scale=True), "Sum('x')", "scale is True", "0 to 15"),
        (lambda: Sum("x", over="7d", scale=-1), "Sum('x')", "scale is -1", "0 to 15"),
        (lambda: Sum("x", over="7d", name="Net Sum"), "name of Sum('x')", "'Net Sum'", "call it 'net_sum'"),
    ],
)
def test_refused_as_written(make: Any, place: str, what: str, mend: str) -> None:
    assert_refused(make, place, what, mend)
