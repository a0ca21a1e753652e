"""docs/prediction-log.md lists the columns and codes that files have, and its queries read two versions."""

import inspect
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

from featurestore.semantics.status import Status
from gateway.predictionlog.columns import _FIXED, _GROUPS
from gateway.predictionlog.compaction import compact
from gateway.predictionlog.writer import PredictionLog
from tests.unit.gateway.predictionlog.conftest import MakeBatch

PAGE = (Path(__file__).parents[4] / "docs" / "prediction-log.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_every_column_and_code_is_listed() -> None:
    names = [*_FIXED, "worker", "sequence"]
    assert [name for name in names if f"`{name}`" not in PAGE] == []
    assert [prefix for prefix, _, _ in _GROUPS if f"`{prefix}<" not in PAGE] == []
    assert [status for status in Status if f"| {status.value} | `{status.name.lower()}` |" not in PAGE] == []
    capacity = inspect.signature(PredictionLog).parameters["capacity_rows"].default
    assert f"{capacity:,} waiting rows" in PAGE


def test_the_queries_read_versions_of_other_columns(
    tmp_path: Path, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with PredictionLog(Path(".unskew/predictions")) as log:
        log.append(make_batch(0, 2, version=1, features={}, statuses={}))
        log.append(make_batch(2, 3, version=2))
    compact(Path(".unskew/predictions"))
    assert duckdb.connect().execute(block("sql")).fetchall() == [(1, "champion", 2), (2, "champion", 3)]
    names: dict[str, Any] = {}
    exec(block("python"), names)
    assert len(names["frame"]) == 5
    assert names["frame"]["feature.spending.sum"].isna().sum() == 2
