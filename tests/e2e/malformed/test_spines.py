"""Spines that do not fit: `unskew training-set build` names column, row and a mend, and keeps no record."""

from pathlib import Path

import pytest

from tests.e2e.malformed.shop import Shop
from tests.e2e.malformed.spine_cases import SPINES, BadSpine
from tests.e2e.malformed.told import refused


@pytest.mark.parametrize("bad", SPINES, ids=lambda bad: bad.name.replace(" ", "-"))
def test_spines(shop: Shop, tmp_path: Path, bad: BadSpine) -> None:
    rows = tmp_path / "rows.parquet"
    command = ("training-set", "build", "--spine", str(bad.make(tmp_path)), "--output", str(rows), *bad.arguments)
    refused(shop, *command, thing=bad.thing, place=bad.place, mend=bad.mend)
    assert not rows.exists()
