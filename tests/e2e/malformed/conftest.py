"""One shop and one gateway for all malformed inputs."""

from collections.abc import Iterator

import pytest

from tests.e2e.malformed.shop import Shop, make_shop, serving


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A project that has all a project can have, from definitions to a promoted model."""
    return make_shop(tmp_path_factory.mktemp("malformed") / "shop")


@pytest.fixture(scope="session")
def served(shop: Shop) -> Iterator[Shop]:
    """The same, served by a process of its own."""
    with serving(shop) as running:
        yield running
