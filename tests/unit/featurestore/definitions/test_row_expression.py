import logging

import duckdb
import pytest

from featurestore.definitions import Bool, Decimal, Float64, Int64, String, Timestamp
from featurestore.definitions.row_expression import RowExpression, parse, parse_condition
from tests.unit.featurestore.definitions.retail import assert_refused

COLUMNS = {
    "value": Decimal(2), "Qty": Int64, "ts": Timestamp, "s": String, "ok": Bool, "x": Float64, "odd name": Int64,
}  # fmt: skip
ROWS = """SELECT * FROM (VALUES
    (12.34::DECIMAL(18,2), 3::BIGINT, '2017-03-05 23:59:59.5+00'::TIMESTAMPTZ, 'Käse, alt', true,
     1.5::DOUBLE, 7::BIGINT),
    (-0.01, 0, '1969-12-31 00:00:00+00', '', false, 'nan', -7),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (0, 9223372036854775807, '2020-02-29 12:00:00+00', '%a_', true, '-inf', 0)
) AS rows(value, "Qty", ts, s, ok, x, "odd name")"""

ALLOWED = [
    "value - 1", "value * 2 + Qty % 5", "Qty // 2", "value / 4", "-value", "abs(value)", "sign(value)", "@value",
    "sqrt(abs(Qty))", "floor(x)", "ceil(x)", "round(x, 1)", "trunc(x)", "round(value, 1)", "mod(Qty, 5)",
    "greatest(value, 1)", "least(Qty, \"odd name\")", "Qty & 3", "Qty | 3", "xor(Qty, 3)", "~Qty", "3 << 2", "64 >> 2",
    "bit_count(Qty)", "coalesce(value, 0)", "ifnull(value, 0)", "nullif(Qty, 0)", "if(ok, 1, 2)",
    "CASE WHEN ok THEN value ELSE 0 END", "CASE Qty WHEN 3 THEN 'three' END", "value > 1 AND NOT ok OR x < 2",
    "Qty = 3", "Qty <> 3", "Qty != 3", "value <= 0", "value >= 0", "Qty IS DISTINCT FROM 3",
    "Qty IS NOT DISTINCT FROM 3",
    "s IS NULL", "s IS NOT NULL", "ok IS TRUE", "Qty IN (1, 2, 3)", "Qty NOT IN (1, 2)", "Qty BETWEEN 1 AND 5",
    "s LIKE 'K%'", "s NOT LIKE 'K%'", "s ILIKE 'k%'", "s LIKE '!%a!_' ESCAPE '!'", "regexp_matches(s, '^K')",
    "starts_with(s, 'K')", "prefix(s, 'K')", "suffix(s, 't')", "ends_with(s, 't')", "contains(s, ',')", "isnan(x)",
    "isinf(x)", "isfinite(x)", "s || '!'", "concat(s, '!', Qty)", "lower(s)", "upper(s)", "trim(s)", "ltrim(s, 'K')",
    "rtrim(s, 't')", "length(s)", "strlen(s)", "left(s, 2)", "right(s, 2)", "substring(s, 2, 3)", "substr(s, 2)",
    "replace(s, 'a', 'b')", "reverse(s)", "lpad(s, 12, '.')", "rpad(s, 12, '.')", "split_part(s, ',', 1)",
    "strpos(s, 'a')", "instr(s, 'a')", "position('a' IN s)", "regexp_extract(s, '[a-z]+')",
    "regexp_extract(s, '(.)ä(.)', 2)", "regexp_replace(s, 'a', 'b')", "regexp_replace(s, '[a-z]', 'b', 'g')", "md5(s)",
    "sha256(s)", "extract(hour FROM ts)", "extract(dow FROM ts)", "date_part('month', ts)", "year(ts)", "quarter(ts)",
    "month(ts)", "week(ts)", "day(ts)", "dayofweek(ts)", "isodow(ts)", "dayofmonth(ts)", "dayofyear(ts)", "hour(ts)",
    "minute(ts)", "second(ts)", "dayname(ts)", "monthname(ts)", "date_trunc('day', ts)", "epoch(ts)", "epoch_us(ts)",
    "date_diff('day', TIMESTAMPTZ '2017-01-01 00:00:00+00', ts)", "ts + INTERVAL 1 DAY", "ts - INTERVAL '2 hours'",
    "ts > TIMESTAMPTZ '2018-01-01 00:00:00+00'", "hour(ts AT TIME ZONE 'Europe/Berlin')", "CAST(value AS INTEGER)",
    "ts::timestamp", "CAST(ts AS TIMESTAMP)", "CAST('2017-01-01' AS TIMESTAMP) < ts::timestamp", "ts::datetime",
    "TIMESTAMP '2017-01-01 00:00:00' - INTERVAL 1 DAY", "CAST(ts::timestamp AS DATE)", "TRY_CAST(s AS TIMESTAMP)",
    "value::DOUBLE", "TRY_CAST(s AS BIGINT)", "CAST(Qty AS VARCHAR)", "value::DECIMAL(9, 1)", "ts::DATE", "ok::INT",
    "TRUE", "1e3", "(value)", "\"odd name\" + 1", "QTY - 1", "value -- a comment", "/* another */ value",
]  # fmt: skip


@pytest.fixture(scope="module")
def database():
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE TABLE rows AS {ROWS}")
        yield connection


@pytest.mark.parametrize("text", ALLOWED)
def test_what_is_allowed_means_what_duckdb_takes_it_for(database, text: str) -> None:
    def answers(sql: str) -> list[tuple[str, str]]:
        # As text: fetching a TIMESTAMPTZ would need pytz.
        rows: list[tuple[str, str]] = database.sql(
            f"SELECT typeof(({sql}\n)), CAST(({sql}\n) AS VARCHAR) FROM rows"
        ).fetchall()
        return rows

    assert answers(parse(text, COLUMNS).sql) == answers(text)


@pytest.mark.parametrize("text", ALLOWED)
def test_the_normal_form_is_its_own_normal_form(text: str) -> None:
    once = parse(text, COLUMNS).sql
    assert parse(once, COLUMNS).sql == once


def test_names_the_columns_it_reads_as_the_schema_spells_them() -> None:
    parsed = parse("QTY + value * qty", COLUMNS)
    assert isinstance(parsed, RowExpression)
    assert parsed.columns == ("Qty", "value")
    assert parsed.sql == '"Qty" + "value" * "Qty"'


def test_layout_and_comments_are_no_part_of_the_normal_form() -> None:
    assert parse("value-1 /* less one */", COLUMNS).sql == parse("  VALUE  -\n 1 -- less", COLUMNS).sql
    assert parse("value - 1", COLUMNS).sql != parse("value - 2", COLUMNS).sql


@pytest.mark.parametrize(
    ("text", "what", "mend"),
    [
        ("valeu + 1", "unknown column 'valeu'", "did you mean 'value'?"),
        ('s = "Kiel"', "unknown column 'Kiel'", "text is written 'Kiel'"),
        ("t.value", "column 't.value' names a table", "write value"),
        ("(SELECT 1)", "is a sub-query", "one row only"),
        ("Qty IN (SELECT 1)", "is a sub-query", "one row only"),
        ("EXISTS (SELECT 1)", "is a sub-query", "one row only"),
        ("sum(value)", "needs more than one row", "features=[Sum(...)]"),
        ("count(*)", "needs more than one row", "features=[Sum(...)]"),
        ("max(value)", "needs more than one row", "greatest/least"),
        ("row_number() OVER ()", "needs more than one row", "features"),
        ("lag(value) OVER (ORDER BY ts)", "needs more than one row", "features"),
        ("now()", "asks the clock", "timestamp columns"),
        ("age(ts)", "asks the clock", "timestamp columns"),
        ("today()", "differs from one call to the next", "own columns"),
        ("current_timestamp", "differs from one call to the next", "own columns"),
        ("current_date", "differs from one call to the next", "own columns"),
        ("random()", "differs from one call to the next", "own columns"),
        ("uuid()", "differs from one call to the next", "own columns"),
        ("gen_random_uuid()", "differs from one call to the next", "own columns"),
        ("nextval('seq')", "function nextval is not allowed", "docs/defining-features.md"),
        ("getenv('HOME')", "function getenv is not allowed", "docs/defining-features.md"),
        ("current_setting('TimeZone')", "function current_setting is not allowed", "docs"),
        ("hash(s)", "function hash is not allowed", "docs/defining-features.md"),
        ("read_csv('x.csv')", "is not allowed", "docs/defining-features.md"),
        ("ln(x)", "differs between machines in its last bit", "request feature"),
        ("x ** 2", "differs between machines in its last bit", "request feature"),
        ("s COLLATE nocase = 'a'", "is not allowed", "docs/defining-features.md"),
        ("? + 1", "is not allowed", "docs/defining-features.md"),
        ("[value]", "is not allowed", "docs/defining-features.md"),
        ("unnest([1])", "is not allowed", "docs/defining-features.md"),
        ("s::JSON", "cast to JSON", "cast to a number"),
        ("value = NULL", "is never true", "IS NULL"),
        ("NULL <> value", "is never true", "IS NULL"),
        ("*", "'*' is not a value", "name the columns"),
        ("value;", "", ""),
        ("value; DROP TABLE x", "cannot parse", "one DuckDB SQL expression"),
        ("value; value", "is not one expression", "without ';'"),
        ("DROP TABLE x", "cannot parse", "one DuckDB SQL expression"),
        ("SELECT value", "cannot parse", "one DuckDB SQL expression"),
        ("value AS v", "cannot parse", "one DuckDB SQL expression"),
        ("value FROM rows", "cannot parse", "one DuckDB SQL expression"),
        ("value, Qty", "cannot parse", "one DuckDB SQL expression"),
        ("value >", "missing for GT, column 7", "one DuckDB SQL expression"),
        ("s = 'open", "a quote is not closed", "one DuckDB SQL expression"),
        ("-- only a comment", "is not one expression", "one expression"),
        ("", "'' is no expression", "value - refunded"),
        ("  ", "is no expression", "value - refunded"),
        (None, "None is no expression", "value - refunded"),
        ("(" * 5000 + "value" + ")" * 5000, "expression of 10005 characters", "below 10000"),
        ("(" * 2000 + "value" + ")" * 2000, "nested too deep", "one DuckDB SQL expression"),
        ("value" + "+1" * 200, "nested more than 100 deep", "IN (...)"),
    ],
)
def test_refused(text: str, what: str, mend: str) -> None:
    if not what:
        assert parse(text, COLUMNS, "here").sql == '"value"'
        return
    assert_refused(lambda: parse(text, COLUMNS, "FeatureView v"), "FeatureView v", what, mend)


@pytest.mark.parametrize(
    "text",
    [
        "Qty > 0", "ok", "NOT ok", "ok AND Qty > 0", "(Qty > 0) OR s IS NULL", "s LIKE 'a%'", "TRUE", "ok::BOOLEAN",
        "coalesce(ok, FALSE)", "CASE WHEN ok THEN Qty > 1 ELSE FALSE END", "if(ok, ok, NULL)", "isfinite(x)",
        "Qty::BOOLEAN",
    ],
)  # fmt: skip
def test_conditions(text: str) -> None:
    parse_condition(text, COLUMNS)


@pytest.mark.parametrize(
    "text",
    [
        "Qty", "value + 1", "'yes'", "1", "NOT Qty", "ok AND Qty", "coalesce(Qty, 0)", "CASE WHEN ok THEN 1 END",
        "s || 'x'", "NULL", "lower(s)", "epoch_us(ts)",
    ],
)  # fmt: skip
def test_what_is_no_condition(text: str) -> None:
    assert_refused(lambda: parse_condition(text, COLUMNS, "v where"), "v where", "is not a condition", "quantity > 0")


def test_refusals_log_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert_refused(lambda: parse("EXPLAIN value", COLUMNS, "v"), "v", "cannot parse", "one")
        assert_refused(lambda: parse("ALTER TABLE x ADD y", COLUMNS, "v"), "v", "cannot parse", "one")
    assert not caplog.records
