from typing import Any

import pytest

from featurestore.definitions import Bool, Count, Decimal, Float64, Int64, Label, Last, Max, Sum
from featurestore.foundation.clock import DAY
from featurestore.semantics.aggregate import Aggregate, Kind
from tests.unit.featurestore.definitions.retail import assert_refused, basket_ratio, household, spending


def label(**change: Any) -> Label:
    return Label("spend_next_7d", **{"aggregate": Sum("net"), "of": spending, "over": "7d", **change})


def test_the_span_is_the_aggregates_window() -> None:
    made = label(lateness="1d")
    assert made.aggregate == Aggregate(Kind.SUM, "net", Decimal(2), 7 * DAY)
    assert (made.over_us, made.lateness_us, made.matures_us) == (7 * DAY, DAY, 8 * DAY)
    assert made.dtype == Float64
    assert made.entity is household
    assert label().lateness_us == 0


def test_a_comparison_is_true_or_false() -> None:
    assert label(exceeds=spending["net_mean_30d"]).dtype == Bool
    assert label(exceeds=basket_ratio).dtype == Bool


def test_what_an_empty_span_gives() -> None:
    assert label().stored_empty is None
    assert label(empty=0).stored_empty == 0.0
    assert label(aggregate=Max("net"), empty="1.25").stored_empty == 125
    assert label(aggregate=Count()).dtype == Int64


def test_the_digest_is_of_what_it_needs() -> None:
    others = [
        label(over="8d"), label(lateness="1d"), label(empty=0), label(aggregate=Max("net")),
        label(exceeds=spending["net_mean_30d"]), label(exceeds=spending["net_sum_30d"]),
    ]  # fmt: skip
    assert len({made.digest for made in (label(), *others)}) == len(others) + 1
    assert label(owner="ann").digest == label().digest
    assert label().describe()["of"]["features"] == []


@pytest.mark.parametrize(
    ("change", "what", "mend"),
    [
        ({"over": "0d"}, "over is zero", "30d"),
        ({"over": None}, "over is None", "30d"),
        ({"lateness": "-1d"}, "lateness: '-1d' is not a duration", "30d"),
        ({"lateness": 1}, "lateness is 1", "30d"),
        ({"aggregate": Sum("net", over="7d")}, "Sum('net', over=\"7d\") has a window of its own", "leave its over out"),
        ({"aggregate": "net"}, "aggregate is 'net'", 'Sum("net")'),
        ({"aggregate": Sum("nett")}, "unknown column 'nett'", "did you mean 'net'?"),
        ({"aggregate": Sum("weight")}, "has no exact sum", "scale=2"),
        ({"of": "household_spending"}, "of is 'household_spending'", "a FeatureView"),
        ({"of": spending["count_7d"]}, "of is FeatureRef", "a FeatureView"),
        ({"empty": "none"}, "empty is 'none', not a value of float64", "finite number"),
        ({"aggregate": Count(), "empty": 0}, "empty is 0 for a count", "leave it out"),
        ({"exceeds": 3}, "exceeds is 3", "view["),
        ({"exceeds": spending}, "exceeds is FeatureView", "view["),
        ({"exceeds": spending["store_id_last"]}, "exceeds household_spending.store_id_last is string", "numbers"),
        ({"aggregate": Last("store_id"), "exceeds": basket_ratio}, "the aggregate is string", "numbers"),
        ({"description": 1}, "description is 1", "string"),
    ],
)
def test_refused(change: dict[str, Any], what: str, mend: str) -> None:
    assert_refused(lambda: label(**change), "Label spend_next_7d", what, mend)
