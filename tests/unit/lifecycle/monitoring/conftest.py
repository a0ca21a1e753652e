"""One shop for all tests of the audit, copied for each that logs something."""

import pytest

from featurestore.foundation.clock import DAY, HOUR
from tests.audited_project import NOW_US, Shop

TIMES = [NOW_US - 2 * DAY + number * 3 * HOUR + 17 for number in range(14)]
"""Instants at which a shop serves all its customers: 14 times 22 predictions of 8 values each."""
KEYS = range(22)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return Shop(tmp_path_factory.mktemp("shop") / "made")


@pytest.fixture
def shop(made, tmp_path):
    """A shop of one's own that has served nothing yet."""
    return made.copied(tmp_path / "shop")
