import pytest

from tests.serving_project import stocked_project


@pytest.fixture
def project(tmp_path):
    made = stocked_project(tmp_path)
    yield made
    made.close()
