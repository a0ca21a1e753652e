from typing import Any

import pytest

from featurestore.definitions import (
    Attribute,
    Entity,
    FeatureService,
    FeatureView,
    Float64,
    Int64,
    Request,
    String,
    TableSource,
    Timestamp,
)
from gateway.errors import ModelLoadError, RequestInvalid, RequestTooLarge
from gateway.serving.request import RequestShape


def view(name: str, join_key: str, dtype=Int64) -> FeatureView:
    entity = Entity(f"{name}_entity", join_key=join_key, dtype=dtype)
    source = TableSource(
        f"{name}_source",
        schema={join_key: dtype, "at": Timestamp, "x": Int64},
        key=join_key,
        effective_at="at",
        path="p",
    )
    return FeatureView(name, entity, source, features=[Attribute("x")])


def service(*parts: Any, name: str = "svc") -> FeatureService:
    return FeatureService(name, list(parts))


SHAPE = RequestShape("m", [service(view("home", "home_id"), view("shop", "shop", String), Request("value", Float64))])
GOOD: dict[str, Any] = {"keys": {"home_id": 7, "shop": "s"}, "inputs": {"value": 1.5}}


def refused(body: object, shape: RequestShape = SHAPE) -> RequestInvalid:
    with pytest.raises(RequestInvalid) as caught:
        shape.parse(body, 10)
    assert caught.value.where == "model m"
    assert caught.value.mend
    return caught.value


def test_a_single_row():
    request = SHAPE.parse(GOOD, 10)
    assert request.single
    assert (request.keys, request.inputs) == ([(7, "s")], [(1.5,)])
    assert (request.options.explain, request.options.version) == (False, None)


def test_a_batch_in_its_order_with_options():
    rows = [GOOD, {"keys": {"shop": "t", "home_id": 8}, "inputs": {"value": None}}]
    request = SHAPE.parse({"rows": rows, "options": {"explain": True, "version": 3}}, 10)
    assert not request.single
    assert (request.keys, request.inputs) == ([(7, "s"), (8, "t")], [(1.5,), (None,)])
    assert (request.options.explain, request.options.version) == (True, 3)


def test_parts_that_a_model_does_not_need_may_be_left_out():
    no_inputs = RequestShape("m", [service(view("home", "home_id"))])
    assert no_inputs.parse({"keys": {"home_id": 1}}, 10).inputs == [()]
    assert no_inputs.parse({"keys": {"home_id": 1}, "inputs": {}}, 10).inputs == [()]
    no_keys = RequestShape("m", [service(Request("value", Float64))])
    assert no_keys.parse({"inputs": {"value": 1}}, 10).keys == [()]


def test_a_batch_beyond_the_limit_is_too_large():
    assert len(SHAPE.parse({"rows": [GOOD] * 10}, 10).keys) == 10
    with pytest.raises(RequestTooLarge, match="11 rows, and the limit is 10"):
        SHAPE.parse({"rows": [GOOD] * 11}, 10)


@pytest.mark.parametrize(
    ("body", "pointer", "what"),
    [
        (None, "", "the body is null"),
        ([GOOD], "", "the body is an array"),
        ("x", "", "the body is a string"),
        ({}, "", "keys is missing"),
        ({"keys": None, "inputs": {"value": 1}}, "", "keys is null, not an object"),
        ({**GOOD, "keys": [7]}, "", "keys is an array, not an object"),
        ({**GOOD, "keys": {"home_id": 7}}, "/keys", "key shop is missing"),
        ({**GOOD, "keys": {"home_id": None, "shop": "s"}}, "/keys/home_id", "key home_id is null"),
        ({**GOOD, "keys": {"home_id": "7", "shop": "s"}}, "/keys/home_id", "'7' is not a whole number"),
        ({**GOOD, "keys": {"home_id": 7, "shop": "s", "shp": 1}}, "/keys/shp", "'shp' is unknown here"),
        ({**GOOD, "inputs": {}}, "/inputs", "input value is missing"),
        ({**GOOD, "inputs": {"value": "1"}}, "/inputs/value", "'1' is not a number"),
        ({**GOOD, "inputs": {"value": 1, "a/b~c": 1}}, "/inputs/a~1b~0c", "'a/b~c' is unknown here"),
        ({**GOOD, "key": {}}, "/key", "'key' is unknown here"),
        ({"rows": GOOD}, "/rows", "rows is an object"),
        ({"rows": []}, "/rows", "rows is an empty array"),
        ({"rows": [GOOD, 5]}, "/rows/1", "the row is a number"),
        ({"rows": [GOOD, {**GOOD, "inputs": {"value": True}}]}, "/rows/1/inputs/value", "true is not a number"),
        ({"rows": [{**GOOD, "options": {}}]}, "/rows/0/options", "'options' is unknown here"),
        ({"rows": [GOOD], "keys": {}}, "/keys", "'keys' is unknown here"),
        ({**GOOD, "options": []}, "/options", "options is an array"),
        ({**GOOD, "options": {"explian": True}}, "/options/explian", "'explian' is unknown here"),
        ({**GOOD, "options": {"explain": 1}}, "/options/explain", "explain is 1, not a boolean"),
        ({**GOOD, "options": {"version": "3"}}, "/options/version", "version is '3', not a version"),
        ({**GOOD, "options": {"version": 0}}, "/options/version", "version is 0, not a version"),
        ({**GOOD, "options": {"version": True}}, "/options/version", "version is true, not a version"),
        ({**GOOD, "options": {"version": None}}, "/options/version", "version is null, not a version"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_pointer(body, pointer, what):
    error = refused(body)
    assert what in error.what
    assert error.pointer == pointer


def test_mends_name_the_nearest_and_show_what_to_send():
    assert refused({**GOOD, "options": {"explian": True}}).mend == "did you mean explain?"
    assert refused({**GOOD, "keys": {"home_id": 7, "shop": "s", "hom_id": 1}}).mend == "did you mean home_id?"
    assert refused(5).mend == 'send {"keys": {"home_id": <int64>, "shop": <string>}, "inputs": {"value": <float64>}}'
    assert "or null if there is none" in (refused({**GOOD, "inputs": {}}).mend or "")


def test_a_request_satisfies_all_variants_of_a_route():
    champion = service(view("home", "home_id"), Request("value", Float64))
    challenger = service(view("shop", "shop", String), Request("value", Float64), Request("more", Int64))
    shape = RequestShape("m", [champion, challenger])
    assert shape.describe() == {
        "keys": {"home_id": "int64", "shop": "string"},
        "inputs": {"value": "float64", "more": "int64"},
    }
    refused({"keys": {"home_id": 7}, "inputs": {"value": 1}}, shape)


def test_variants_that_disagree_on_a_type_cannot_share_a_route():
    with pytest.raises(ModelLoadError, match="take value as float64 and as int64"):
        RequestShape("m", [service(Request("value", Float64)), service(Request("value", Int64))])
    with pytest.raises(ModelLoadError, match="two entities of service svc call their join key id"):
        RequestShape("m", [service(view("home", "id"), view("shop", "id", String))])
