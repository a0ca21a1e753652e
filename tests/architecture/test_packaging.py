"""The wheel holds the four storeys, their data and the example projects, and nothing else."""

import subprocess
import sys
import zipfile

import pytest

from tests.architecture.linting import REPOSITORY, STOREYS, tracked


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The names inside the wheel that this tree makes."""
    target = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True, timeout=120)
    (wheel,) = target.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_every_tracked_file_of_the_storeys_is_packed(packed):
    assert tracked(*STOREYS) - packed == set()


def test_each_storey_says_that_it_is_typed(packed):
    assert {f"{storey}/py.typed" for storey in STOREYS} <= packed


def test_example_projects_are_packed_below_unskew(packed):
    assert {f"unskew/{name}" for name in tracked("examples")} <= packed


def test_nothing_else_is_packed(packed):
    assert {name.split("/")[0] for name in packed} - set(STOREYS) == {"unskew-0.1.0.dist-info"}
