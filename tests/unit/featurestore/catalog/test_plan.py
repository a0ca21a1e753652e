from pathlib import Path

import pytest

from featurestore.catalog import Change, plan
from tests.unit.featurestore.catalog.project import FEATURES, changed, load


def changes(tmp_path: Path, new: str, old: str = FEATURES) -> list[Change]:
    described = load(tmp_path / "old", old).describe()
    return list(plan(described, load(tmp_path / "new", new)).changes)


def test_the_first_plan_adds_everything(tmp_path: Path) -> None:
    made = plan(None, load(tmp_path))
    assert {change.what for change in made.changes} == {
        "Entity household", "EventSource baskets", "FeatureView spending", "RequestFeature basket_ratio",
        "FeatureService inputs", "Label spend_next_7d",
    }  # fmt: skip
    assert {(change.kind, change.breaking) for change in made.changes} == {("added", False)}
    assert made.old_digest is None
    assert made.describe()["breaking"] is False


def test_nothing_changed_is_an_empty_plan(tmp_path: Path) -> None:
    assert changes(tmp_path, FEATURES + "\n# a comment\n") == []


VIEW, SERVICE, LABEL = "FeatureView spending", "FeatureService inputs", "Label spend_next_7d"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (('quantity > 0', 'quantity > 1'), Change("changed", True, VIEW, 'where: "quantity" > 0 → "quantity" > 1')),
        (('"value - 0"', '"value - 1"'), Change("changed", True, VIEW, 'derive net sql: "value" - 0 → "value" - 1')),
        (('    where=', '    ttl="9d",\n    where='), Change("changed", True, VIEW, "ttl_us: none → 9d")),
        (('Last("store_id")]', 'Last("store_id"), Count(over="1d")]'),
         Change("added", False, VIEW, "feature count_1d: int64 added")),
        ((', Last("store_id")]', ']'), Change("removed", False, VIEW, "feature store_id_last: string removed")),
        (('Sum("net", over="30d")', 'Sum("net", over="31d", name="net_sum_30d")'),
         Change("changed", True, VIEW, "feature net_sum_30d window_us: 30d → 31d")),
        (('Count(over="7d")', 'Count(over="8d", name="count_7d")'),
         Change("changed", False, VIEW, "feature count_7d window_us: 7d → 8d")),
        (('Sum("net", over="30d"), Mean("net", over="30d")', 'Mean("net", over="30d"), Sum("net", over="30d")'),
         Change("changed", False, VIEW, "order: net_sum_30d, net_mean_30d, count_7d, store_id_last → "
                "net_mean_30d, net_sum_30d, count_7d, store_id_last")),
        (('"ann"', '"ben"'), Change("changed", False, VIEW, "owner: ann → ben")),
        (('"data/baskets/"', '"d/"'), Change("changed", False, "EventSource baskets", "path: data/baskets/ → d/")),
        (('Delay("0s")', 'Delay("1h")'),
         Change("changed", True, "EventSource baskets", "available_at delay_us: 0us → 1h")),
        (('"store_id": String', '"store_id": String, "extra": Int64'),
         Change("added", False, "EventSource baskets", "schema extra: int64 added")),
        (('"quantity": Int64', '"quantity": Float64'),
         Change("changed", True, "EventSource baskets", "schema quantity: int64 → float64")),
        (('event_id="basket_id"', 'event_id="store_id"'),
         Change("changed", True, "EventSource baskets", "identity: ['basket_id'] → ['store_id']")),
        (('"household", join_key="household_id"', '"household", join_key="basket_id"'),
         Change("changed", True, "Entity household", "join_key: household_id → basket_id")),
        (('return basket_value / net', 'return basket_value * net'),
         Change("changed", True, "RequestFeature basket_ratio", "function: its code → other code")),
        (('spending["net_sum_30d"], basket_ratio', 'basket_ratio'),
         Change("removed", True, SERVICE, "output spending.net_sum_30d: float64 removed")),
        (('basket_ratio])', 'basket_ratio, spending["count_7d"]])'),
         Change("added", True, SERVICE, "output spending.count_7d: int64 added")),
        (('spending["net_sum_30d"], basket_ratio', 'basket_ratio, spending["net_sum_30d"]'),
         Change("changed", True, SERVICE, "order: spending.net_sum_30d, basket_ratio → "
                "basket_ratio, spending.net_sum_30d")),
        (('basket_ratio])', 'basket_ratio], missing="refuse")'),
         Change("changed", True, SERVICE, "missing: null → refuse")),
        (('lateness="1d"', 'lateness="2d"'), Change("changed", True, LABEL, "lateness_us: 1d → 2d")),
        (('over="7d", lateness="1d"', 'over="7d", lateness="1d", empty=0'),
         Change("changed", True, LABEL, "empty: none → 0.0")),
    ],
)  # fmt: skip
def test_each_change_says_what_and_whether_it_breaks(tmp_path: Path, change: tuple[str, str], expected: Change) -> None:
    assert expected in changes(tmp_path, changed(change))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("label = ", Change("removed", True, LABEL, "removed")),
        ("inputs = ", Change("removed", True, SERVICE, "removed")),
    ],
)
def test_removing_a_service_or_label_breaks(tmp_path: Path, line: str, expected: Change) -> None:
    kept = "\n".join(text for text in FEATURES.splitlines() if not text.startswith(line))
    assert expected in changes(tmp_path, kept)


def test_removing_a_view_breaks_only_if_it_was_used(tmp_path: Path) -> None:
    more = FEATURES + 'unused = FeatureView("unused", household, baskets, [Count(over="7d")])\n'
    assert changes(tmp_path, FEATURES, old=more) == [Change("removed", False, "FeatureView unused", "removed")]
    renamed = changes(tmp_path, changed(('"spending"', '"spent"')))
    assert Change("removed", True, VIEW, "removed, though applied services or labels use it") in renamed


def test_what_changes_by_what_it_refers_to_is_told_and_breaks_there(tmp_path: Path) -> None:
    made = changes(tmp_path, changed(("quantity > 0", "quantity > 1")))
    assert Change("changed", True, SERVICE, "changes with what it refers to") in made
    assert [change.what for change in made if change.breaking] == [VIEW, SERVICE, SERVICE]
    assert not [change for change in made if change.what == LABEL and change.breaking]


def test_any_change_of_a_service_says_what_becomes_of_its_models_and_what_to_do(tmp_path: Path) -> None:
    added = changes(tmp_path, changed(("basket_ratio])", 'basket_ratio, spending["count_7d"]])')))
    told = added[-1]
    assert (told.what, told.breaking) == (SERVICE, True)
    assert "models trained on it can no longer be loaded once a gateway restarts" in told.detail
    assert "a new name" in told.detail


def test_a_feature_added_to_a_view_that_a_service_takes_whole_breaks_the_service(tmp_path: Path) -> None:
    whole = changed(('[spending["net_sum_30d"], basket_ratio]', "[spending]"))
    assert whole != FEATURES
    made = changes(tmp_path, whole.replace('Last("store_id")]', 'Last("store_id"), Count(over="1d")]'), old=whole)
    assert {change.what for change in made if change.breaking} == {SERVICE}


def test_additions_change_no_service(tmp_path: Path) -> None:
    made = changes(tmp_path, changed(('Last("store_id")]', 'Last("store_id"), Count(over="1d")]')))
    assert [change.what for change in made] == [VIEW]


def test_the_plan_as_plain_data(tmp_path: Path) -> None:
    old = load(tmp_path / "old")
    new = load(tmp_path / "new", changed(('lateness="1d"', 'lateness="2d"')))
    assert plan(old.describe(), new).describe() == {
        "old_digest": old.digest,
        "new_digest": new.digest,
        "breaking": True,
        "changes": [{"kind": "changed", "breaking": True, "what": LABEL, "detail": "lateness_us: 1d → 2d"}],
    }
