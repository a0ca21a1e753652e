from collections import Counter

from gateway.routing.slot_table import SlotTable, routing_key
from tests.serving_project import LocalGateway, logged, with_row

HOUSEHOLDS = range(1000, 1400)


def challenged(project, weights=(3, 1)):
    challenger = project.register(shift=1000.0)
    project.registry.challenge("spend", challenger.version, weights=weights, actor="test")
    return project.registry.route("spend")


def test_each_key_stays_with_the_variant_of_its_slot(project):
    route = challenged(project)
    table = SlotTable(route)
    expected = {key: route.variants[table.index(routing_key([key]))].name for key in HOUSEHOLDS}
    with LocalGateway(project) as gateway:
        batch = gateway.predict({"rows": [with_row(key) for key in HOUSEHOLDS]}).json()["predictions"]
        alone = [answer.json() for answer in gateway.predict_together([with_row(key) for key in HOUSEHOLDS])]
    for answers in (batch, alone):
        assert [each["variant"] for each in answers] == list(expected.values())
        assert all((each["outputs"]["score"] > 500) == (each["variant"] == "challenger") for each in answers)
        assert all(each["version"] == (2 if each["variant"] == "challenger" else 1) for each in answers)
    assert 50 < Counter(expected.values())["challenger"] < 150
    assert len(logged(project)) == 2 * len(HOUSEHOLDS)
    assert all(row["variant"] == expected[row["key.household"]] for row in logged(project))


def test_a_variant_of_weight_0_gets_nothing_unless_asked_for(project):
    challenged(project, weights=(1, 0))
    with LocalGateway(project) as gateway:
        answers = gateway.predict({"rows": [with_row(key) for key in HOUSEHOLDS]}).json()["predictions"]
        asked = gateway.predict({**with_row(17), "options": {"version": 2}}).json()
    assert {each["variant"] for each in answers} == {"champion"}
    assert (asked["version"], asked["variant"], asked["outputs"]["score"]) == (2, "challenger", 1065.0)


def test_a_version_that_is_not_on_the_route_is_refused(project):
    challenged(project)
    project.register(shift=7.0)
    with LocalGateway(project) as gateway:
        answer = gateway.predict({**with_row(17), "options": {"version": 3}})
    assert (answer.status_code, answer.json()["pointer"]) == (404, "/options/version")
    assert "ask for 1 or 2" in answer.json()["mend"]


def test_variants_may_read_different_services(project):
    other = project.register(service="strict_inputs", shift=1000.0)
    project.registry.challenge("spend", other.version, weights=(1, 1), actor="test")
    rows = [with_row(17, points=4) for _ in range(2)]
    with LocalGateway(project) as gateway:
        lacking = gateway.predict(with_row(17))
        champion, challenger = (
            gateway.predict({"rows": rows, "options": {"version": version}}).json()["predictions"][0]
            for version in (1, 2)
        )
    assert (lacking.status_code, lacking.json()["detail"]) == (422, "input points is missing")
    assert champion["outputs"]["numbers"] == [22.5, 1.0, 41.0, 0.5]
    assert challenger["outputs"]["numbers"] == [22.5, 4.0]


def test_a_model_without_entities_is_shared_out_at_random(project):
    project.deploy("typed", "typed_inputs")
    project.register("typed", "typed_inputs", shift=9.0)
    project.registry.challenge("typed", 2, weights=(1, 1), actor="test")
    inputs = dict.fromkeys(("whole", "real", "short", "flag", "word", "instant", "price"))
    with LocalGateway(project) as gateway:
        answers = gateway.predict({"rows": [{"inputs": inputs}] * 200}, "typed").json()["predictions"]
    assert 50 < Counter(each["variant"] for each in answers)["challenger"] < 150


def test_what_only_a_request_feature_takes_is_logged_too(project):
    project.deploy("share", "share_inputs")
    with LocalGateway(project) as gateway:
        gateway.predict({"keys": {"household_id": 17}, "inputs": {"basket_value": 5.0}}, "share")
    row = logged(project, "share")[0]
    assert (row["feature.spending.net_sum_30d"], row["feature.basket_share"]) == (22.5, 5.0 / 22.5)
