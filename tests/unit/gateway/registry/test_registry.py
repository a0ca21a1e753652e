import pytest

from gateway.errors import ModelUnknown, PromotionRefused, RecordRefused, RouteConflict, RouteRefused
from gateway.registry.registry import open_registry
from gateway.registry.slots import decode_runs


def _owners(route) -> list[int]:
    return [route.variants[index].version for index in decode_runs(route.runs)]


def _moved(one, two) -> int:
    return sum(was != now for was, now in zip(_owners(one), _owners(two), strict=True))


class TestRegister:
    def test_fills_in_what_only_the_registry_knows(self, registry, make_record, clock):
        record = registry.register(make_record(), b"onnx")
        assert (record.version, record.created_at_us) == (1, clock.now_us())
        assert registry.artifacts.load(record.artifact_digest) == b"onnx"
        assert registry.get("spend", 1) == record

    def test_numbers_the_versions_of_each_model_by_itself(self, registry, make_record):
        assert [registry.register(make_record(), data).version for data in (b"1", b"2")] == [1, 2]
        assert registry.register(make_record(model="churn"), b"1").version == 1
        assert registry.models() == ("churn", "spend")
        assert [record.version for record in registry.versions("spend")] == [1, 2]

    def test_the_same_run_is_the_same_version(self, registry, make_record, clock):
        first = registry.register(make_record(), b"onnx")
        registry.register(make_record(), b"other")
        clock.set(clock.now_us() + 1)
        assert registry.register(make_record(), b"onnx") == first
        assert registry.register(first, b"onnx") == first
        assert registry.head() == 2

    def test_the_same_bytes_of_another_run_are_another_version(self, registry, make_record):
        registry.register(make_record(), b"onnx")
        assert registry.register(make_record(metrics={"roc_auc": 0.9}), b"onnx").version == 2

    def test_is_in_the_history(self, registry, make_record, clock):
        record = registry.register(make_record(), b"onnx", actor="ann")
        (entry,) = registry.history("spend")
        assert (entry.kind, entry.actor, entry.at_us) == ("register", "ann", clock.now_us())
        assert entry.after["record_hash"] == record.record_hash

    def test_the_owner_is_the_actor_if_none_is_said(self, registry, make_record):
        registry.register(make_record(), b"onnx")
        assert registry.history()[0].actor == "team@example.org"

    def test_refuses_bytes_that_are_not_the_stated_ones(self, registry, make_record):
        with pytest.raises(RecordRefused, match="leave artifact_digest out"):
            registry.register(make_record(artifact_digest="a" * 64), b"onnx")
        with pytest.raises(RecordRefused, match="the model file is empty"):
            registry.register(make_record(), b"")
        assert registry.models() == ()

    def test_lasts(self, registry, make_record, tmp_path, clock):
        record = registry.register(make_record(), b"onnx")
        registry.promote("spend", 1, actor="ann")
        with open_registry(f"sqlite:{tmp_path}/registry.db", tmp_path / "artifacts", clock) as again:
            assert again.get("spend") == record
            assert again.route("spend") == registry.route("spend")


class TestGet:
    def test_by_number_and_alias(self, three_versions):
        three_versions.promote("spend", 2, actor="ann")
        three_versions.challenge("spend", 1, weights=(1, 1), actor="ann")
        found = {
            each: three_versions.get("spend", each).version for each in (1, "3", "champion", "challenger", "latest")
        }
        assert found == {1: 1, "3": 3, "champion": 2, "challenger": 1, "latest": 3}
        assert three_versions.get("spend").version == 2

    def test_an_unknown_model_suggests_the_nearest(self, three_versions, make_record):
        with pytest.raises(ModelUnknown, match=r"no model is called 'spent' \(did you mean spend\?\)"):
            three_versions.get("spent", 1)
        with pytest.raises(ModelUnknown, match=r"no model is called 'zzz' \(there are spend\)"):
            three_versions.promote("zzz", 1, actor="ann")

    def test_an_empty_registry_says_so(self, registry):
        for ask in (
            registry.get,
            registry.route,
            registry.history,
            registry.versions,
            lambda model: registry.withdraw(model, actor="ann"),
            lambda model: registry.rollback(model, actor="ann", reason="bad"),
        ):
            with pytest.raises(ModelUnknown, match="there are no models yet"):
                ask("spend")

    @pytest.mark.parametrize("selector", [0, 4, "4", -1, "champion", "challenger", "newest"])
    def test_an_unknown_version_tells_which_there_are(self, three_versions, selector):
        with pytest.raises(ModelUnknown, match=r"model spend has no version .*versions 1 to 3"):
            three_versions.get("spend", selector)


class TestPromote:
    def test_sets_the_first_champion(self, three_versions):
        assert three_versions.route("spend") is None
        assert three_versions.routes() == {}
        report = three_versions.promote("spend", 2, actor="ann", reason="first", expected_revision=0)
        assert (report.changed, report.overridden, report.before) == (True, False, None)
        assert report.gate.passed
        assert report.route.revision == 1
        assert report.route.shares() == {"champion": 1.0}
        assert three_versions.route("spend") == report.route
        assert three_versions.routes() == {"spend": report.route}

    def test_replaces_the_champion_and_keeps_the_challengers_keys(self, three_versions):
        three_versions.promote("spend", 1, actor="ann")
        trial = three_versions.challenge("spend", 2, weights=(3, 1), actor="ann").route
        route = three_versions.promote("spend", 3, actor="ann").route
        assert [(each.name, each.version, each.weight) for each in route.variants] == [
            ("champion", 3, 3),
            ("challenger", 2, 1),
        ]
        assert [owner == 2 for owner in _owners(route)] == [owner == 2 for owner in _owners(trial)]

    def test_of_the_challenger_ends_the_trial(self, three_versions):
        three_versions.promote("spend", 1, actor="ann")
        three_versions.challenge("spend", 2, weights=(3, 1), actor="ann")
        route = three_versions.promote("spend", "challenger", actor="ann").route
        assert set(_owners(route)) == {2}
        assert route.challenger is None

    def test_of_the_champion_changes_nothing(self, three_versions):
        three_versions.promote("spend", 1, actor="ann")
        three_versions.challenge("spend", 2, weights=(3, 1), actor="ann")
        before = three_versions.head()
        report = three_versions.promote("spend", 1, actor="ann")
        assert not report.changed
        assert three_versions.head() == before

    @pytest.mark.parametrize(
        ("change", "objection"),
        [
            ({"metrics": {"roc_auc": 0.6, "log_loss": 0.5}}, "roc_auc at least 0.7 fails: it is 0.6"),
            ({"metrics": {"log_loss": 0.5}}, "roc_auc at least 0.7 fails: it is not among its metrics"),
            ({"thresholds": ()}, "states no threshold"),
        ],
    )
    @pytest.mark.parametrize("move", ["promote", "challenge"])
    def test_the_gate_refuses_unless_overridden_with_a_reason(self, registry, make_record, change, objection, move):
        registry.register(make_record(), b"good")
        registry.register(make_record(**change), b"bad")
        registry.promote("spend", 1, actor="ann")
        weights = {} if move == "promote" else {"weights": (1, 1)}
        before, act = registry.head(), getattr(registry, move)
        with pytest.raises(PromotionRefused, match=objection) as caught:
            act("spend", 2, actor="ann", **weights)
        assert caught.value.report["passed"] is False
        for reason in ("", " \n"):
            with pytest.raises(RouteRefused, match="overriding the gate of model spend, version 2: no reason"):
                act("spend", 2, actor="ann", override=True, reason=reason, **weights)
        with pytest.raises(RouteRefused, match="no actor is given"):
            act("spend", 2, actor=" ", override=True, reason="must", **weights)
        assert registry.head() == before
        report = act("spend", 2, actor="ann", override=True, reason="must", **weights)
        entry = registry.history("spend")[-1]
        assert report.overridden
        assert (entry.actor, entry.reason, entry.detail["overridden"]) == ("ann", "must", True)
        assert entry.detail["gate"] == caught.value.report

    def test_an_override_of_a_gate_that_passed_is_none(self, three_versions):
        assert not three_versions.promote("spend", 1, actor="ann", override=True).overridden
        assert three_versions.history("spend")[-1].detail["overridden"] is False

    def test_the_report_is_plain_data(self, three_versions):
        described = three_versions.promote("spend", 1, actor="ann", reason="first").describe()
        assert described["gate"]["passed"] is True
        assert described["route"]["revision"] == 1
        assert (described["before"], described["actor"], described["changed"]) == (None, "ann", True)


class TestChallenge:
    def test_takes_its_share_and_moves_the_fewest_slots(self, three_versions):
        one = three_versions.promote("spend", 1, actor="ann").route
        tenth = three_versions.challenge("spend", 2, weights=(9, 1), actor="ann").route
        assert tenth.shares() == pytest.approx({"champion": 0.9, "challenger": 0.1}, abs=1 / 16_384)
        assert _moved(one, tenth) == 1_638
        half = three_versions.challenge("spend", 2, weights=(1, 1), actor="ann").route
        assert _moved(tenth, half) == 8_192 - 1_638

    def test_weights_are_relative(self, three_versions):
        three_versions.promote("spend", 1, actor="ann")
        first = three_versions.challenge("spend", 2, weights=(9, 1), actor="ann").route
        second = three_versions.challenge("spend", 2, weights=(90, 10), actor="ann").route
        assert second.runs == first.runs

    def test_weight_0_gets_nothing(self, three_versions):
        three_versions.promote("spend", 1, actor="ann")
        three_versions.challenge("spend", 2, weights=(1, 1), actor="ann")
        assert set(_owners(three_versions.challenge("spend", 2, weights=(0, 1), actor="ann").route)) == {2}
        assert set(_owners(three_versions.challenge("spend", 2, weights=(1, 0), actor="ann").route)) == {1}

    @pytest.mark.parametrize("weights", [(0, 0), (-1, 2), (0.9, 0.1), (10**9, 1)])
    def test_weights_that_make_no_shares_move_nothing(self, three_versions, weights):
        before = three_versions.promote("spend", 1, actor="ann").route
        with pytest.raises(RouteRefused):
            three_versions.challenge("spend", 2, weights=weights, actor="ann")
        assert three_versions.route("spend") == before

    def test_needs_a_champion_and_another_version(self, three_versions):
        with pytest.raises(RouteRefused, match="promote a version first"):
            three_versions.challenge("spend", 2, weights=(1, 1), actor="ann")
        three_versions.promote("spend", 1, actor="ann")
        with pytest.raises(RouteRefused, match="version 1 is the champion"):
            three_versions.challenge("spend", 1, weights=(1, 1), actor="ann")

    def test_withdraw_gives_all_back(self, three_versions):
        three_versions.promote("spend", 1, actor="ann")
        three_versions.challenge("spend", 2, weights=(9, 1), actor="ann")
        route = three_versions.withdraw("spend", actor="ann", expected_revision=2)
        assert (route.revision, set(_owners(route)), route.challenger) == (3, {1}, None)
        with pytest.raises(RouteRefused, match="model spend: there is no challenger to withdraw"):
            three_versions.withdraw("spend", actor="ann")

    def test_two_trials_take_different_keys(self, three_versions):
        three_versions.promote("spend", 1, actor="ann")
        first = _owners(three_versions.challenge("spend", 2, weights=(9, 1), actor="ann").route)
        three_versions.withdraw("spend", actor="ann")
        second = _owners(three_versions.challenge("spend", 3, weights=(9, 1), actor="ann").route)
        assert {at for at, owner in enumerate(first) if owner == 2} != {
            at for at, owner in enumerate(second) if owner == 3
        }


class TestRollback:
    def test_gives_every_key_the_variant_it_had(self, three_versions):
        three_versions.promote("spend", 1, actor="ann")
        before = three_versions.challenge("spend", 2, weights=(9, 1), actor="ann").route
        three_versions.promote("spend", 3, actor="ann")
        route = three_versions.rollback("spend", actor="ann", reason="worse", expected_revision=3)
        assert route.revision == 4
        assert (route.variants, route.runs) == (before.variants, before.runs)
        entry = three_versions.history("spend")[-1]
        assert (entry.kind, entry.reason, entry.detail) == ("rollback", "worse", {"to": 2})

    def test_again_goes_further_back_never_forth(self, three_versions):
        for version in (1, 2, 3):
            three_versions.promote("spend", version, actor="ann")
        back = [three_versions.rollback("spend", actor="ann", reason="bad").champion.version for _ in range(2)]
        assert back == [2, 1]
        with pytest.raises(RouteRefused, match="model spend: there is no earlier route"):
            three_versions.rollback("spend", actor="ann", reason="bad")
        three_versions.promote("spend", 3, actor="ann")
        assert three_versions.rollback("spend", actor="ann", reason="bad").champion.version == 1

    def test_needs_a_reason_and_something_to_go_back_to(self, three_versions):
        with pytest.raises(RouteRefused, match="rollback of model spend: no reason is given"):
            three_versions.rollback("spend", actor="ann", reason=" ")
        with pytest.raises(RouteRefused, match="no earlier route"):
            three_versions.rollback("spend", actor="ann", reason="bad")


class TestExpectedRevision:
    def test_a_stale_caller_changes_nothing_and_learns_who_moved_it(self, three_versions):
        three_versions.promote("spend", 1, actor="ann")
        before = three_versions.head()
        moves = (
            lambda: three_versions.promote("spend", 2, actor="ben", expected_revision=0),
            lambda: three_versions.challenge("spend", 2, weights=(1, 1), actor="ben", expected_revision=2),
            lambda: three_versions.withdraw("spend", actor="ben", expected_revision=0),
            lambda: three_versions.rollback("spend", actor="ben", reason="x", expected_revision=7),
        )
        for move in moves:
            with pytest.raises(RouteConflict, match=r"at revision 1, moved by ann at 2017-12-31T00:00:00Z, not at"):
                move()
        assert three_versions.head() == before

    def test_of_a_model_without_route_is_0(self, three_versions):
        with pytest.raises(RouteConflict, match="at revision 0, not at 1"):
            three_versions.promote("spend", 1, actor="ann", expected_revision=1)

    def test_every_move_needs_an_actor(self, three_versions):
        three_versions.promote("spend", 1, actor="ann")
        for move in (
            lambda: three_versions.promote("spend", 1, actor=""),
            lambda: three_versions.withdraw("spend", actor=" "),
            lambda: three_versions.rollback("spend", actor="\t", reason="x"),
            lambda: three_versions.register(three_versions.get("spend", 1), b"one", actor=" "),
        ):
            with pytest.raises(RouteRefused, match="no actor is given"):
                move()


def test_the_route_is_derived_from_the_history(three_versions):
    three_versions.promote("spend", 1, actor="ann")
    three_versions.challenge("spend", 2, weights=(2, 1), actor="ann")
    three_versions.withdraw("spend", actor="ann")
    three_versions.promote("spend", 3, actor="ann")
    three_versions.rollback("spend", actor="ann", reason="bad")
    moves = [entry for entry in three_versions.history("spend") if entry.kind != "register"]
    assert [entry.kind for entry in moves] == ["promote", "challenge", "withdraw", "promote", "rollback"]
    assert [entry.after["revision"] for entry in moves] == [1, 2, 3, 4, 5]
    assert [entry.before for entry in moves] == [None, *[entry.after for entry in moves[:-1]]]
    assert moves[-1].after == three_versions.route("spend").describe()
