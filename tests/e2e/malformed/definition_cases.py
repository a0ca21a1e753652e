"""features.py and models.py as a new user would mistype them."""

# ruff: noqa: E501 - a table is read a case a line

from dataclasses import dataclass

HERE = "#!"
"""Marks the line of a snippet that the error has to name; without it, its first."""


@dataclass(frozen=True)
class Mistake:
    """Text added to a file that was right, and what the error must say.

    ``thing`` must stand in what is wrong, ``place`` beside file and line, ``mend`` in the mend.
    """

    name: str
    text: str
    thing: str
    place: str
    mend: str


PYTHON = [
    Mistake("a bracket left open", 'v = FeatureView("v", customer, orders, [Count(over="7d")', "never closed", "", "syntax"),
    Mistake("a quote left open", 'v = Entity("v, join_key="v")', "unterminated string", "", "syntax"),
    Mistake("an indent out of place", " v = 1", "unexpected indent", "", "syntax"),
    Mistake("a colon forgotten", "def share(x)\n    return x", "expected ':'", "", "syntax"),
    Mistake("an aggregate that does not exist", "from featurestore.definitions import Medain", "'Medain'", "", "Mean"),
    Mistake("a module that is not installed", "import polrs", "polrs", "", "install the module"),
    Mistake("a name that is not defined", 'v = FetureView("v", customer, orders, [])', "FetureView", "", "did you mean 'FeatureView'?"),
    Mistake("a name that is not imported", "v = Featureservice", "Featureservice", "", "did you mean 'FeatureService'?"),
    Mistake("a calculation that fails", "ratio = 1 / 0", "ZeroDivisionError", "", "correct"),
    Mistake("a file that is not there", 'weights = open("weights.json")', "weights.json", "", "correct"),
    Mistake("an exit", "raise SystemExit(3)", "SystemExit", "", "correct"),
    Mistake("an argument left out", 'v = FeatureView("v", customer)', "'source'", "", "FeatureView"),
    Mistake("an argument misspelt", 'v = FeatureView("v", customer, orders, feature=[Count(over="7d")])', "'feature'", "", "'features'"),
    Mistake("an attribute misspelt", "names = orders.shema", "'shema'", "", "'schema'"),
    Mistake("a feature misspelt", 's = FeatureService("s", [ordering["amount_sum_30d"]])', "'amount_sum_30d'", "FeatureView ordering", "'amount_sum_28d'"),
]  # fmt: skip

ENTITIES = [
    Mistake("an entity called as a title", 'e = Entity("Customer Group", join_key="group")', "'Customer Group'", "Entity", "customer_group"),
    Mistake("an entity without a name", 'e = Entity("", join_key="group")', "''", "Entity", "a-z"),
    Mistake("an entity without a join key", 'e = Entity("group")', "'join_key'", "", "Entity"),
    Mistake("an entity whose type is text", 'e = Entity("group", join_key="group_id", dtype="int64")', "'int64'", "Entity group", "Int64"),
    Mistake("an entity keyed by a float", 'e = Entity("group", join_key="group_id", dtype=Float64)', "float64", "Entity group", "Int64"),
    Mistake("a join key that is a number", 'e = Entity("group", join_key=5)', "5", "Entity group join_key", "a-z"),
]  # fmt: skip


def _source(fields: str) -> str:
    return f's = EventSource("s", {fields})'


_WHOLE = {
    "schema": '{"id": Int64, "k": Int64, "at": Timestamp, "x": Float64, "ok": Bool}',
    "event_timestamp": '"at"',
    "event_id": '"id"',
    "available_at": 'Delay("0s")',
    "path": '"data/s/"',
}


def _with(**changes: str) -> str:
    return _source(", ".join(f"{name}={text}" for name, text in (_WHOLE | changes).items() if text))


SOURCES = [
    Mistake("a source without an event id", _with(event_id=""), "'event_id'", "", "EventSource"),
    Mistake("a source without a path", _with(path=""), "'path'", "", "EventSource"),
    Mistake("an empty path", _with(path='""'), "path", "EventSource s", "path"),
    Mistake("a timestamp column misspelt", _with(event_timestamp='"time"'), "'time'", "EventSource s", "at"),
    Mistake("a timestamp that is a number", _with(event_timestamp='"id"'), "int64", "EventSource s", "timestamp"),
    Mistake("an event id misspelt", _with(event_id='"idd"'), "'idd'", "EventSource s", "'id'"),
    Mistake("an event id that is a float", _with(event_id='"x"'), "'x'", "EventSource s", "Int64 or String"),
    Mistake("an available_at column misspelt", _with(available_at='"att"'), "'att'", "EventSource s", "'at'"),
    Mistake("an available_at that is a number", _with(available_at="3600"), "3600", "EventSource s", "Delay"),
    Mistake("a delay in words", _with(available_at='Delay("1 hour")'), "'1 hour'", "Delay", '"30d"'),
    Mistake("a delay in seconds", _with(available_at="Delay(3600)"), "3600", "Delay", '"30d"'),
    Mistake("a delay below zero", _with(available_at='Delay("-1h")'), "'-1h'", "Delay", '"30d"'),
    Mistake("an empty schema", _with(schema="{}"), "schema", "EventSource s", "Int64"),
    Mistake("a schema of names alone", _with(schema='["id", "at"]'), "schema", "EventSource s", "Int64"),
    Mistake("a type as text", _with(schema='{"id": "int64", "at": Timestamp}'), "'int64'", "EventSource s", "Int64"),
    Mistake("a type of Python's", _with(schema='{"id": int, "at": Timestamp}'), "int", "EventSource s", "Int64"),
    Mistake("a decimal without its scale", _with(schema='{"id": Int64, "at": Timestamp, "x": Decimal}'), "'x'", "EventSource s", "Decimal(scale)"),
    Mistake("a decimal of too many places", _with(schema='{"id": Int64, "at": Timestamp, "x": Decimal(30)}'), "0 to 18, not 30", "", "Decimal(2)"),
    Mistake("a scale as text", _with(schema='{"id": Int64, "at": Timestamp, "x": Decimal("2")}'), "'2'", "", "Decimal(2)"),
    Mistake("columns that differ in case", _with(schema='{"id": Int64, "at": Timestamp, "Id": Int64}'), "'Id'", "EventSource s", "rename"),
    Mistake("a column of the store's own", _with(schema='{"id": Int64, "at": Timestamp, "__row": Int64}'), "'__row'", "EventSource s", "rename"),
    Mistake("a tombstone that is no Bool", _with(tombstone='"x"'), "'x'", "EventSource s", "bool"),
    Mistake("a time zone that is none", _with(timezone='"Berlin"'), "'Berlin'", "EventSource s", "Europe/Berlin"),
    Mistake("a table whose key is misspelt", 's = TableSource("s", schema={"k": Int64, "at": Timestamp}, key="kk", effective_at="at", path="s")', "'kk'", "TableSource s", "'k'"),
    Mistake("a table in force since a number", 's = TableSource("s", schema={"k": Int64, "at": Timestamp}, key="k", effective_at="k", path="s")', "effective_at", "TableSource s", "timestamp"),
]  # fmt: skip


def _view(features: str, more: str = "") -> str:
    return f'v = FeatureView("v", customer, orders, {features}{more})'


_COUNT = '[Count(over="7d")]'

VIEWS = [
    Mistake("a column misspelt", _view('[Sum("amont", over="7d")]'), "'amont'", "FeatureView v", "did you mean 'amount'?"),
    Mistake("a window left out", _view('[Sum("amount")]'), "Sum('amount')", "FeatureView v", 'over="30d"'),
    Mistake("a count without a window", _view("[Count()]"), "Count()", "FeatureView v", 'over="30d"'),
    Mistake("a window in words", _view('[Sum("amount", over="30 days")]'), "'30 days'", "Sum('amount')", '"30d"'),
    Mistake("a window as a number", _view('[Sum("amount", over=30)]'), "30", "Sum('amount')", '"30d"'),
    Mistake("a window in months", _view('[Sum("amount", over="3mo")]'), "'3mo'", "Sum('amount')", "us, ms, s, m, h, d, w"),
    Mistake("a window of zero", _view('[Sum("amount", over="0d")]'), "zero", "Sum('amount')", '"30d"'),
    Mistake("a window below zero", _view('[Sum("amount", over="-7d")]'), "'-7d'", "Sum('amount')", '"30d"'),
    Mistake("a window of ages", _view('[Count(over="99999999999999d")]'), "70,000 years", "Count(None)", "shorter"),
    Mistake("a ttl of zero", _view(_COUNT, ', ttl="0s"'), "ttl is zero", "FeatureView v", "ttl=None"),
    Mistake("a ttl that is a number", _view(_COUNT, ", ttl=90"), "90", "FeatureView v", '"30d"'),
    Mistake("a ttl in words", _view(_COUNT, ', ttl="soon"'), "'soon'", "FeatureView v", '"30d"'),
    Mistake("no features", _view("[]"), "features", "FeatureView v", "list"),
    Mistake("a feature that stands in no list", _view('Count(over="7d")'), "features", "FeatureView v", "list"),
    Mistake("a feature as text", _view('["amount_sum_7d"]'), "'amount_sum_7d'", "FeatureView v", 'Sum("net"'),
    Mistake("an aggregate that is not called", _view("[Count]"), "features[0]", "FeatureView v", 'Sum("net"'),
    Mistake("a sum of texts", _view('[Sum("channel", over="7d")]'), "'channel'", "FeatureView v", "number"),
    Mistake("a mean of truths", _view('[Mean("paid", over="7d")]'), "'paid'", "FeatureView v", "number"),
    Mistake("a deviation of instants", _view('[StdDev("at", over="7d")]'), "'at'", "FeatureView v", "number"),
    Mistake("a sum of floats without a scale", _view('[Sum("weight_kg", over="7d")]'), "'weight_kg'", "FeatureView v", "scale=2"),
    Mistake("a scale for a decimal", _view('[Sum("amount", over="7d", scale=2)]'), "scale=2", "FeatureView v", "leave scale out"),
    Mistake("a scale of twenty", _view('[Sum("weight_kg", over="7d", scale=20)]'), "20", "Sum('weight_kg')", "0 to 15"),
    Mistake("a scale as text for a sum", _view('[Sum("weight_kg", over="7d", scale="2")]'), "'2'", "Sum('weight_kg')", "0 to 15"),
    Mistake("a feature listed twice", _view('[Count(over="7d"), Count(over="168h")]'), "'count_7d'", "FeatureView v", "name=..."),
    Mistake("a feature's name as a title", _view('[Count(over="7d", name="Orders, weekly")]'), "'Orders, weekly'", "Count", "orders_weekly"),
    Mistake("a column that is no text", _view('[Max(7, over="7d")]'), "7", "Max", 'Max("column"'),
    Mistake("a maximum of nothing", _view('[Max(over="7d")]'), "'column'", "", "Max"),
    Mistake("an attribute over a window", _view('[Attribute("channel", over="7d")]'), "'over'", "", "column"),
    Mistake("a count of a star", _view('[Count("*", over="7d")]'), "'*'", "FeatureView v", "known are"),
    Mistake("an entity by its name", 'v = FeatureView("v", "customer", orders, [Count(over="7d")])', "'customer'", "FeatureView v", "Entity"),
    Mistake("a source by its name", 'v = FeatureView("v", customer, "orders", [Count(over="7d")])', "'orders'", "FeatureView v", "EventSource"),
    Mistake("entity and source exchanged", 'v = FeatureView("v", orders, customer, [Count(over="7d")])', "EventSource orders", "FeatureView v", "Entity"),
    Mistake("a view's name as a title", 'v = FeatureView("My View", customer, orders, [Count(over="7d")])', "'My View'", "FeatureView", "my_view"),
    Mistake("a source without the join key", 'g = Entity("shop", join_key="shop_id")\nv = FeatureView("v", g, orders, [Count(over="7d")])  #!', "'shop_id'", "FeatureView v", "key=..."),
    Mistake("a join key of another type", 'g = Entity("c", join_key="customer_id", dtype=String)\nv = FeatureView("v", g, orders, [Count(over="7d")])  #!', "'customer_id'", "FeatureView v", "types"),
    Mistake("a key misspelt", _view(_COUNT, ', key="costumer_id"'), "'costumer_id'", "FeatureView v", "'customer_id'"),
    Mistake("a derived column without a type", _view(_COUNT, ', derive={"net": "amount * 2"}'), "derive['net']", "FeatureView v", "Derived("),
    Mistake("a derived column of a type as text", _view(_COUNT, ', derive={"net": Derived("amount", "float")}'), "'float'", "FeatureView v", "Float64"),
    Mistake("a derived column called as another", _view(_COUNT, ', derive={"amount": Derived("amount * 2", Float64)}'), "'amount'", "FeatureView v", "otherwise"),
    Mistake("a derived column called as a title", _view(_COUNT, ', derive={"Net Value": Derived("amount", Float64)}'), "'Net Value'", "FeatureView v derive", "net_value"),
    Mistake("derived columns in a list", _view(_COUNT, ', derive=["amount * 2"]'), "derive", "FeatureView v", "Derived("),
    Mistake("a column misspelt in SQL", _view(_COUNT, ', derive={"net": Derived("amont * 2", Float64)}'), "amont", "FeatureView v derive['net']", "amount"),
    Mistake("an aggregate in SQL", _view(_COUNT, ', derive={"net": Derived("sum(amount)", Float64)}'), "SUM(amount)", "FeatureView v derive['net']", "Sum"),
    Mistake("a sub-query", _view(_COUNT, ', derive={"net": Derived("(select 1)", Float64)}'), "(SELECT 1)", "FeatureView v derive['net']", "row"),
    Mistake("a window function", _view(_COUNT, ', derive={"net": Derived("lag(amount) over (order by at)", Float64)}'), "LAG(amount)", "FeatureView v derive['net']", "features="),
    Mistake("the clock in SQL", _view(_COUNT, ', derive={"age": Derived("date_diff(\'day\', at, now())", Int64)}'), "clock", "FeatureView v derive['age']", "timestamp columns"),
    Mistake("chance in SQL", _view(_COUNT, ', derive={"net": Derived("amount * random()", Float64)}'), "RANDOM()", "FeatureView v derive['net']", ""),
    Mistake("a file in SQL", _view(_COUNT, ", derive={\"net\": Derived(\"read_text('x')\", String)}"), "read_text", "FeatureView v derive['net']", "docs/defining-features.md"),
    Mistake("SQL that does not parse", _view(_COUNT, ', derive={"net": Derived("amount +* 2", Float64)}'), "'amount +* 2'", "FeatureView v derive['net']", "expression"),
    Mistake("a quote left open in SQL", _view(_COUNT, ", where=\"channel = 'app\""), "quote", "FeatureView v where", "expression"),
    Mistake("two statements in SQL", _view(_COUNT, ', derive={"net": Derived("amount; drop table orders", Float64)}'), "drop table", "FeatureView v derive['net']", "one"),
    Mistake("a function of the C library", _view(_COUNT, ', derive={"net": Derived("exp(amount)", Float64)}'), "EXP(amount)", "FeatureView v derive['net']", ""),
    Mistake("a comparison with NULL", _view(_COUNT, ', where="channel = NULL"'), "NULL", "FeatureView v where", "IS NULL"),
    Mistake("a condition that is none", _view(_COUNT, ', where="amount"'), "'amount'", "FeatureView v where", "compare"),
    Mistake("an empty condition", _view(_COUNT, ', where=" "'), "' '", "FeatureView v where", "SQL"),
    Mistake("a condition of Python's", _view(_COUNT, ", where=orders.schema['amount'] == 2"), "False", "FeatureView v where", "SQL"),
]  # fmt: skip


def _feature(
    signature: str, inputs: str = '[Request("x", Float64)]', body: str = "return x", dtype: str = "Float64"
) -> str:
    return f"@request_feature(inputs={inputs}, dtype={dtype})\ndef share({signature}):\n    {body}"


REQUEST_FEATURES = [
    Mistake("a parameter too many", _feature("x, y"), "(x, y)", "RequestFeature share", "one plain parameter per input"),
    Mistake("parameters in another order", _feature("y, x", '[Request("x", Float64), Request("y", Float64)]'), "(y, x)", "RequestFeature share", "order"),
    Mistake("a decorator that is not called", "@request_feature\ndef share(x):\n    return x", "request_feature", "", "inputs"),
    Mistake("a type left out", '@request_feature(inputs=[Request("x", Float64)])\ndef share(x):\n    return x', "'dtype'", "", "request_feature"),
    Mistake("no inputs", _feature("", "[]"), "inputs", "RequestFeature share", "list"),
    Mistake("an input by its name", _feature("x", '["x"]'), "'x'", "RequestFeature share", "Request"),
    Mistake("a request without a type", _feature("x", '[Request("x")]'), "'dtype'", "", "Request"),
    Mistake("a request of a type as text", _feature("x", '[Request("x", "float")]'), "'float'", "Request x", "Float64"),
    Mistake("a decimal input", _feature("x", '[Request("x", Decimal(2))]'), "decimal", "RequestFeature share", "Float64"),
    Mistake("a whole view as input", _feature("x", "[ordering]"), "FeatureView ordering", "RequestFeature share", 'view["name"]'),
    Mistake("chance in a function", _feature("x", body="import numpy as np; return x * np.random.rand(len(x))  #!"), "import", "RequestFeature share", ""),
    Mistake("an import in a function", _feature("x", body="import math; return x * math.pi  #!"), "import", "RequestFeature share", ""),
    Mistake("a file in a function", _feature("x", body="return x * float(open('w').read())"), "open", "RequestFeature share", ""),
]  # fmt: skip

SERVICES = [
    Mistake("a service of nothing", 's = FeatureService("s", [])', "features", "FeatureService s", "list"),
    Mistake("a feature by its name", 's = FeatureService("s", ["ordering.count_7d"])', "'ordering.count_7d'", "FeatureService s", 'view["feature"]'),
    Mistake("a view that stands in no list", 's = FeatureService("s", ordering)', "FeatureView ordering", "FeatureService s", "list"),
    Mistake("a feature taken twice", 's = FeatureService("s", [ordering, ordering["count_7d"]])', "'ordering.count_7d'", "FeatureService s", "once"),
    Mistake("a source in a service", 's = FeatureService("s", [orders])', "EventSource orders", "FeatureService s", "view"),
    Mistake("a policy that does not exist", 's = FeatureService("s", [ordering], missing="ignore")', "'ignore'", "FeatureService s", "null"),
    Mistake("defaults without the policy", 's = FeatureService("s", [ordering], defaults={"ordering.count_7d": 0})', "defaults", "FeatureService s", 'missing="default"'),
    Mistake("a default for nothing", 's = FeatureService("s", [ordering["count_7d"]], missing="default", defaults={"count_7d": 0})', "'count_7d'", "FeatureService s", "'ordering.count_7d'"),
    Mistake("a default left out", 's = FeatureService("s", [ordering["count_7d"]], missing="default")', "ordering.count_7d", "FeatureService s", "default"),
    Mistake("a default of another type", 's = FeatureService("s", [ordering["count_7d"]], missing="default", defaults={"ordering.count_7d": "none"})', "'none'", "FeatureService s", "whole number"),
    Mistake("two inputs of one name", 's = FeatureService("s", [Request("cart", Int64), cart_share])', "'cart'", "FeatureService s", "rename"),
]  # fmt: skip

LABELS = [
    Mistake("a label without a span", 'y = Label("y", Sum("amount"), of=ordering)', "'over'", "", "Label"),
    Mistake("a label with two spans", 'y = Label("y", Sum("amount", over="7d"), of=ordering, over="7d")', "Sum('amount'", "Label y", "leave its over out"),
    Mistake("a label of a column misspelt", 'y = Label("y", Sum("amont"), of=ordering, over="7d")', "'amont'", "Label y", "'amount'"),
    Mistake("a label of a source", 'y = Label("y", Sum("amount"), of=orders, over="7d")', "EventSource orders", "Label y", "FeatureView"),
    Mistake("a span in words", 'y = Label("y", Sum("amount"), of=ordering, over="1 week")', "'1 week'", "Label y", '"30d"'),
    Mistake("a lateness below zero", 'y = Label("y", Sum("amount"), of=ordering, over="7d", lateness="-1d")', "'-1d'", "Label y", '"30d"'),
    Mistake("an empty value for a count", 'y = Label("y", Count(), of=ordering, over="7d", empty=0)', "empty", "Label y", "leave it out"),
    Mistake("an empty value of another type", 'y = Label("y", Sum("amount"), of=ordering, over="7d", empty="none")', "'none'", "Label y", "number"),
    Mistake("a feature to exceed by its name", 'y = Label("y", Sum("amount"), of=ordering, over="7d", exceeds="amount_mean_28d")', "'amount_mean_28d'", "Label y", "exceeds=view"),
    Mistake("a text to exceed", 'y = Label("y", Sum("amount"), of=ordering, over="7d", exceeds=ordering["channel_last"])', "string", "Label y", "numbers"),
    Mistake("a label by an aggregate's name", 'y = Label("y", "sum", of=ordering, over="7d")', "'sum'", "Label y", "Sum"),
]  # fmt: skip

SETS = [
    Mistake("two entities of one name", 'e = Entity("customer", join_key="person_id")', "Entity customer", "", "rename"),
    Mistake("two views of one name", 'v = FeatureView("ordering", customer, orders, [Count(over="1d")])', "FeatureView ordering", "", "rename"),
]  # fmt: skip

FEATURES = [*PYTHON, *ENTITIES, *SOURCES, *VIEWS, *REQUEST_FEATURES, *SERVICES, *LABELS, *SETS]


def _model(**changes: str) -> str:
    whole = {
        "name": '"other"',
        "service": '"spend_inputs"',
        "label": '"next_week"',
        "train": "train",
        "owner": '"shop@example.org"',
    } | changes
    named = ", ".join(f"{name}={text}" for name, text in whole.items() if text)
    return f"other = Model({named})"


MODELS = [
    Mistake("a model without an owner", _model(owner=""), "'owner'", "", "Model"),
    Mistake("an owner without a name", _model(owner='" "'), "no owner", "Model other", "owner="),
    Mistake("a model's name as a title", _model(name='"Next Week"'), "'Next Week'", "Model", "next_week_spend"),
    Mistake("a service misspelt", _model(service='"spend_input"'), "'spend_input'", "Model other", "'spend_inputs'"),
    Mistake("a label misspelt", _model(label='"next_weak"'), "'next_weak'", "Model other", "'next_week'"),
    Mistake("a training function that is called", _model(train="None"), "train", "Model other", "without calling it"),
    Mistake("a training function misspelt", _model(train="trian"), "trian", "", "'train'"),
    Mistake("a model without a training function", _model(train=""), "'train'", "", "Model"),
    Mistake("a metric misspelt", _model(thresholds='[Threshold("rsme", at_most=1)]'), "'rsme'", "Model other", "'rmse'"),
    Mistake("thresholds as a dict", _model(thresholds='{"rmse": 1}'), "thresholds", "Model other", "Threshold("),
    Mistake("a threshold as a number", _model(thresholds="[0.7]"), "0.7", "Model other", "Threshold("),
    Mistake("a threshold without a bound", _model(thresholds='[Threshold("rmse")]'), "rmse", "", "at_most"),
    Mistake("a hold-out of all rows", _model(holdout_fraction="1.5"), "1.5", "Model other", "0.2"),
    Mistake("two hold-outs", _model(holdout_fraction="0.2", holdout_from='"2024-06-01T00:00:00Z"'), "both", "Model other", "one of them"),
    Mistake("a hold-out from yesterday", _model(holdout_from='"yesterday"'), "'yesterday'", "Model other", "2017-11-01"),
    Mistake("parameters that are no plain data", _model(parameters='{"loss": train}'), "parameters", "Model other", "list"),
    Mistake("an argument of a model misspelt", _model(owners='"x"'), "'owners'", "", "'owner'"),
    Mistake("two models of one name", _model(name='"spend"'), "'spend'", "", "name"),
    Mistake("a bracket of a model left open", "other = Model(", "never closed", "", "syntax"),
]  # fmt: skip

_ESTIMATOR = "from sklearn.linear_model import LinearRegression\n\n\ndef train(data):\n    "

TRAINING = [
    Mistake("a training function that fails", "def train(data):\n    return data.nmeric", "nmeric", "model spend", "training function"),
    Mistake("a training function that returns nothing", "def train(data):\n    data.inputs", "NoneType", "model spend", "return it"),
    Mistake("an estimator that is not fitted", _ESTIMATOR + "return LinearRegression()", "LinearRegression", "model spend", "fit it"),
    Mistake("an estimator of some columns alone", _ESTIMATOR + "return LinearRegression().fit(data.inputs.iloc[:, [1]], data.target)", "1 columns", "model spend", "ColumnTransformer"),
    Mistake("a training function of nothing", "def train():\n    return 1", "positional argument", "model spend", "training function"),
]  # fmt: skip
"""Other text for the training function alone; the error names the model, as it lies within its own code."""
