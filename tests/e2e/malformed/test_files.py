"""Files that do not fit: `unskew import` names file, row, column and a mend, and takes nothing in."""

from pathlib import Path

import pytest

from tests.e2e.malformed.file_cases import FILES, BadFile
from tests.e2e.malformed.shop import Shop
from tests.e2e.malformed.told import refused


@pytest.mark.parametrize("bad", FILES, ids=lambda bad: bad.name.replace(" ", "-"))
def test_files(shop: Shop, tmp_path: Path, bad: BadFile) -> None:
    path = bad.make(tmp_path)
    refused(shop, "import", bad.source, str(path), thing=bad.thing, place=bad.place, mend=bad.mend)
