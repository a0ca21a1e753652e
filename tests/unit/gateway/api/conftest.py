import pytest

from tests.serving_project import LocalGateway, stocked_project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = stocked_project(tmp_path_factory.mktemp("project"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(project):
    with LocalGateway(project) as made:
        yield made
