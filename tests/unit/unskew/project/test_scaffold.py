"""`unskew init`: a project where there is room, nothing where there is not."""

import pytest

from tests.unit.unskew.conftest import unskew
from unskew.errors import ProjectExists
from unskew.project.scaffold import make_project


def test_the_project_is_called_after_its_folder(tmp_path):
    make_project(tmp_path / "My shop!")
    assert 'name = "My-shop"' in (tmp_path / "My shop!" / "unskew.toml").read_text()


def test_an_empty_folder_will_do(tmp_path):
    assert make_project(tmp_path)


def test_two_projects_hold_the_same_data(tmp_path):
    for name in ("one", "two"):
        make_project(tmp_path / name)
    for data in ("orders.csv", "spine.parquet"):
        assert (tmp_path / "one" / "data" / data).read_bytes() == (tmp_path / "two" / "data" / data).read_bytes()


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ProjectExists, match="is not empty"):
        make_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_its_place_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    assert "is a file" in unskew("init", tmp_path / "mine", "--json").error()["what"]
    assert (tmp_path / "mine").read_text() == "mine"
