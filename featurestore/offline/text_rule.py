"""Columns of a text file as columns of a declared type."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.offline.column_rule import Quick, Rule, all_true, cast_to
from featurestore.offline.instant_rule import instants_or_none, local_or_none
from featurestore.offline.text_value import FLOAT, INSTANT, LOCAL, PLAIN_NUMBER, WHOLE, Unfit, parse_text, shown
from featurestore.semantics.arrow_column import arrow_type
from featurestore.semantics.value import DType

_PATTERNS = {
    "int64": WHOLE,
    "float64": FLOAT,
    "float32": FLOAT,
    "decimal": PLAIN_NUMBER,
    "bool": "^(?i:true|false|0|1)$",
}


def text_rule(dtype: DType, zone: str | None) -> Rule:
    """Return how bytes of a text file are read as ``dtype``; instants without a zone are read in ``zone``."""

    def slow(raw: bytes) -> Any:
        return parse_text(_decoded(raw), dtype, zone)

    return Rule(_finite(_quick(dtype, zone)) if dtype.floating else _quick(dtype, zone), slow)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Unfit(f"{shown(raw)} is not UTF-8") from None


def _quick(dtype: DType, zone: str | None) -> Quick:
    def quick(raw: pa.Array) -> pa.Array | None:
        texts = cast_to(pa.string())(raw)
        if texts is None or dtype.name == "string":
            return texts
        if dtype.name == "timestamp":
            return _moments(texts, zone)
        return cast_to(arrow_type(dtype))(texts) if _all_match(texts, _PATTERNS[dtype.name]) else None

    return quick


def _finite(quick: Quick) -> Quick:
    """Leave infinities to the slow reading, which tells those that were written from those that overflowed."""

    def finite(raw: pa.Array) -> pa.Array | None:
        floats = quick(raw)
        return None if floats is None or pc.any(pc.is_inf(floats)).as_py() else floats

    return finite


def _moments(texts: pa.Array, zone: str | None) -> pa.Array | None:
    if _all_match(texts, INSTANT):
        return instants_or_none(texts)
    return local_or_none(texts, zone) if zone is not None and _all_match(texts, LOCAL) else None


def _all_match(texts: pa.Array, pattern: str) -> bool:
    return all_true(pc.match_substring_regex(texts, pattern))
