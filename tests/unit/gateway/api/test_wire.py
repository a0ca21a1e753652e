import json

import pytest

from gateway.api.wire import as_request_error, decode, encode, problem, unforeseen
from gateway.errors import ModelUnknown, RegistryError, RequestInvalid, RequestNotJson
from gateway.serving.predict import Prediction


def test_integers_are_read_exactly_and_written_exactly():
    big = 2**63 - 1
    assert decode(b'{"a": 9223372036854775807}') == {"a": big}
    assert encode(Prediction("m", True, [{"a": big}])) == b'{"a":9223372036854775807}'


def test_a_batch_is_wrapped_and_a_single_row_is_not():
    rows = [{"version": 1}]
    assert json.loads(encode(Prediction("m", True, rows))) == {"version": 1}
    assert json.loads(encode(Prediction("m", False, rows))) == {"model": "m", "predictions": [{"version": 1}]}


def test_of_a_name_given_twice_the_last_value_counts():
    assert decode(b'{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "the body is empty"),
        (b"{", "line 1 column 2"),
        (b'{\n"a": nope}', "line 2 column"),
        (b"{'a': 1}", "line 1 column 2"),
        (b'{"a": NaN}', "the body is not JSON"),
        (b'{"a": 1e999}', "infinity"),
        (b'\xff{"a": 1}', "the body is not JSON"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b"[" * 1025 + b"]" * 1025, "depth limit"),
        (b'{"a": 1} {"b": 2}', "the body is not JSON"),
    ],
)
def test_what_is_not_json_is_refused_naming_the_place(body, what):
    with pytest.raises(RequestNotJson) as caught:
        decode(body)
    assert what in caught.value.what
    assert caught.value.mend


def test_a_problem_has_the_members_of_rfc_9457_and_error():
    error = RequestInvalid("key x is null", where="model m", mend="send one", pointer="/keys/x")
    assert json.loads(problem(error, "/v1/models/m/predict")) == {
        "type": "urn:unskew:problem:request-invalid",
        "title": "The request does not fit the model",
        "status": 422,
        "detail": "key x is null",
        "instance": "/v1/models/m/predict",
        "code": "request-invalid",
        "error": "model m: key x is null (send one)",
        "where": "model m",
        "pointer": "/keys/x",
        "mend": "send one",
    }


def test_parts_that_an_error_does_not_have_are_left_out():
    assert "pointer" not in json.loads(problem(RequestInvalid("x"), "/"))


def test_errors_of_lower_rooms_get_a_status():
    assert as_request_error(ModelUnknown("no m", mend="did you mean n?")).status == 404
    assert as_request_error(RegistryError("locked")).status == 500
    assert "log" in (unforeseen("GET /x").mend or "")
