"""Requests as a new user would send them to the gateway."""

# ruff: noqa: E501 - a table is read a case a line

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.malformed.shop import right_request

SPEND = "/v1/models/spend/predict"
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class BadRequest:
    """A request, and what the problem details must say: status, thing, place and mend.

    ``place`` is the pointer into the body where one part of it is at fault, else something that ``instance``, ``where``
    or ``detail`` must hold.
    """

    name: str
    body: Any
    status: int
    thing: str
    place: str
    mend: str
    path: str = SPEND
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)

    @property
    def content(self) -> bytes:
        """The body's bytes: those given, or the JSON of what is given."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def keys(*dropped: str, **changes: Any) -> dict[str, Any]:
    """Return a right request with other keys."""
    return _changed("keys", dropped, changes)


def inputs(*dropped: str, **changes: Any) -> dict[str, Any]:
    """Return a right request with other inputs."""
    return _changed("inputs", dropped, changes)


def _changed(part: str, dropped: tuple[str, ...], changes: dict[str, Any]) -> dict[str, Any]:
    request = right_request()
    request[part] = {name: value for name, value in (request[part] | changes).items() if name not in dropped}
    return request


def whole(*dropped: str, **changes: Any) -> dict[str, Any]:
    """Return a right request with other members."""
    return {name: value for name, value in (right_request() | changes).items() if name not in dropped}


def batch(*rows: Any) -> dict[str, Any]:
    """Return a batch of a right row and those given."""
    return {"rows": [right_request(), *rows]}


def literal(written: bytes) -> bytes:
    """Return a right request's bytes with ``cart`` as written."""
    return json.dumps(inputs(cart="@")).encode().replace(b'"@"', written)


def number(written: bytes) -> bytes:
    """Return a right request's bytes with ``items`` as written."""
    return json.dumps(inputs(items="@")).encode().replace(b'"@"', written)


BODIES = [
    BadRequest("no body", b"", 400, "empty", SPEND, "JSON object"),
    BadRequest("a body cut short", json.dumps(right_request()).encode()[:40], 400, "not JSON", "line 1 column", "mend the body"),
    BadRequest("single quotes", b"{'keys': {'customer_id': 1}}", 400, "not JSON", "line 1 column 2", "double quotes"),
    BadRequest("a comma too many", b'{"keys": {"customer_id": 1},}', 400, "not JSON", "line 1 column", "mend the body"),
    BadRequest("a comment", b'{"keys": {"customer_id": 1} /* me */}', 400, "not JSON", "line 1 column", "mend the body"),
    BadRequest("names without quotes", b"{keys: {customer_id: 1}}", 400, "not JSON", "line 1 column 2", "double quotes"),
    BadRequest("a second line at fault", b'{"keys":\n  {"customer_id": }}', 400, "not JSON", "line 2 column", "mend the body"),
    BadRequest("Latin-1", b'{"keys": {"customer_id": "K\xf6ln"}}', 400, "not JSON", "line 1", "UTF-8"),
    BadRequest("a form", b"customer_id=1&cart=2", 400, "not JSON", "line 1 column 1", "mend the body"),
    BadRequest("two objects", b'{"keys": {"customer_id": 1}}\n{"keys": {"customer_id": 2}}', 400, "not JSON", "line 2", "mend the body"),
    BadRequest("Python's None", literal(b"None"), 400, "not JSON", "line 1 column", "mend the body"),
    BadRequest("Python's True", literal(b"True"), 400, "not JSON", "line 1 column", "mend the body"),
    BadRequest("a NaN without quotes", literal(b"NaN"), 400, "not JSON", "line 1 column", "mend the body"),
    BadRequest("an Infinity without quotes", literal(b"Infinity"), 400, "not JSON", "line 1 column", "mend the body"),
    BadRequest("nested too deep", b'{"keys": ' + b"[" * 2000 + b"]" * 2000 + b"}", 400, "not JSON", "line 1 column", "mend the body"),
    BadRequest("an array", [right_request()], 422, "the body is an array", "", "send {"),
    BadRequest("a number", 17, 422, "the body is a number", "", "send {"),
    BadRequest("null", b"null", 422, "the body is null", "", "send {"),
    BadRequest("JSON within a string", json.dumps(json.dumps(right_request())).encode(), 422, "the body is a string", "", "send {"),
    BadRequest("an empty object", {}, 422, "keys is missing", "", "customer_id"),
]  # fmt: skip

KEYS = [
    BadRequest("no keys", whole("keys"), 422, "keys is missing", "", "customer_id"),
    BadRequest("keys as a number", whole(keys=1), 422, "keys is a number", "", "customer_id"),
    BadRequest("keys as an array", whole(keys=[1]), 422, "keys is an array", "", "customer_id"),
    BadRequest("keys of another service's shape", {"entity": {"customer_id": 1}}, 422, "'entity'", "/entity", "use only keys"),
    BadRequest("a key left out", keys("customer_id"), 422, "key customer_id is missing", "/keys", "customer_id"),
    BadRequest("a key misspelt", keys("customer_id", costumer_id=1), 422, "customer_id is missing", "/keys", "customer_id"),
    BadRequest("a key too many", keys(household_id=1), 422, "'household_id'", "/keys/household_id", "customer_id"),
    BadRequest("a key of null", keys(customer_id=None), 422, "customer_id is null", "/keys/customer_id", "int64"),
    BadRequest("a key as text", keys(customer_id="1"), 422, "'1' is not a whole number", "/keys/customer_id", "without point or quotes"),
    BadRequest("a key with a point", keys(customer_id=1.0), 422, "1.0 is not a whole number", "/keys/customer_id", "without point or quotes"),
    BadRequest("a key that is true", keys(customer_id=True), 422, "true is not a whole number", "/keys/customer_id", "without point or quotes"),
    BadRequest("a key that is a list", keys(customer_id=[1]), 422, "[1] is not a whole number", "/keys/customer_id", "without point or quotes"),
    BadRequest("a key beyond int64", keys(customer_id=2**63), 422, "does not fit int64", "/keys/customer_id", "2^63"),
    BadRequest("a key far beyond int64", keys(customer_id=2**70), 422, "does not fit int64", "/keys/customer_id", "2^63"),
    BadRequest("a misspelt member", whole(input={}), 422, "'input'", "/input", "did you mean inputs?"),
    BadRequest("a member with a slash", whole(**{"a/b": 1}), 422, "'a/b'", "/a~1b", "use only"),
]  # fmt: skip

INPUTS = [
    BadRequest("no inputs", whole("inputs"), 422, "inputs is missing", "", "cart"),
    BadRequest("inputs of null", whole(inputs=None), 422, "inputs is null", "", "cart"),
    BadRequest("an input left out", inputs("cart"), 422, "input cart is missing", "/inputs", "null"),
    BadRequest("an input misspelt", inputs(itmes=1), 422, "'itmes'", "/inputs/itmes", "did you mean items?"),
    BadRequest("a feature as input", inputs(**{"ordering.count_7d": 3}), 422, "'ordering.count_7d'", "/inputs/ordering.count_7d", "use only"),
    BadRequest("a cart as text", inputs(cart="12.50"), 422, "'12.50' is not a number", "/inputs/cart", "without quotes"),
    BadRequest("a cart that is true", inputs(cart=True), 422, "true is not a number", "/inputs/cart", "without quotes"),
    BadRequest("a cart with its currency", inputs(cart={"EUR": 12}), 422, "is not a number", "/inputs/cart", "without quotes"),
    BadRequest("an infinity misspelt", inputs(cart="inf"), 422, "'inf' is not a number", "/inputs/cart", '"Infinity"'),
    BadRequest("items with a fraction", inputs(items=1.5), 422, "1.5 is not a whole number", "/inputs/items", "without point"),
    BadRequest("items beyond int64", number(b"9223372036854775808"), 422, "does not fit int64", "/inputs/items", "2^63"),
    BadRequest("items below int64", number(b"-9223372036854775809"), 422, "does not fit int64", "/inputs/items", "2^63"),
    BadRequest("items with an exponent", number(b"1e3"), 422, "1000.0 is not a whole number", "/inputs/items", "without point"),
    BadRequest("a short beyond float32", inputs(short=1e39), 422, "does not fit float32", "/inputs/short", "3.4e38"),
    BadRequest("a gift as a number", inputs(gift=1), 422, "1 is not a boolean", "/inputs/gift", "true or false"),
    BadRequest("a gift as text", inputs(gift="true"), 422, "'true' is not a boolean", "/inputs/gift", "without quotes"),
    BadRequest("a word as a number", inputs(word=5), 422, "5 is not a string", "/inputs/word", "in quotes"),
    BadRequest("an instant as a number", inputs(seen=1717200000), 422, "is not an instant", "/inputs/seen", "2017-12-31"),
    BadRequest("an instant without a zone in JSON", inputs(seen="2024-06-01T00:00:00"), 422, "no time zone", "/inputs/seen", "2024-06-01T00:00:00Z"),
    BadRequest("an instant in words", inputs(seen="yesterday"), 422, "'yesterday' is not an instant", "/inputs/seen", "2017-12-31"),
    BadRequest("an instant in nanoseconds in JSON", inputs(seen="2024-06-01T00:00:00.123456789Z"), 422, "finer than a microsecond", "/inputs/seen", "six decimals"),
    BadRequest("a day that is not there", inputs(seen="2024-02-30T00:00:00Z"), 422, "2024-02-30", "/inputs/seen", ""),
    BadRequest("a fee of three places", inputs(fee="1.255"), 422, "more than 2 decimals", "/inputs/fee", "round it"),
    BadRequest("a fee of seventeen digits", inputs(fee=123456789012345.67), 422, "more digits", "/inputs/fee", "string"),
    BadRequest("a fee of nineteen digits", inputs(fee="12345678901234567.89"), 422, "more than 18 digits", "/inputs/fee", "18 digits"),
    BadRequest("a fee with a comma", inputs(fee="1,25"), 422, "'1,25' is not a decimal", "/inputs/fee", "string"),
]  # fmt: skip

OPTIONS = [
    BadRequest("options as a list", whole(options=["explain"]), 422, "options is an array", "/options", '{"explain": true}'),
    BadRequest("an option misspelt", whole(options={"explian": True}), 422, "'explian'", "/options/explian", "did you mean explain?"),
    BadRequest("an option as a number", whole(options={"explain": 1}), 422, "1, not a boolean", "/options/explain", "true or false"),
    BadRequest("a version as text", whole(options={"version": "1"}), 422, "'1', not a version", "/options/version", "whole number"),
    BadRequest("a version of zero", whole(options={"version": 0}), 422, "0, not a version", "/options/version", "whole number"),
    BadRequest("a version that is not on the route", whole(options={"version": 99}), 404, "version 99", "/options/version", "ask for 1"),
]  # fmt: skip

BATCHES = [
    BadRequest("no rows", {"rows": []}, 422, "an empty array", "/rows", '{"rows": ['),
    BadRequest("rows as an object", {"rows": {"keys": {"customer_id": 1}}}, 422, "rows is an object", "/rows", '{"rows": ['),
    BadRequest("a row that is a number", batch(17), 422, "the row is a number", "/rows/1", "customer_id"),
    BadRequest("a row without keys", batch({"inputs": {}}), 422, "keys is missing", "/rows/1", "customer_id"),
    BadRequest("a key as text in a row", batch(keys(customer_id="x")), 422, "'x' is not a whole number", "/rows/1/keys/customer_id", "without point"),
    BadRequest("an input as text in a row", batch(right_request(), inputs(cart="x")), 422, "'x' is not a number", "/rows/2/inputs/cart", "without quotes"),
    BadRequest("options in a row", batch(whole(options={})), 422, "'options'", "/rows/1/options", "keys, inputs"),
    BadRequest("rows and keys", right_request() | {"rows": [right_request()]}, 422, "'keys'", "/keys", "rows"),
    BadRequest("a batch over the limit", batch(*[right_request()] * 5), 413, "6 rows, and the limit is 5", "/rows", "batch_limit_rows"),
    BadRequest("a body over the limit", b" " * 20_001, 413, "20000 bytes", SPEND, "body_limit_bytes"),
    BadRequest("features that are not there", {"keys": {"customer_id": 99}, "inputs": {"items": 1}}, 422, "ordering.amount_sum_28d", "feature service strict_inputs", "materialise", "/v1/models/strict/predict"),
]  # fmt: skip

PATHS = [
    BadRequest("a model misspelt", right_request(), 404, "'spent'", "/v1/models/spent/predict", "did you mean spend?", "/v1/models/spent/predict"),
    BadRequest("a model that is not there", right_request(), 404, "'zzz'", "/v1/models/zzz/predict", "spend, strict", "/v1/models/zzz/predict"),
    BadRequest("a model in capitals", right_request(), 404, "'SPEND'", "/v1/models/SPEND/predict", "spend", "/v1/models/SPEND/predict"),
    BadRequest("a model and its version", right_request(), 404, "'spend@1'", "/v1/models/spend@1/predict", "did you mean spend?", "/v1/models/spend@1/predict"),
    BadRequest("a way up the folders", right_request(), 404, "nothing at", "etc/passwd", "/v1/models/{model}/predict", "/v1/models/..%2f..%2fetc%2fpasswd/predict"),
    BadRequest("a way up in one name", right_request(), 404, "'..'", "/v1/models/../predict", "spend", "/v1/models/%2e%2e/predict"),
    BadRequest("a zero byte", right_request(), 404, "spend", "predict", "did you mean spend?", "/v1/models/spend%00/predict"),
    BadRequest("a model's name of 4,000 letters", right_request(), 404, "aaa", "/v1/models/aaa", "spend", "/v1/models/" + "a" * 4000 + "/predict"),
    BadRequest("no model", right_request(), 404, "nothing at /v1/models//predict", "/v1/models//predict", "/v1/models/{model}/predict", "/v1/models//predict"),
    BadRequest("a slash at the end", right_request(), 404, "nothing at", "/v1/models/spend/predict/", "/v1/models/{model}/predict", "/v1/models/spend/predict/"),
    BadRequest("a path of another server", right_request(), 404, "nothing at", "/invocations", "/v1/models/{model}/predict", "/invocations"),
    BadRequest("a path in the singular", right_request(), 404, "nothing at", "/v1/model/spend/predict", "/v1/models/{model}/predict", "/v1/model/spend/predict"),
    BadRequest("a GET", b"", 405, "GET is not allowed", SPEND, "POST", method="GET", headers={}),
    BadRequest("a PUT", right_request(), 405, "PUT is not allowed", SPEND, "POST", method="PUT"),
    BadRequest("a DELETE of a model", b"", 405, "DELETE is not allowed", "/v1/models/spend", "GET", "/v1/models/spend", "DELETE", {}),
    BadRequest("a POST to health", b"{}", 405, "POST is not allowed", "/livez", "GET", "/livez"),
    BadRequest("the details of no model", b"", 404, "zzz", "/v1/models/zzz", "", "/v1/models/zzz", "GET", {}),
    BadRequest("the route of no model", b"", 404, "zzz", "/v1/routes/zzz", "there are spend, strict", "/v1/routes/zzz", "GET", {}),
]  # fmt: skip

HEADERS = [
    BadRequest("a form's content type", right_request(), 415, "application/x-www-form-urlencoded", SPEND, "application/json", headers={"content-type": "application/x-www-form-urlencoded"}),
    BadRequest("text as content type", right_request(), 415, "text/plain", SPEND, "application/json", headers={"content-type": "text/plain"}),
    BadRequest("another charset", right_request(), 415, "charset=latin-1", SPEND, "UTF-8", headers={"content-type": "application/json; charset=latin-1"}),
    BadRequest("a body compressed", b"\x1f\x8b", 415, "gzip", SPEND, "as it is", headers={**JSON, "content-encoding": "gzip"}),
]  # fmt: skip

REQUESTS = [*BODIES, *KEYS, *INPUTS, *OPTIONS, *BATCHES, *PATHS, *HEADERS]
