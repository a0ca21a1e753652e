"""docs/defining-features.md is executed, and lists what the code allows."""

import re
from pathlib import Path

import pytest

from featurestore.catalog import load_definitions
from featurestore.definitions import Float64, Int64, String, Timestamp
from featurestore.definitions.row_expression import parse

PAGE = Path(__file__).parents[4] / "docs" / "defining-features.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
COLUMNS = {"n": Int64, "x": Float64, "s": String, "ts": Timestamp}
ARGUMENTS = {
    "round": "x, 1", "mod": "n, 2", "concat": "s, s", "left": "s, 1", "right": "s, 1", "substring": "s, 1, 1",
    "replace": "s, 'a', 'b'", "lpad": "s, 2, ' '", "rpad": "s, 2, ' '", "split_part": "s, ',', 1", "if": "n > 1, 1, 2",
    "nullif": "n, 1", "date_part": "'day', ts", "date_trunc": "'day', ts", "date_diff": "'day', ts, ts",
    "regexp_replace": "s, 'a', 'b'",
}  # fmt: skip
PAIRS = ["strpos", "contains", "starts_with", "ends_with", "prefix", "suffix", "regexp_matches", "regexp_extract"]


TEXTUAL = ["lower", "upper", "trim", "ltrim", "rtrim", "length", "strlen", "reverse", "md5", "sha256"]
TEMPORAL = [
    "epoch", "epoch_us", "year", "quarter", "month", "week", "day", "hour", "minute", "second", "dayofweek",
    "isodow", "dayofmonth", "dayofyear", "dayname", "monthname",
]  # fmt: skip


def test_the_page_is_a_project(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text("\n".join(BLOCKS), encoding="utf-8")
    found = load_definitions(tmp_path / "features.py")
    assert set(found.views) == {"household_spending", "household_profile"}
    assert set(found.labels) == {"spend_next_7d", "more_than_usual"}


def listed_functions() -> list[str]:
    section = PAGE.read_text(encoding="utf-8").split("### Row expressions")[1].split("Refused are")[0]
    words = " ".join(re.findall(r"`([^`]*)`", section.partition("- ")[2])).split()
    return sorted({word for word in words if re.fullmatch(r"[a-z][a-z_0-9]+", word)} - {"extract", "xor"})


@pytest.mark.parametrize("name", listed_functions())
def test_every_listed_function_is_allowed(name: str) -> None:
    first = "ts" if name in TEMPORAL else "s" if name in TEXTUAL else "x"
    arguments = ARGUMENTS.get(name) or ("s, 'a'" if name in PAIRS else first)
    parse(f"{name}({arguments})", COLUMNS)


def test_the_list_is_not_empty() -> None:
    assert len(listed_functions()) > 50
    assert len(BLOCKS) >= 7
