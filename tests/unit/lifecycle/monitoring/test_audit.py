"""What was served is what history says; and what was planted between the two is found, with its feature and cause."""

import pytest

from featurestore.foundation.clock import DAY, SECOND
from featurestore.semantics.value import Column
from tests.audited_project import DEFINITIONS, NOW_US, ORDERS, command
from tests.unit.lifecycle.monitoring.conftest import KEYS, TIMES

pytestmark = pytest.mark.slow

VALUES = len(KEYS) * len(TIMES) * 8


def causes(report):
    return {name: each["causes"] for name, each in report["by_feature"].items() if each["mismatches"]}


def test_what_was_served_right_is_equal_bit_for_bit(shop):
    shop.serve(KEYS, TIMES)
    told = shop.audit()
    assert told.status == 0
    report = told.report
    assert (report["compared"], report["equal"], report["mismatches"]) == (VALUES, VALUES, 0)
    assert (report["predictions"], report["pending"], report["history"]) == (len(KEYS) * len(TIMES), 0, {"orders": 2})
    assert len(report["by_feature"]) == 8
    assert (report["by_cause"], report["examples"], report["not_auditable"]) == ({}, [], {})
    assert report["within_tolerance"] is True


def test_values_of_a_second_ago_are_a_late_schedule(shop):
    late = [row for row in shop.rows if NOW_US - 3 * DAY < row["known_at"] < NOW_US and not row["gone"]]
    changes = [max(row["ts"], row["known_at"]) + SECOND // 2 for row in late]
    shop.serve(KEYS, [*TIMES, *changes], late_us=SECOND)
    told = shop.audit()
    assert told.status == 1
    assert told.report["by_cause"].keys() == {"late-schedule"}
    assert {"spending.count_7d", "visits.count_1d", "basket_ratio"} <= causes(told.report).keys()
    assert {each["why"] for each in told.report["examples"]} == {"history gives these values at 1s earlier"}


def test_a_lost_event_is_told_by_its_identity(shop):
    lost = next(row for row in shop.rows if NOW_US - 3 * DAY < row["ts"] < NOW_US - 2 * DAY)
    shop.serve(KEYS, TIMES, online=shop.without(lost["order_id"]))
    report = shop.audit().report
    assert report["by_cause"].keys() == {"missing-event"}
    assert {tuple(each["keys"].values()) for each in report["examples"]} == {(lost["customer_id"],)}
    assert all(f"event {lost['order_id']} of" in each["why"] for each in report["examples"])
    assert report["by_feature"]["spending.count_7d"]["mismatches"] == len(TIMES)


def test_more_mismatches_than_are_looked_into_have_the_cause_of_those_that_were(shop, monkeypatch):
    monkeypatch.setattr("lifecycle.monitoring.diagnosis.EXAMINED_PER_FEATURE", 3)
    lost = next(row for row in shop.rows if NOW_US - 3 * DAY < row["ts"] < NOW_US - 2 * DAY)
    shop.serve(KEYS, TIMES, online=shop.without(lost["order_id"]))
    report = shop.audit().report
    assert report["by_cause"] == {"missing-event": report["mismatches"]}
    assert report["by_feature"]["spending.count_7d"]["causes"] == {"missing-event": len(TIMES)}


def test_a_row_that_was_read_more_often_than_is_looked_into_is_still_one_cause(shop, monkeypatch):
    monkeypatch.setattr("lifecycle.monitoring.diagnosis.EXAMINED_PER_FEATURE", 3)
    shop.corrupt("spending", 3, 1.0)
    shop.serve(KEYS, [shop.as_of_us + 10 * number for number in range(1, 20)])
    assert causes(shop.audit().report) == {"spending.net_sum_30d": {"stored-row": 19}}


def test_a_lost_correction_is_told_too(shop):
    """The values served are those with the version before it."""
    corrected = [row for row in shop.rows if row["known_at"] - row["ts"] > 60 * SECOND and not row["gone"]]
    last = max(corrected, key=lambda row: row["known_at"])
    shop.rows = [row for row in shop.rows if row is not last]
    shop.serve(KEYS, [NOW_US - SECOND], online=shop.without("none"))
    report = shop.audit().report
    assert set(report["by_cause"]) <= {"missing-event", "late-schedule"}
    assert report["mismatches"]
    assert {tuple(each["keys"].values()) for each in report["examples"]} == {(last["customer_id"],)}


def test_a_stored_row_that_was_altered_is_found(shop):
    shop.corrupt("spending", 3, 1.0)
    shop.serve(KEYS, [shop.as_of_us + 10, shop.as_of_us + 20, *TIMES])
    report = shop.audit().report
    assert causes(report) == {"spending.net_sum_30d": {"stored-row": 2}}
    assert "lmdb:" in report["examples"][0]["why"]
    assert report["examples"][0]["logged"]["value"] == report["examples"][0]["recomputed"]["value"] + 1


@pytest.mark.parametrize(
    ("was", "becomes", "features", "why"),
    [
        ("return basket_value / net_mean_7d", "return basket_value / (net_mean_7d + 1)", {"basket_ratio"}, "its code"),
        ('Count(over="7d"), Last', 'Count(over="8d", name="count_7d"), Last', {"spending.count_7d"}, "7d → 8d"),
        ('ttl="20d"', 'ttl="12h"', None, "ttl_us: 20d → 12h"),
        ("net > 0", "net > 50", {"visits.count_1d", "visits.net_max_30d"}, '"net" > 0 → "net" > 50'),
    ],
)
def test_a_definition_changed_under_the_same_name_is_told_by_its_part(shop, was, becomes, features, why):
    shop.serve(KEYS, TIMES)
    assert was in DEFINITIONS
    shop.define(DEFINITIONS.replace(was, becomes))
    assert command("apply", "--project", shop.folder, "--allow-breaking").status == 0
    told = shop.audit()
    assert told.status == 1
    assert told.report["by_cause"].keys() == {"definition-changed"}
    assert features is None or causes(told.report).keys() <= features
    assert all(why in each["why"] for each in told.report["examples"])


def test_a_feature_that_others_changed_beside_keeps_its_own_cause(shop):
    shop.corrupt("spending", 3, 1.0)
    shop.serve(KEYS, [shop.as_of_us + 10, *TIMES])
    shop.define(DEFINITIONS.replace("net > 0", "net > 50"))
    assert command("apply", "--project", shop.folder, "--allow-breaking").status == 0
    found = causes(shop.audit().report)
    assert found.pop("spending.net_sum_30d") == {"stored-row": 1}
    assert {tuple(each) for each in found.values()} == {("definition-changed",)}


def test_a_value_that_nothing_explains_is_unknown(shop):
    def spoil(features):
        of = features["visits.net_max_30d"]
        features["visits.net_max_30d"] = Column(of.dtype, of.values + 100, of.nulls)

    shop.serve(KEYS, TIMES[:2], spoil=spoil)
    found = causes(shop.audit().report)
    assert found.keys() == {"visits.net_max_30d"}
    assert found["visits.net_max_30d"].keys() == {"unknown"}


def test_a_request_feature_that_its_own_function_does_not_give_is_unknown(shop):
    shop.serve(KEYS, TIMES[:1])
    before = shop.audit().report["by_feature"]["basket_ratio"]
    assert before["mismatches"] == 0
    shop.serve(KEYS, TIMES[1:2], basket_value=13.0)
    found = causes(shop.audit().report)
    assert found.keys() == {"basket_ratio"}
    assert found["basket_ratio"].keys() == {"unknown"}


def test_every_mismatch_is_counted_also_those_that_were_not_looked_into(shop):
    def spoil(features):
        for name, of in list(features.items()):
            if of.dtype.name == "int64":
                features[name] = Column(of.dtype, of.values + 7, of.nulls)

    shop.serve(KEYS, TIMES, spoil=spoil)
    report = shop.audit().report
    for each in report["by_feature"].values():
        assert sum(each["causes"].values()) == each["mismatches"]
    assert set(report["by_cause"]) == {"unknown", "unknown (not examined)"}
    assert len(report["examples"]) <= 3 * 2 * 8


def test_a_clock_that_is_late_for_all_is_found_for_all(shop):
    shop.serve(KEYS, [t_us + 3 * DAY // 2 for t_us in TIMES], late_us=DAY)
    report = shop.audit().report
    assert report["mismatches"] > 200
    assert report["by_cause"]["late-schedule"] > 0.9 * report["mismatches"]


def test_predictions_that_cannot_be_audited_are_counted_by_reason(shop):
    shop.serve(KEYS, TIMES[:1], degraded=True)
    shop.serve(KEYS, TIMES[1:2], record_hash="0" * 64)
    shop.serve(KEYS, TIMES[2:3], s=9)
    shop.serve(KEYS, TIMES[3:4], s=-1)
    shop.serve(KEYS, TIMES[4:5], version=77)
    shop.serve(KEYS, TIMES[5:6])
    told = shop.audit()
    assert told.status == 0
    n = len(KEYS)
    assert told.report["not_auditable"] == {"degraded": n, "unregistered": 2 * n, "pending": n, "no-sequence": n}
    assert (told.report["pending"], told.report["predictions"], told.report["compared"]) == (n, n, 8 * n)


def test_history_that_catches_up_makes_pending_predictions_auditable(shop):
    shop.serve(KEYS, TIMES[:1], s=3)
    assert shop.audit().report["compared"] == 0
    extra = {**shop.rows[0], "order_id": "extra", "customer_id": 99}
    shop.take_in([extra])
    report = shop.audit().report
    assert (report["compared"], report["mismatches"], report["pending"]) == (8 * len(KEYS), 0, 0)


def test_a_read_at_an_earlier_commit_is_recomputed_at_that_commit(shop):
    """A correction that came later, backdated, changes nothing of what was right when it was read."""
    shop.serve(KEYS, TIMES)
    again = [{**row, "net": row["net"] + 1} for row in shop.rows[: ORDERS // 4]]
    shop.take_in(again)
    report = shop.audit().report
    assert (report["compared"], report["mismatches"], report["history"]) == (VALUES, 0, {"orders": 3})


def test_a_scope_is_kept_to(shop):
    shop.serve(KEYS, TIMES)
    n = len(KEYS)
    since, until = "2017-12-29T03:00:00Z", "2017-12-29T09:00:00Z"
    assert shop.audit("--since", since, "--until", until).report["predictions"] == 2 * n
    assert shop.audit("--since", "1d").report["predictions"] == sum(t >= NOW_US - DAY for t in TIMES) * n
    assert shop.audit("--model", "spend").report["predictions"] == len(TIMES) * n


def test_a_sample_is_the_same_at_every_audit_and_about_as_large_as_asked_for(shop):
    shop.serve(KEYS, TIMES)
    first, second = (shop.audit("--sample", "0.25").report for _ in range(2))
    assert first == second
    assert 0.15 < first["predictions"] / (len(KEYS) * len(TIMES)) < 0.35
    assert shop.audit("--sample", "0").report["predictions"] == 0


def test_a_tolerated_fraction_ends_well(shop):
    shop.corrupt("spending", 3, 1.0)
    shop.serve(KEYS, [shop.as_of_us + 10, *TIMES])
    assert shop.audit("--tolerance", "0.1").status == 0
    assert shop.audit("--tolerance", "0.0001").status == 1


def test_a_model_that_was_never_logged_is_refused(shop):
    shop.serve(KEYS, TIMES[:1])
    told = command("audit", "--project", shop.folder, "--json", "--model", "spent")
    assert (told.status, told.out) == (1, "")
    assert "audit-refused" in told.err
    assert "spend" in told.err


def test_a_service_that_is_gone_cannot_be_audited(shop):
    shop.serve(KEYS, TIMES[:1])
    shop.define(DEFINITIONS.replace('FeatureService("inputs"', 'FeatureService("other"'))
    assert command("apply", "--project", shop.folder, "--allow-breaking").status == 0
    assert shop.audit().report["not_auditable"] == {"undefined": len(KEYS)}


def test_features_that_were_added_or_removed_are_named(shop):
    shop.serve(KEYS, TIMES[:1])
    shop.define(DEFINITIONS.replace('Last("store")', 'Max("net", over="7d")'))
    assert command("apply", "--project", shop.folder, "--allow-breaking").status == 0
    report = shop.audit().report
    assert report["not_compared"].keys() == {"spending.store_last", "spending.net_max_7d"}
    assert (report["compared"], report["mismatches"]) == (7 * len(KEYS), 0)


def test_what_the_log_misses_is_told(shop):
    shop.serve(KEYS, TIMES[:1])
    shop.serve(KEYS, TIMES[1:3], capacity_rows=30)
    told = shop.audit().report["log"]
    assert (told["lost"], told["dropped"], told["doubled"], told["broken_off"]) == (0, len(KEYS), 0, 0)
    assert [(gap["first"], gap["last"], gap["dropped"]) for gap in told["gaps"]] == [
        (len(KEYS), 2 * len(KEYS) - 1, True)
    ]


def test_people_are_told_as_much(shop):
    shop.corrupt("spending", 3, 1.0)
    shop.serve(KEYS, [shop.as_of_us + 10, *TIMES])
    shop.serve(KEYS, TIMES[:1], degraded=True)
    told = command("audit", "--project", shop.folder)
    assert told.status == 1
    assert "spending.net_sum_30d" in told.out
    assert "stored-row" in told.out
    assert "answered without features" in told.err
