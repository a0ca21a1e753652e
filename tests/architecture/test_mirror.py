"""Unit tests stand where a reader looks for them."""

from tests.architecture.linting import REPOSITORY, STOREYS


def test_each_unit_test_stands_at_the_mirrored_path_of_a_module():
    unit = REPOSITORY / "tests" / "unit"
    strays = []
    for storey in STOREYS:
        for test in sorted((unit / storey).rglob("test_*.py")):
            subject = REPOSITORY / test.parent.relative_to(unit) / test.stem.removeprefix("test_")
            if not (subject.with_suffix(".py").exists() or subject.is_dir()):
                strays.append(str(test.relative_to(unit)))
    assert strays == []
