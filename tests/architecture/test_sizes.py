"""The figures that CONTRIBUTING.md sets for files and functions."""

import ast
import statistics

from tests.architecture.linting import REPOSITORY, STOREYS

FUNCTION_MEDIAN, FUNCTION_P95, FUNCTION_MOST = 8, 35, 50
FILE_P95, FILE_MOST = 350, 450


def sources():
    return [path for storey in STOREYS for path in sorted((REPOSITORY / storey).rglob("*.py"))]


def function_sizes():
    """Lines of each function's body without its docstring, largest first, with its place."""
    sizes = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                sizes.append((lines, f"{path.relative_to(REPOSITORY)}:{node.name}"))
    return sorted(sizes, reverse=True)


def file_sizes():
    """Lines of each file that has any, largest first, with its place."""
    counted = [(len(path.read_text().splitlines()), str(path.relative_to(REPOSITORY))) for path in sources()]
    return sorted((size for size in counted if size[0] > 1), reverse=True)


def p95(sizes):
    return statistics.quantiles([size for size, _ in sizes], n=20)[-1]


def test_functions_are_small():
    sizes = function_sizes()
    assert sizes[0][0] <= FUNCTION_MOST, [size for size in sizes if size[0] > FUNCTION_MOST]
    assert p95(sizes) <= FUNCTION_P95, sizes[:10]
    assert statistics.median(size for size, _ in sizes) <= FUNCTION_MEDIAN


def test_files_are_small():
    sizes = file_sizes()
    assert sizes[0][0] <= FILE_MOST, [size for size in sizes if size[0] > FILE_MOST]
    assert p95(sizes) <= FILE_P95, sizes[:10]
