"""Unit tests stand where a reader looks for them."""

from tests.architecture.linting import REPOSITORY, STOREYS


def test_each_folder_of_unit_tests_mirrors_a_package():
    """A file is named for its module, or for what several modules of the package do together."""
    unit = REPOSITORY / "tests" / "unit"
    folders = {test.parent.relative_to(unit) for test in unit.rglob("test_*.py") if test.parent != unit}
    assert [str(folder) for folder in folders if not (REPOSITORY / folder / "__init__.py").exists()] == []


def test_each_top_level_folder_of_unit_tests_is_a_storey():
    assert {path.parent.name for path in (REPOSITORY / "tests" / "unit").glob("*/*")} <= {*STOREYS, "__pycache__"}
