"""docs/python-api.md is executed, in the starter project, and what it says of the results holds."""

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[4] / "docs" / "python-api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_runs_in_a_project(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ready.folder)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block, names)
    with names["project"]:
        assert list(names["frame"].columns[:2]) == ["customer_id", "timestamp"]
        assert names["same"].table.column("next_week_amount").equals(names["rows"].table.column("next_week_amount"))
        assert names["same"].digest == names["rows"].digest
        assert names["again"].digest == names["rows"].digest
        assert names["from_file"].rows > 0
        assert (names["report"].rows, names["report"].sequence) == (1, 2)
        assert (names["written"].accepted, [reason[:2] for reason in names["reasons"]]) == (1, [(1, "/timestamp")])
        assert set(names["values"]) == {output.name for output in names["service"].outputs}
        assert {len(states) for states in names["states"].values()} == {2}


def test_every_block_is_found() -> None:
    assert len(BLOCKS) == PAGE.count("```python") == 6
