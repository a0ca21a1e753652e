from tests.serving_project import LocalGateway, with_row


def test_an_unknown_model_is_told_the_nearest(project):
    with LocalGateway(project) as gateway:
        near, far = gateway.predict(with_row(17), "spnd"), gateway.predict(with_row(17), "zzz")
    assert (near.status_code, near.json()["mend"]) == (404, "did you mean spend?")
    assert far.json()["mend"] == "there is spend"


def test_too_many_requests_at_once_are_shed(project):
    with LocalGateway(project, in_flight_limit_requests=3) as gateway:
        answers = gateway.predict_together([with_row(17)] * 5)
        later = gateway.predict(with_row(17))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 429, 429]
    shed = next(answer for answer in answers if answer.status_code == 429)
    assert (shed.headers["retry-after"], shed.json()["code"]) == ("1", "overloaded")
    assert later.status_code == 200


def test_a_batch_is_answered_whole_or_not_at_all(project):
    project.deploy("strict", "strict_inputs")
    rows = [{"keys": {"household_id": key}, "inputs": {"points": 3}} for key in (17, 20)]
    with LocalGateway(project) as gateway:
        answer = gateway.predict({"rows": rows}, "strict")
    assert answer.status_code == 422
    assert "first in row 1" in answer.json()["detail"]
