from featurestore.foundation.clock import DAY, format_instant
from gateway.errors import FeaturesUnreadable
from tests.servers import free_port
from tests.serving_project import NOW_US, Basket, LocalGateway, ServingProject, logged, stocked_project, with_row


def dead_store(project: ServingProject) -> ServingProject:
    """Point a project at a Redis that is not there."""
    online = project.settings.online.model_copy(update={"url": f"redis://:secret@127.0.0.1:{free_port()}/0"})
    project.settings = project.settings.model_copy(update={"online": online})
    return project


def test_a_dead_store_is_named_without_its_password(project):
    with LocalGateway(dead_store(project)) as gateway:
        answers = gateway.predict_together([with_row(17), with_row(18)])
        ready = gateway.get("/readyz")
    for answer in answers:
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (503, "store-unavailable")
        assert "127.0.0.1" in problem["error"]
        assert "secret" not in answer.text
        assert problem["mend"]
    assert ready.status_code == 200
    assert "127.0.0.1" in ready.json()["online_store"]


def test_degraded_answers_have_no_features_and_say_so(project):
    with LocalGateway(dead_store(project), on_store_error="degrade") as gateway:
        answer = gateway.predict({**with_row(17), "options": {"explain": True}}).json()
        metrics = gateway.get("/metrics").text
    assert answer["degraded"] is True
    assert answer["outputs"]["numbers"] == ["NaN"] * 4
    assert answer["features"]["spending.count_7d"] == {"value": None, "status": "missing", "age_seconds": None}
    row = logged(project)[0]
    assert (row["degraded"], row["s.spending"], row["status.spending.count_7d"]) == (True, None, 2)
    assert 'unskew_degraded_predictions_total{model="spend"} 1.0' in metrics
    assert 'unskew_feature_fetch_errors_total{service="inputs"} 1.0' in metrics


def test_a_service_that_refuses_missing_features_is_never_degraded(project):
    project.deploy("strict", "strict_inputs")
    with LocalGateway(dead_store(project), on_store_error="degrade") as gateway:
        answer = gateway.predict({"keys": {"household_id": 17}, "inputs": {"points": 3}}, "strict")
    assert (answer.status_code, answer.json()["code"]) == (503, "store-unavailable")


def test_a_view_that_was_not_materialised_is_named(tmp_path):
    project = ServingProject(tmp_path)
    project.deploy()
    with LocalGateway(project, on_store_error="degrade") as gateway:
        answer = gateway.predict(with_row(17))
    project.close()
    assert (answer.status_code, answer.json()["code"]) == (503, FeaturesUnreadable.code)
    assert "unskew materialise" in answer.json()["mend"]


def test_a_clock_before_the_materialisation_is_refused(tmp_path):
    project = stocked_project(tmp_path, clock=format_instant(NOW_US - 1))
    with LocalGateway(project) as gateway:
        answer = gateway.predict(with_row(17))
    project.close()
    assert answer.status_code == 503
    assert "exact from 2017-12-31T00:00:00Z on" in answer.json()["detail"]


def test_features_move_on_with_the_clock(tmp_path):
    """A day later the basket of 29.5 days ago has left its window: computed from the log, without materialising."""
    project = stocked_project(tmp_path, clock=format_instant(NOW_US + DAY))
    project.put_household(17, [Basket(1, 1250), Basket(29.5, 1000)])
    with LocalGateway(project) as gateway:
        answer = gateway.predict(with_row(17)).json()
    project.close()
    assert answer["outputs"]["numbers"][:2] == [12.5, 1.0]
