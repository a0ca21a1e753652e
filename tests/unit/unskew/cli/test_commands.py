"""What each command does to a project, and says of it."""

import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from featurestore.semantics.status import Status
from gateway.predictionlog.record import PredictionBatch
from gateway.predictionlog.writer import PredictionLog
from tests.unit.unskew.conftest import MODEL, SERVICE, Starter, unskew

pytestmark = pytest.mark.slow


def test_plan_shows_and_changes_nothing(fresh):
    told = fresh("plan").json()
    assert told["breaking"] is False
    assert {change["kind"] for change in told["changes"]} == {"added"}
    assert not (fresh.folder / ".unskew").exists()


def test_apply_puts_in_force_once(fresh):
    first, second = fresh("apply").json(), fresh("apply").json()
    assert (first["revision"], first["written"]) == (1, True)
    assert (second["revision"], second["written"]) == (1, False)
    assert fresh("plan").json()["changes"] == []


def test_apply_refuses_what_breaks_until_it_is_allowed(ready):
    ready.edit("features.py", '        ordering["count_7d"],\n', "")
    told = ready("apply").error()
    assert "breaking" in told["what"]
    assert "--allow-breaking" in told["mend"]
    assert ready("apply", "--allow-breaking").json()["revision"] == 2


def test_what_writes_state_needs_the_definitions_in_force(fresh):
    spine = fresh.folder / "data" / "spine.parquet"
    for arguments in (
        ("import",),
        ("training-set", "build", "--model", MODEL, "--spine", spine),
        ("train", MODEL),
        ("materialise",),
        ("serve", "--port", "0"),
    ):
        told = fresh(*arguments).error()
        assert told["error"] == "catalog-invalid"
        assert "unskew apply" in told["mend"]


def test_definitions_that_changed_since_are_refused_by_name(ready):
    ready.edit("features.py", '        ordering["count_28d"],\n', "")
    told = ready("materialise").error()
    assert "customer_ordering" in told["what"] or "next_week_amount" in told["what"]


def test_import_takes_every_source_once(ready):
    (told,) = ready("import").json()["imports"]
    assert (told["source"], told["already_imported"], told["sequence"]) == ("orders", True, 1)


def test_import_of_one_file_for_one_source(fresh, tmp_path):
    fresh("apply").json()
    part = tmp_path / "part.csv"
    part.write_text("order_id,customer_id,timestamp,amount,channel\n1,7,2024-01-01T10:00:00Z,12.50,app\n")
    (told,) = fresh("import", "orders", part).json()["imports"]
    assert (told["rows"], told["from"], told["to"]) == (1, "2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z")


def test_bad_rows_refuse_the_file_or_are_set_aside(fresh, tmp_path):
    fresh("apply").json()
    part = tmp_path / "part.csv"
    lines = [
        "order_id,customer_id,timestamp,amount,channel",
        "1,7,2024-01-01T10:00:00Z,12.50,app",
        "2,7,yesterday,1,app",
    ]
    part.write_text("\n".join(lines) + "\n")
    assert "yesterday" in fresh("import", "orders", part).error()["what"]
    (told,) = fresh("import", "orders", part, "--on-bad", "quarantine").json()["imports"]
    assert (told["rows"], told["quarantined"]) == (1, 1)
    assert "yesterday" in told["bad"][0]


def test_training_sets_are_listed_shown_rebuilt_and_written(ready, tmp_path):
    (listed,) = ready("training-set", "list").json()["training_sets"]
    assert (listed["service"], listed["label"], listed["rows"]) == (SERVICE, MODEL, 1320)
    shown = ready("training-set", "show", listed["digest"][:12]).json()
    assert shown["digest"] == listed["digest"]
    rebuilt = ready("training-set", "rebuild", listed["digest"], "-o", tmp_path / "rows.parquet").json()
    assert rebuilt["digest"] == listed["digest"]
    assert rebuilt["labelled_rows"] == 1260
    assert pq.read_metadata(tmp_path / "rows.parquet").num_rows == 1320
    assert rebuilt["columns"] == pq.read_schema(tmp_path / "rows.parquet").names


def test_a_training_set_may_be_as_of_an_earlier_instant(ready):
    spine = ready.folder / "data" / "spine.parquet"
    told = ready(
        "training-set", "build", "--service", SERVICE, "--spine", spine, "--as-of", "2024-06-25T00:00:00Z"
    ).json()
    assert (told["as_of"], told["label"], told["labelled_rows"]) == ("2024-06-25T00:00:00Z", None, None)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((), "which features"),
        (("--model", MODEL, "--service", SERVICE), "which features"),
        (("--model", MODEL, "--label", MODEL), "its own label"),
        (("--model", "next_week_amuont"), "next_week_amuont"),
        (("--service", "nothing"), "nothing"),
        (("--service", SERVICE, "--label", "nothing"), "nothing"),
        (("--service", SERVICE, "--as-of", "yesterday"), "yesterday"),
        (("--service", SERVICE, "--timestamp-column", "at"), "'at'"),
    ],
)
def test_a_training_set_that_is_not_clear_is_refused(trained, arguments, what):
    spine = trained / "data" / "spine.parquet"
    told = Starter(trained)("training-set", "build", "--spine", spine, *arguments).error()
    assert what in told["what"]


def test_training_again_on_the_same_rows_is_the_same_version(ready):
    told = ready("train", MODEL).json()
    assert (told["version"], told["training_rows"] + told["holdout_rows"]) == (1, 1200)


def test_training_asks_which_of_several_sets(ready):
    spine = ready.folder / "data" / "spine.parquet"
    table = pq.read_table(spine)
    pq.write_table(table.slice(0, 1000), spine)
    build = ("training-set", "build", "--model", MODEL, "--spine", spine)
    digest = ready(*build).json()["digest"]
    assert "2 training sets fit" in ready("train", MODEL).error()["what"]
    assert ready("train", MODEL, "--training-set", digest).json()["training_set_digest"] == digest


def test_training_without_a_set_says_how_to_build_one(fresh):
    fresh("apply").json()
    told = fresh("train", MODEL).error()
    assert "training-set build --model next_week_amount" in told["mend"]


def test_models_are_listed_with_their_role_and_shown_with_their_gate(trained):
    starter = Starter(trained)
    (listed,) = starter("models", "list").json()["models"]
    assert (listed["model"], listed["version"], listed["role"]) == (MODEL, 1, "champion")
    for selector in (MODEL, f"{MODEL}@1", f"{MODEL}@champion", f"{MODEL}@latest"):
        shown = starter("models", "show", selector).json()
        assert shown["record_hash"] == listed["record_hash"]
        assert shown["gate"]["passed"] is True
    assert "version 9" in starter("models", "show", f"{MODEL}@9").error()["what"]


def retrained(starter):
    starter.edit("models.py", '{"trees": 40}', '{"trees": 10}')
    return starter("train", MODEL).json()["version"]


def test_traffic_moves_by_challenge_promotion_withdrawal_and_rollback(ready):
    assert retrained(ready) == 2
    challenged = ready("challenge", MODEL, 2, "--weights", "3:1", "--actor", "ann").json()
    assert [each["share"] for each in challenged["route"]["variants"]] == [0.75, 0.25]
    assert ready("withdraw", MODEL, "--actor", "ann").json()["route"]["revision"] == 3
    promoted = ready("promote", MODEL, "latest", "--actor", "bob", "--reason", "better").json()
    assert (promoted["moved"], promoted["overridden"], promoted["gate"]["passed"]) == (True, False, True)
    back = ready("rollback", MODEL, "--actor", "cy", "--reason", "worse after all").json()["route"]
    assert (back["revision"], back["variants"][0]["version"]) == (5, 1)
    (route,) = ready("routes", "show").json()["routes"]
    assert route == back
    entries = ready("history", MODEL).json()["entries"]
    assert [entry["kind"] for entry in entries] == [
        "register", "promote", "register", "challenge", "withdraw", "promote", "rollback",
    ]  # fmt: skip
    assert [entry["actor"] for entry in entries[3:]] == ["ann", "ann", "bob", "cy"]


def changed_in_place(starter):
    """Change the service that the champion was trained on, train version 2 on it and make that the champion."""
    starter.edit("features.py", '        ordering["count_7d"],\n', "")
    starter("apply", "--allow-breaking").json()
    starter("training-set", "build", "--model", MODEL, "--spine", starter.folder / "data" / "spine.parquet").json()
    assert starter("train", MODEL).json()["version"] == 2
    starter("promote", MODEL, 2).json()


@pytest.mark.parametrize(
    "move",
    [
        ("rollback", MODEL, "--reason", "bad"),
        ("promote", MODEL, 1),
        ("promote", MODEL, 1, "--override", "--reason", "bad"),
        ("challenge", MODEL, 1),
    ],
)
def test_a_route_never_names_a_version_that_the_definitions_in_force_cannot_serve(ready, move):
    changed_in_place(ready)
    told = ready(*move).error()
    assert (told["error"], told["where"]) == ("route-refused", f"model {MODEL} version 1")
    assert SERVICE in told["what"]
    assert "unskew apply" in told["mend"]
    assert "restart" in told["mend"]
    assert "new name" in told["mend"]
    (route,) = ready("routes", "show").json()["routes"]
    assert (route["revision"], route["variants"][0]["version"]) == (2, 2)


def test_a_champion_that_cannot_be_served_is_not_challenged_or_promoted_again(ready):
    ready.edit("features.py", '        ordering["count_7d"],\n', "")
    ready("apply", "--allow-breaking").json()
    assert ready("promote", MODEL, 1).error()["error"] == "route-refused"
    ready("training-set", "build", "--model", MODEL, "--spine", ready.folder / "data" / "spine.parquet").json()
    assert ready("train", MODEL).json()["version"] == 2
    assert "would name version 1" in ready("challenge", MODEL, 2).error()["what"]


def test_a_version_whose_service_is_not_in_force_is_refused(ready):
    ready.edit("features.py", f'"{SERVICE}"', '"other_inputs"')
    ready("apply", "--allow-breaking").json()
    assert "that service is not in force" in ready("promote", MODEL, 1).error()["what"]


def test_rollback_works_once_the_definitions_are_back(ready):
    before = (ready.folder / "features.py").read_text()
    changed_in_place(ready)
    (ready.folder / "features.py").write_text(before)
    ready("apply", "--allow-breaking").json()
    back = ready("rollback", MODEL, "--reason", "bad").json()["route"]
    assert back["variants"][0]["version"] == 1


def test_a_stale_revision_moves_nothing(ready):
    assert retrained(ready) == 2
    told = ready("promote", MODEL, 2, "--expected-revision", 7).error()
    assert told["error"] == "route-conflict"
    assert ready("routes", "show", MODEL).json()["routes"][0]["revision"] == 1


def test_the_gate_holds_a_model_back_until_somebody_overrides_it_with_a_reason(ready):
    ready.edit("models.py", "at_most=60.0", "at_most=1.0")
    assert ready("train", MODEL).json()["version"] == 2
    told = ready("promote", MODEL, 2).error()
    assert told["error"] == "promotion-refused"
    assert "rmse" in told["what"]
    assert "reason" in ready("promote", MODEL, 2, "--override").error()["what"]
    done = ready("promote", MODEL, 2, "--override", "--reason", "a trial", "--actor", "ann").json()
    assert done["overridden"] is True


def test_features_are_read_as_serving_reads_them(trained):
    told = Starter(trained)("features", SERVICE, "--key", "customer_id=7").json()
    assert told["as_of"] == "2024-07-01T00:00:00Z"
    assert told["features"]["customer_ordering.count_28d"] == {"value": 3, "status": "present", "age_seconds": 35968.0}
    nobody = Starter(trained)("features", SERVICE, "--key", "customer_id=999").json()["features"]
    assert nobody["customer_ordering.amount_sum_28d"] == {"value": None, "status": "missing", "age_seconds": None}


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((SERVICE, "--key", "customer=7"), "no key of entity customer"),
        ((SERVICE, "--key", "customer_id=seven"), "'seven' is not a value of int64"),
        ((SERVICE, "--key", "customer_id=7.5"), "7.5"),
        ((SERVICE, "--key", "customer_id=7", "--key", "shop_id=1"), "shop_id"),
        ((SERVICE, "--key", "customer_id=7", "--input", "basket=1"), "basket"),
        (("nothing", "--key", "customer_id=7"), "nothing"),
    ],
)
def test_a_read_that_makes_no_sense_is_refused(trained, arguments, what):
    assert what in Starter(trained)("features", *arguments).error()["what"]


def test_materialise_takes_named_views(ready):
    (told,) = ready("materialise", "customer_ordering", "--as-of", "2024-06-30T12:00:00Z").json()["views"]
    assert (told["rows"], told["as_of"]) == (60, "2024-06-30T12:00:00Z")
    assert "did you mean" in ready("materialise", "customer_orderin").error()["mend"]


def test_materialise_refuses_rows_of_another_history_until_told_to_rebuild(ready):
    """The offline store was lost and made anew."""
    shutil.rmtree(ready.folder / ".unskew" / "offline")
    part = ready.folder / "part.csv"
    part.write_text("order_id,customer_id,timestamp,amount,channel\n1,7,2024-01-01T10:00:00Z,12.50,app\n")
    ready("import", "orders", part).json()
    told = ready("materialise").error()
    assert (told["error"], told["where"].split(" in ")[0]) == ("another-history", "feature view 'customer_ordering'")
    assert "`unskew materialise customer_ordering --rebuild`" in told["mend"]
    (report,) = ready("materialise", "customer_ordering", "--rebuild").json()["views"]
    assert (report["sequence"], report["skipped_newer"]) == (1, 0)
    assert ready("materialise").json()["views"][0]["resumed"] == report["rows"]


def test_materialise_of_the_future_is_refused_and_what_a_wrong_clock_left_is_replaced(ready):
    told = ready("materialise", "--as-of", "2071-01-01T00:00:00Z").error()
    assert (told["where"], "2071-01-01T00:00:00Z is later than now" in told["what"]) == ("--as-of", True)
    toml = (ready.folder / "unskew.toml").read_text()
    (ready.folder / "unskew.toml").write_text(re.sub(r'now = ".*"', 'now = "fixed:2071-01-01T00:00:00Z"', toml))
    ready("materialise").json()
    (ready.folder / "unskew.toml").write_text(toml)
    told = ready("materialise").error()
    assert "as of 2071-01-01T00:00:00Z, later than now" in told["what"]
    assert told["mend"] == "write them anew: `unskew materialise customer_ordering --rebuild`"
    ready("materialise", "customer_ordering", "--rebuild").json()
    ready("features", SERVICE, "-k", "customer_id=7").json()


def test_materialise_says_when_it_kept_newer_rows(ready):
    told = ready.plainly("materialise", "customer_ordering", "--as-of", "2024-01-01T00:00:00Z")
    assert told.status == 0
    assert "customer_ordering: 60 rows were left alone, as the store has newer ones" in told.err


def test_a_store_that_ends_with_the_command_is_refused(ready):
    ready.edit("unskew.toml", "lmdb:.unskew/online", "memory://x")
    for arguments in (("materialise",), ("serve", "--port", "0"), ("features", SERVICE, "-k", "customer_id=7")):
        assert "memory://x" in ready(*arguments).error()["what"]


def test_predictions_of_nobody(trained):
    starter = Starter(trained)
    assert "was logged" in starter("predictions", "tail", MODEL).error()["what"]
    assert "no prediction" in starter("predictions", "find", "0190").error()["what"]


def test_find_names_the_statuses_that_the_log_numbers(fresh):
    batch = PredictionBatch(
        "spend", 1, "9" * 64, "champion", 1, 0, ["id-1"],
        keys={}, requests={}, features={}, sequences={}, outputs={},
        statuses={status.name: np.array([status], np.uint8) for status in Status},
    )  # fmt: skip
    with PredictionLog(fresh.folder / ".unskew" / "predictions") as log:
        log.append(batch)
    told = fresh("predictions", "find", "id-1").json()
    assert told["statuses"] == {status.name: status.name.lower() for status in Status}
    assert re.search(r"statuses EXPIRED +expired", fresh.plainly("predictions", "find", "id-1").out)


def test_a_digest_that_is_too_short_is_told_so(trained):
    starter = Starter(trained)
    digest = starter("training-set", "list").json()["training_sets"][0]["digest"]
    assert "first 8 digits or more" in starter("training-set", "show", digest[:4]).error()["what"]
    assert "no such training set" in starter("training-set", "show", "0" * 12).error()["what"]


def test_people_read_tables(trained):
    starter = Starter(trained)
    for arguments in (
        ("plan",),
        ("training-set", "list"),
        ("models", "list"),
        ("models", "show", MODEL),
        ("routes", "show"),
        ("history",),
        ("features", SERVICE, "--key", "customer_id=7"),
        ("doctor",),
    ):
        told = starter.plainly(*arguments)
        assert told.status == 0, told
        assert told.out + told.err
        with pytest.raises(json.JSONDecodeError):
            json.loads(told.out or told.err)


def test_people_read_what_changing_commands_did(fresh):
    spine = fresh.folder / "data" / "spine.parquet"
    for arguments, said in (
        (("apply",), "revision 1"),
        (("import",), "2,371"),
        (("training-set", "build", "--model", MODEL, "--spine", spine), "1,320"),
        (("train", MODEL), "unskew promote next_week_amount 1"),
        (("promote", MODEL), "champion is version 1"),
        (("materialise",), "customer_ordering"),
        (("rollback", MODEL, "--reason", "x"), "no earlier route to go back to"),
    ):
        told = fresh.plainly(*arguments)
        assert said in told.out + told.err, told


def test_version_and_init_say_what_they_did(tmp_path):
    assert unskew("version").out.startswith("unskew ")
    told = unskew("init", tmp_path / "new", "--json").json()
    assert {"features.py", "models.py", "unskew.toml", "README.md", "data/orders.csv"} <= set(told["files"])


def test_an_input_may_be_null(ready):
    ready.edit("features.py", "    Int64,\n", "    Float64,\n    Int64,\n    Request,\n")
    with (ready.folder / "features.py").open("a") as handle:
        handle.write('more = FeatureService("more", [ordering["count_7d"], Request("km", Float64)])\n')
    ready("apply").json()
    for text, value in (("null", None), ("4.5", 4.5)):
        told = ready("features", "more", "--key", "customer_id=7", "--input", f"km={text}").json()
        assert told["features"]["km"]["value"] == value
