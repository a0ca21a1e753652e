from tests.serving_project import LocalGateway, with_row


def test_a_model_of_other_definitions_is_not_served(project):
    project.deploy("stale", service_digest="0" * 64)
    project.deploy("lost", "strict_inputs").service  # noqa: B018
    with LocalGateway(project) as gateway:
        stale, fine = gateway.predict(with_row(17), "stale"), gateway.predict(with_row(17))
        ready = gateway.get("/readyz")
    assert (stale.status_code, stale.json()["code"]) == (503, "not-ready")
    assert "trained on another revision of feature service inputs: 000000000000" in stale.json()["detail"]
    assert "unskew train" in stale.json()["detail"]
    assert fine.status_code == 200
    assert (ready.status_code, "model stale" in ready.json()["detail"]) == (503, True)


def test_a_model_whose_service_is_gone_is_told_the_nearest(project):
    project.deploy("gone", "inputs")
    catalog = project.catalog
    services = {"input": catalog.services["strict_inputs"], "typed_inputs": catalog.services["typed_inputs"]}
    project.catalog = type(catalog)(catalog.entities, catalog.sources, catalog.views, {}, services)
    with LocalGateway(project) as gateway:
        answer = gateway.predict(with_row(17), "gone")
    assert "feature service inputs, which it reads, is not defined (there is input)" in answer.json()["detail"]
