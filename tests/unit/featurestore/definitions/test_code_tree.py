import ast

import pytest

from featurestore.definitions.code_tree import definition_tree, plain_definition


def definition(text: str) -> ast.FunctionDef:
    tree = ast.parse(text).body[0]
    assert isinstance(tree, ast.FunctionDef)
    return tree


def doubled(values: list[int]) -> list[int]:
    return list(map(abs, values)) * 2


def test_a_function_is_found_by_its_code() -> None:
    found = definition_tree(doubled.__code__)
    assert found is not None
    assert found.name == "doubled"


def test_code_that_its_file_does_not_hold_has_no_tree() -> None:
    code = doubled.__code__
    assert definition_tree(code.replace(co_filename="/nowhere.py")) is None
    assert definition_tree(code.replace(co_names=("list", "map", "len"))) is None
    assert definition_tree(code.replace(co_firstlineno=code.co_firstlineno + 1)) is None


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("def f(a): return a", "@dec\ndef f(a: int) -> int:\n    'Say.'\n    return (a)  # so", True),
        (
            "def f(a):\n    def g(): return 1\n    return g",
            "def f(a):\n    @dec\n    def g(): return 1\n    return g",
            False,
        ),
        ("def f(a): return 1", "def f(a): return True", False),
        ("def f(a): return 1", "def f(a): return 1.0", False),
        ("def f(a): return 'x'", "def f(a): return b'x'", False),
        ("def f(a): return f'{a:>{2}}'", "def f(a): return f'{a:>{3}}'", False),
        ("def f(a): return None", "def f(a): return", False),
    ],
)
def test_plain_definitions(left: str, right: str, same: bool) -> None:
    assert (plain_definition(definition(left)) == plain_definition(definition(right))) is same


def test_an_empty_text_that_python_3_12_ends_a_format_with_is_no_part() -> None:
    older, newer = definition("def f(a): return f'{a:>{2}}'"), definition("def f(a): return f'{a:>{2}}'")
    formats = [node for node in ast.walk(newer) if isinstance(node, ast.JoinedStr)]
    formats[-1].values = [part for part in formats[-1].values if not isinstance(part, ast.Constant) or part.value]
    formats[-1].values.append(ast.Constant(""))
    assert plain_definition(newer) == plain_definition(older)
