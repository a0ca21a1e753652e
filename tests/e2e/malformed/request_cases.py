"""Requests as a new user would mistype them: what is sent, and what the answer must name."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

PATH = "/v1/models/spend/predict"
TYPED = "/v1/models/typed/predict"
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Case:
    """One request, and the status, thing (in ``detail``), place (``pointer``, or a part of ``instance``) and mend."""

    name: str
    body: Any
    status: int
    thing: str
    place: str
    mend: str
    path: str = PATH
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=lambda: JSON)

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def row(keys: Any = None, inputs: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "keys": {"household_id": 17} if keys is None else keys,
        "inputs": {"basket_value": 11.25} if inputs is None else inputs,
        **more,
    }


def typed(**changed: Any) -> dict[str, Any]:
    names = ("whole", "real", "short", "flag", "word", "instant", "price")
    return {"inputs": dict.fromkeys(names) | changed}


CASES = [
    Case("nothing", b"", 400, "the body is empty", "spend", "send a JSON object"),
    Case("single quotes", b"{'keys': {}}", 400, "line 1 column 2", "spend", "double quotes"),
    Case("a comma too many", b'{"keys": {"household_id": 17,}}', 400, "line 1 column", "spend", "mend the body"),
    Case("a bracket too few", b'{"keys": {"household_id": 17}', 400, "line 1 column", "spend", "mend the body"),
    Case("a second object", b"{} {}", 400, "not JSON", "spend", "mend the body"),
    Case("NaN as Python prints it", b'{"keys": {"household_id": NaN}}', 400, "not JSON", "spend", "mend the body"),
    Case("True as Python prints it", b'{"options": {"explain": True}}', 400, "not JSON", "spend", "mend the body"),
    Case("a number beyond doubles", b'{"inputs": {"basket_value": 1e999}}', 400, "infinity", "spend", "mend the body"),
    Case("Latin-1", '{"keys": {"name": "é"}}'.encode("latin-1"), 400, "not JSON", "spend", "UTF-8"),
    Case("half a surrogate", b'{"keys": {"name": "\\ud800"}}', 400, "surrogate", "spend", "mend the body"),
    Case("nested without end", b"[" * 5000, 400, "depth", "spend", "mend the body"),
    Case(
        "a form",
        b"household_id=17",
        415,
        "x-www-form-urlencoded",
        "spend",
        "application/json",
        headers={"content-type": "application/x-www-form-urlencoded"},
    ),
    Case("text", b"{}", 415, "text/plain", "spend", "application/json", headers={"content-type": "text/plain"}),
    Case(
        "another charset",
        b"{}",
        415,
        "utf-16",
        "spend",
        "UTF-8",
        headers={"content-type": "application/json; charset=utf-16"},
    ),
    Case("compressed", b"\x1f\x8b", 415, "gzip", "spend", "as it is", headers={**JSON, "content-encoding": "gzip"}),
    Case("a body too large", b'"' + b"x" * 1_100_000 + b'"', 413, "1048576 bytes", "spend", "body_limit_bytes"),
    Case("too many rows", {"rows": [row()] * 1001}, 413, "1001 rows", "/rows", "batch_limit_rows"),
    Case("a GET", b"", 405, "GET is not allowed", "spend", "send a POST", method="GET"),
    Case("a PUT", row(), 405, "PUT is not allowed", "spend", "send a POST", method="PUT"),
    Case("a model misspelt", row(), 404, "'spnd'", "spnd", "did you mean spend?", path="/v1/models/spnd/predict"),
    Case("a model in capitals", row(), 404, "'SPEND'", "SPEND", "spend", path="/v1/models/SPEND/predict"),
    Case(
        "a version in the path",
        row(),
        404,
        "/v1/models/spend/1/predict",
        "spend/1",
        "/v1/models/{model}/predict",
        path="/v1/models/spend/1/predict",
    ),
    Case(
        "the verb misspelt",
        row(),
        404,
        "/v1/models/spend/predicts",
        "predicts",
        "/v1/models/{model}/predict",
        path="/v1/models/spend/predicts",
    ),
    Case(
        "the path of another server",
        row(),
        405,
        "/v1/models/spend:predict",
        "spend:predict",
        "use GET",
        path="/v1/models/spend:predict",
    ),
    Case("an array", [row()], 422, "the body is an array", "", "keys"),
    Case("a string", "17", 422, "the body is a string", "", "household_id"),
    Case("null", None, 422, "the body is null", "", "household_id"),
    Case("a number", 17, 422, "the body is a number", "", "household_id"),
    Case("an empty object", {}, 422, "keys is missing", "", "household_id"),
    Case("key for keys", {"key": {"household_id": 17}, "inputs": {}}, 422, "'key'", "/key", "did you mean keys?"),
    Case("instances, as elsewhere", {"instances": [row()]}, 422, "'instances'", "/instances", "use only keys"),
    Case("keys left out", {"inputs": {"basket_value": 1}}, 422, "keys is missing", "", "household_id"),
    Case("inputs left out", {"keys": {"household_id": 17}}, 422, "inputs is missing", "", "basket_value"),
    Case("the key alone", row(keys=17), 422, "keys is a number", "", "household_id"),
    Case("keys in a list", row(keys=[17]), 422, "keys is an array", "", "household_id"),
    Case("another key", row(keys={"customer_id": 17}), 422, "household_id is missing", "/keys", "add household_id"),
    Case(
        "a key misspelt",
        row(keys={"household_id": 17, "househld_id": 17}),
        422,
        "'househld_id'",
        "/keys/househld_id",
        "did you mean household_id?",
    ),
    Case(
        "a key in quotes",
        row(keys={"household_id": "17"}),
        422,
        "'17' is not a whole number",
        "/keys/household_id",
        "without point or quotes",
    ),
    Case(
        "a key with a point",
        row(keys={"household_id": 17.0}),
        422,
        "17.0 is not a whole number",
        "/keys/household_id",
        "without point or quotes",
    ),
    Case("a null key", row(keys={"household_id": None}), 422, "household_id is null", "/keys/household_id", "int64"),
    Case(
        "a true key",
        row(keys={"household_id": True}),
        422,
        "true is not a whole number",
        "/keys/household_id",
        "number",
    ),
    Case(
        "a key beyond int64", row(keys={"household_id": 2**63}), 422, "does not fit int64", "/keys/household_id", "2^63"
    ),
    Case(
        "several keys in one row", row(keys={"household_id": [17, 18]}), 422, "[17, 18]", "/keys/household_id", "number"
    ),
    Case(
        "an input misspelt",
        row(inputs={"basket_valu": 1}),
        422,
        "basket_value is missing",
        "/inputs",
        "add basket_value",
    ),
    Case(
        "an input too many",
        row(inputs={"basket_value": 1, "basket_values": 2}),
        422,
        "'basket_values'",
        "/inputs/basket_values",
        "did you mean basket_value?",
    ),
    Case(
        "a feature as an input",
        row(inputs={"basket_value": 1, "spending.net_sum_30d": 3}),
        422,
        "'spending.net_sum_30d'",
        "/inputs/spending.net_sum_30d",
        "use only basket_value",
    ),
    Case(
        "an input in quotes",
        row(inputs={"basket_value": "11.25"}),
        422,
        "'11.25' is not a number",
        "/inputs/basket_value",
        "without quotes",
    ),
    Case(
        "an amount with its currency",
        row(inputs={"basket_value": "$11"}),
        422,
        "'$11'",
        "/inputs/basket_value",
        "number",
    ),
    Case("an input in a list", row(inputs={"basket_value": [1.0]}), 422, "[1.0]", "/inputs/basket_value", "number"),
    Case(
        "a true amount",
        row(inputs={"basket_value": False}),
        422,
        "false is not a number",
        "/inputs/basket_value",
        "number",
    ),
    Case("rows that are no list", {"rows": row()}, 422, "rows is an object", "/rows", '"rows": [{"keys"'),
    Case("no rows", {"rows": []}, 422, "rows is an empty array", "/rows", '"rows": [{"keys"'),
    Case("rows of keys", {"rows": [17, 18]}, 422, "the row is a number", "/rows/0", "household_id"),
    Case("rows and keys", {"rows": [row()], "keys": {}}, 422, "'keys'", "/keys", "use only rows, options"),
    Case(
        "one bad row of three",
        {"rows": [row(), row(inputs={"basket_value": "x"}), row()]},
        422,
        "'x' is not a number",
        "/rows/1/inputs/basket_value",
        "number",
    ),
    Case(
        "options inside a row",
        {"rows": [row(options={})]},
        422,
        "'options'",
        "/rows/0/options",
        "use only keys, inputs",
    ),
    Case(
        "an option misspelt",
        row(options={"explian": True}),
        422,
        "'explian'",
        "/options/explian",
        "did you mean explain?",
    ),
    Case("an option in quotes", row(options={"explain": "yes"}), 422, "'yes'", "/options/explain", "true or false"),
    Case(
        "a version by name", row(options={"version": "champion"}), 422, "'champion'", "/options/version", "whole number"
    ),
    Case(
        "a version that is not routed",
        row(options={"version": 9}),
        404,
        "version 9 is not on the route",
        "/options/version",
        "ask for 1",
    ),
    Case(
        "a date without a zone",
        typed(instant="2017-12-31T00:00:00"),
        422,
        "has no time zone",
        "/inputs/instant",
        "Z",
        path=TYPED,
    ),
    Case(
        "a Unix time",
        typed(instant=1514678400),
        422,
        "1514678400 is not an instant",
        "/inputs/instant",
        "2017-12-31T",
        path=TYPED,
    ),
    Case(
        "a date as in America",
        typed(instant="12/31/2017"),
        422,
        "12/31/2017",
        "/inputs/instant",
        "2017-12-31T",
        path=TYPED,
    ),
    Case(
        "nanoseconds",
        typed(instant="2017-12-31T00:00:00.123456789Z"),
        422,
        "finer than a microsecond",
        "/inputs/instant",
        "six decimals",
        path=TYPED,
    ),
    Case(
        "a price with three decimals",
        typed(price="1.005"),
        422,
        "more than 2 decimals",
        "/inputs/price",
        "round",
        path=TYPED,
    ),
    Case(
        "a price with a comma", typed(price="1,50"), 422, "'1,50' is not a decimal", "/inputs/price", "12.5", path=TYPED
    ),
    Case(
        "a boolean as a number", typed(flag=1), 422, "1 is not a boolean", "/inputs/flag", "true or false", path=TYPED
    ),
    Case("a word as a number", typed(word=5), 422, "5 is not a string", "/inputs/word", "in quotes", path=TYPED),
    Case("a float32 too large", typed(short=1e39), 422, "does not fit float32", "/inputs/short", "3.4e38", path=TYPED),
]
