"""The code of a function as plain data: its syntax tree, the same under every Python version that can parse it."""

from __future__ import annotations
import __future__

import ast
import linecache
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any

_FUTURE_ANNOTATIONS = __future__.annotations.compiler_flag
_LEFT_OUT = frozenset({"annotation", "returns", "type_comment", "kind", "type_params", "ctx"})


def definition_tree(code: CodeType) -> ast.FunctionDef | None:
    """Return the ``def`` that a code object was compiled from; ``None`` if its file does not, or no longer, hold it."""
    text = "".join(linecache.getlines(code.co_filename))
    try:
        module, compiled = _read(text, code.co_flags & _FUTURE_ANNOTATIONS)
    except SyntaxError:
        return None
    if not any(_shape(found) == _shape(code) for found in _codes_in(compiled) if _place(found) == _place(code)):
        return None
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
    return None


@lru_cache(maxsize=16)
def _read(text: str, flags: int) -> tuple[ast.Module, CodeType]:
    return ast.parse(text), compile(text, "<project>", "exec", flags, dont_inherit=True)


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes_in(constant)


def _place(code: CodeType) -> tuple[str, int]:
    return code.co_name, code.co_firstlineno


def _shape(code: CodeType) -> Any:
    """Return what a code object does, without where it stands."""
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return code.co_code, names, [_constant_shape(constant) for constant in code.co_consts]


def _constant_shape(constant: Any) -> Any:
    if isinstance(constant, CodeType):
        return _shape(constant)
    return sorted(map(repr, constant)) if isinstance(constant, frozenset) else repr(constant)


def plain_definition(tree: ast.FunctionDef) -> Any:
    """Return a ``def`` as nested lists, without positions, docstrings, annotations and its own decorators."""
    bare = ast.FunctionDef(**{**dict(ast.iter_fields(tree)), "decorator_list": []})
    return _plain(bare)


def _plain(node: Any) -> Any:
    if isinstance(node, ast.AST):
        fields = [[name, _plain(_kept(node, name, value))] for name, value in ast.iter_fields(node)]
        return [type(node).__name__, [[name, value] for name, value in fields if value not in (None, [])]]
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if node is None or isinstance(node, (str, bool)):
        return node
    return [type(node).__name__, repr(node)]


def _kept(node: ast.AST, name: str, value: Any) -> Any:
    if name in _LEFT_OUT:
        return None
    if name == "value" and isinstance(node, ast.Constant) and not isinstance(value, bool) and value is not None:
        return [type(value).__name__, repr(value)]
    if name == "body" and isinstance(node, ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
        return value[1:]
    if name == "values" and isinstance(node, ast.JoinedStr):
        # Python 3.12 ends some format specifications with an empty text.
        return [part for part in value if not (isinstance(part, ast.Constant) and part.value == "")]
    return value
