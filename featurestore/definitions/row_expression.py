"""SQL over the columns of one row: what a view derives, and which rows it takes.

The dialect is DuckDB's, the grammar a whitelist: operators and functions whose result depends on the row alone, the
same on every machine. What asks the clock, a random source, a file, another row or the C library's ``exp`` is refused.
Timestamps are ``TIMESTAMP WITH TIME ZONE`` and the session's zone is UTC. NULL means what it means in SQL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, SqlglotError

from featurestore.definitions.definition import nearest
from featurestore.foundation.errors import DefinitionError
from featurestore.semantics.value import Bool, DType

DIALECT = "duckdb"
LONGEST_EXPRESSION = 10_000
DEEPEST_EXPRESSION = 100

_LOGIC: tuple[type[exp.Expr], ...] = (
    exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ,
    exp.Is, exp.In, exp.Between, exp.Like, exp.ILike, exp.RegexpLike, exp.StartsWith, exp.EndsWith, exp.Contains,
    exp.IsNan, exp.IsInf, exp.Boolean,
)  # fmt: skip
_ARITHMETIC: tuple[type[exp.Expr], ...] = (
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.Abs, exp.Sign, exp.Sqrt, exp.Floor, exp.Ceil,
    exp.Round, exp.Trunc, exp.Greatest, exp.Least, exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot,
    exp.BitwiseLeftShift, exp.BitwiseRightShift,
)  # fmt: skip
_TEXT: tuple[type[exp.Expr], ...] = (
    exp.DPipe, exp.Concat, exp.Lower, exp.Upper, exp.Trim, exp.Length, exp.Left, exp.Right, exp.Substring, exp.Replace,
    exp.Reverse, exp.Pad, exp.SplitPart, exp.StrPosition, exp.RegexpExtract, exp.RegexpReplace, exp.MD5, exp.SHA2,
)  # fmt: skip
_TIME: tuple[type[exp.Expr], ...] = (
    exp.Extract, exp.TimestampTrunc, exp.DateTrunc, exp.DateDiff, exp.TimeToUnix, exp.Interval, exp.AtTimeZone,
    exp.Year, exp.Quarter, exp.Month, exp.Week, exp.Day, exp.DayOfWeek, exp.DayOfWeekIso, exp.DayOfMonth,
    exp.DayOfYear, exp.Hour, exp.Minute, exp.Second, exp.Dayname, exp.Monthname,
)  # fmt: skip
_GRAMMAR: tuple[type[exp.Expr], ...] = (
    exp.Column, exp.Identifier, exp.Literal, exp.Null, exp.Paren, exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Cast,
    exp.TryCast, exp.DataType, exp.DataTypeParam, exp.Var, exp.Tuple, exp.Escape,
)  # fmt: skip
_ALLOWED = frozenset((*_LOGIC, *_ARITHMETIC, *_TEXT, *_TIME, *_GRAMMAR))
_BOOLEAN_FUNCTIONS = frozenset({"isfinite", "prefix", "suffix"})
_ALLOWED_BY_NAME = _BOOLEAN_FUNCTIONS | {"epoch_us", "date_part", "strlen", "bit_count"}
_CAST_TARGETS = frozenset({
    "TINYINT", "SMALLINT", "INT", "BIGINT", "UTINYINT", "USMALLINT", "UINT", "UBIGINT", "INT128", "FLOAT", "DOUBLE",
    "DECIMAL", "BOOLEAN", "VARCHAR", "TEXT", "DATE", "TIMESTAMP", "TIMESTAMPNTZ", "TIMESTAMPTZ",
    "INTERVAL",
})  # fmt: skip
_CLOCKS = frozenset({"now", "today", "get_current_timestamp", "get_current_time", "age", "transaction_timestamp"})
_LIBM = (exp.Exp, exp.Ln, exp.Log, exp.Pow, exp.Sin, exp.Cos, exp.Tan, exp.Atan, exp.Asin, exp.Acos, exp.Cbrt)


@dataclass(frozen=True, eq=False)
class RowExpression:
    """A checked expression.

    Attributes
    ----------
    tree
        The sqlglot tree; columns are quoted and spelt as in the schema. Copy it before changing it.
    sql
        The tree as DuckDB SQL without comments: equal for expressions that differ in layout alone; digests use it.
    columns
        The columns it reads, sorted.
    """

    tree: exp.Expr
    sql: str
    columns: tuple[str, ...]


def parse(text: str, columns: Mapping[str, DType], where: str = "row expression") -> RowExpression:
    """Parse and check one expression over a row of ``columns``.

    Raises
    ------
    DefinitionError
        If it cannot be parsed, is more than one expression, names another column, or uses what is not allowed.
    """
    tree = _parsed(text, where)
    _check_depth(tree, where)
    for node in tree.walk():
        _check_node(node, where)
    used = tuple(sorted({_resolved(node, columns, where) for node in tree.find_all(exp.Column)}))
    return RowExpression(tree, tree.sql(dialect=DIALECT, comments=False), used)


def parse_condition(text: str, columns: Mapping[str, DType], where: str = "row condition") -> RowExpression:
    """Parse and check an expression that must be true or false, as ``where`` needs."""
    parsed = parse(text, columns, where)
    if not _looks_boolean(parsed.tree, columns):
        raise DefinitionError(
            f"{text!r} is not a condition", where=where, mend='compare it with something, as in "quantity > 0"'
        )
    return parsed


def _parsed(text: str, where: str) -> exp.Expr:
    if not isinstance(text, str) or not text.strip():
        raise DefinitionError(
            f"{text!r} is no expression", where=where, mend='write SQL over one row, as in "value - refunded"'
        )
    if len(text) > LONGEST_EXPRESSION:
        raise DefinitionError(
            f"expression of {len(text)} characters", where=where, mend=f"keep it below {LONGEST_EXPRESSION}"
        )
    dialect = Dialect.get_or_raise(DIALECT)
    try:
        trees = dialect.parser().parse_into(exp.Condition, dialect.tokenize(text), text)
    except (SqlglotError, RecursionError) as error:
        mend = "write one DuckDB SQL expression"
        raise DefinitionError(f"cannot parse {text!r}: {_reason(error)}", where=where, mend=mend) from None
    if len(trees) != 1 or trees[0] is None:
        raise DefinitionError(f"{text!r} is not one expression", where=where, mend="write one expression without ';'")
    return trees[0]


def _reason(error: SqlglotError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, ParseError) and error.errors:
        first = error.errors[0]
        plain = re.sub(r"<class '[\w.]*\.(\w+)'>", r"\1", str(first["description"]))
        return f"{plain.rstrip('.')}, column {first['col']}"
    return "a quote is not closed"


def _check_depth(tree: exp.Expr, where: str) -> None:
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > DEEPEST_EXPRESSION:
            raise DefinitionError(
                f"expression nested more than {DEEPEST_EXPRESSION} deep",
                where=where,
                mend="split it up, or use IN (...)",
            )
        level = [child for node in level for child in node.iter_expressions()]


def _check_node(node: exp.Expr, where: str) -> None:
    if isinstance(node, exp.Anonymous):
        _check_function_name(str(node.this), where)
    elif type(node) not in _ALLOWED:
        raise _refused(node, where)
    if isinstance(node, exp.DataType) and node.this.value not in _CAST_TARGETS:
        raise DefinitionError(
            f"cast to {node.sql(dialect=DIALECT)}",
            where=where,
            mend="cast to a number, BOOLEAN, VARCHAR, DATE or TIMESTAMP",
        )
    if isinstance(node, (exp.EQ, exp.NEQ)) and any(isinstance(side, exp.Null) for side in (node.left, node.right)):
        raise DefinitionError(
            f"{node.sql(dialect=DIALECT)!r} is never true", where=where, mend="write IS NULL or IS NOT NULL"
        )


def _check_function_name(name: str, where: str) -> None:
    if name.lower() in _ALLOWED_BY_NAME:
        return
    if name.lower() in _CLOCKS:
        raise DefinitionError(
            f"function {name} asks the clock", where=where, mend="use the row's own timestamp columns"
        )
    raise DefinitionError(
        f"function {name} is not allowed in a row expression",
        where=where,
        mend="see the list in docs/defining-features.md",
    )


def _refused(node: exp.Expr, where: str) -> DefinitionError:
    shown = node.sql(dialect=DIALECT)
    if isinstance(node, (exp.Query, exp.Subquery, exp.Exists)):
        return DefinitionError(f"{shown!r} is a sub-query", where=where, mend="use the columns of one row only")
    if isinstance(node, (exp.AggFunc, exp.Window)):
        return DefinitionError(
            f"{shown!r} needs more than one row",
            where=where,
            mend="aggregate with features=[Sum(...)], or use greatest/least",
        )
    if isinstance(node, _LIBM):
        return DefinitionError(
            f"{shown!r} differs between machines in its last bit",
            where=where,
            mend="compute it in a request feature or in the model's graph",
        )
    if isinstance(node, exp.Star):
        return DefinitionError("'*' is not a value", where=where, mend="name the columns")
    if type(node).__name__.startswith(("Current", "Rand", "Uuid", "Local")):
        return DefinitionError(
            f"{shown!r} differs from one call to the next",
            where=where,
            mend="use the row's own columns, such as its timestamp",
        )
    return DefinitionError(
        f"{shown!r} is not allowed in a row expression", where=where, mend="see the list in docs/defining-features.md"
    )


def _resolved(node: exp.Column, columns: Mapping[str, DType], where: str) -> str:
    """Return the schema's spelling of a column, and spell the node so."""
    if node.table:
        raise DefinitionError(
            f"column {node.sql(dialect=DIALECT)!r} names a table", where=where, mend=f"write {node.name}"
        )
    folded = {name.lower(): name for name in columns}
    name = folded.get(node.name.lower())
    if name is None:
        quoted = isinstance(node.this, exp.Identifier) and node.this.quoted
        hint = f"; text is written '{node.name}'" if quoted else ""
        raise DefinitionError(f"unknown column {node.name!r}", where=where, mend=nearest(node.name, columns) + hint)
    node.set("this", exp.to_identifier(name, quoted=True))
    return name


def _looks_boolean(tree: exp.Expr, columns: Mapping[str, DType]) -> bool:
    if isinstance(tree, exp.Paren):
        return _looks_boolean(tree.this, columns)
    if isinstance(tree, (exp.And, exp.Or)):
        return _looks_boolean(tree.left, columns) and _looks_boolean(tree.right, columns)
    if isinstance(tree, exp.Not):
        return _looks_boolean(tree.this, columns)
    if isinstance(tree, exp.Column):
        return columns[tree.name] == Bool
    if isinstance(tree, (exp.Cast, exp.TryCast)):
        return bool(tree.to.this is exp.DataType.Type.BOOLEAN)
    if isinstance(tree, exp.Coalesce):
        return all(_looks_boolean(part, columns) for part in (tree.this, *tree.expressions))
    if isinstance(tree, (exp.Case, exp.If)):
        return all(_looks_boolean(branch, columns) for branch in _branches(tree))
    if isinstance(tree, exp.Anonymous):
        return str(tree.this).lower() in _BOOLEAN_FUNCTIONS
    return isinstance(tree, _LOGIC)


def _branches(tree: exp.Expr) -> list[exp.Expr]:
    """Return what a CASE or IF may give."""
    given = [tree.args.get("true"), tree.args.get("false"), tree.args.get("default")]
    given += [branch.args.get("true") for branch in tree.args.get("ifs") or ()]
    return [part for part in given if part is not None and not isinstance(part, exp.Null)]
