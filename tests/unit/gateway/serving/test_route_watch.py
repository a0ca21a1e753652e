import logging

import pytest

from featurestore.catalog.load import load_definitions
from tests.serving_project import LocalGateway, ServingProject, with_row


def test_promotion_and_rollback_are_followed_without_a_restart(project):
    with LocalGateway(project) as gateway:
        before = gateway.predict(with_row(17)).json()
        project.deploy(shift=1000.0)
        gateway.settle()
        promoted = gateway.predict(with_row(17)).json()
        project.registry.rollback("spend", actor="test", reason="too high")
        gateway.settle()
        back = gateway.predict(with_row(17)).json()
    assert [each["version"] for each in (before, promoted, back)] == [1, 2, 1]
    assert [each["route_revision"] for each in (before, promoted, back)] == [1, 2, 3]
    assert [each["outputs"]["score"] for each in (before, promoted, back)] == [65.0, 1065.0, 65.0]


def test_a_first_promotion_makes_the_gateway_ready(tmp_path):
    project = ServingProject(tmp_path)
    with LocalGateway(project) as gateway:
        unready = gateway.get("/readyz")
        project.deploy()
        gateway.settle()
        assert gateway.get("/readyz").json()["route_revisions"] == {"spend": 1}
    project.close()
    assert (unready.status_code, unready.json()["detail"]) == (503, "no model has a route")


@pytest.mark.parametrize("spoil", ["altered", "does not fit"])
def test_a_route_that_cannot_be_loaded_leaves_the_old_one_answering(project, caplog, spoil):
    caplog.set_level(logging.ERROR)
    with LocalGateway(project) as gateway:
        if spoil == "altered":
            record = project.register(shift=3.0)
            path = project.registry.artifacts.path(record.artifact_digest)
            path.chmod(0o644)
            path.write_bytes(b"other bytes")
        else:
            record = project.register(outputs=("nothing",))
        project.registry.promote("spend", record.version, actor="test")
        gateway.settle()
        answer = gateway.predict(with_row(17))
        metrics = gateway.get("/metrics").text
        ready = gateway.get("/readyz")
        routed = gateway.get("/v1/routes/spend").json()
    assert (answer.status_code, answer.json()["route_revision"], ready.status_code) == (200, 1, 200)
    assert list(ready.json()["stale"]) == ["spend"]
    assert ready.json()["stale"]["spend"]
    assert (routed["revision"], routed["served_revision"]) == (2, 1)
    assert 'unskew_route_failed{model="spend"} 1.0' in metrics
    assert 'unskew_route_revision{model="spend"} 1.0' in metrics
    told = [record for record in caplog.records if "its route cannot be followed" in record.getMessage()]
    assert len(told) == 1


def test_variants_that_cannot_share_requests_leave_the_old_route(project):
    """Champion and challenger want one name with different types: the endpoint cannot be compiled."""
    (project.folder / "features.py").write_text(
        (project.folder / "features.py").read_text()
        + '\nother = FeatureService("other", [spending, Request("basket_value", Int64)])\n'
    )
    project.catalog = load_definitions(project.folder / "features.py")
    with LocalGateway(project) as gateway:
        challenger = project.register(service="other")
        project.registry.challenge("spend", challenger.version, weights=(1, 1), actor="test")
        gateway.settle()
        answer = gateway.predict(with_row(17))
        metrics = gateway.get("/metrics").text
    assert (answer.status_code, answer.json()["route_revision"]) == (200, 1)
    assert 'unskew_route_failed{model="spend"} 1.0' in metrics
