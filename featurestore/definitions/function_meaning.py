"""What a function means: its code without comments, and all that the code refers to in the project, as plain data.

Two functions with one meaning compute the same; comments, docstrings, type annotations and layout are no part of it.
Project functions and constants that the code refers to are followed; of installed libraries only the names are kept.
What cannot be pinned down so is refused: state that changes, clocks, random numbers, files.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from featurestore.foundation.canonical import bytes_digest
from featurestore.foundation.errors import DefinitionError

_IMPURE_MODULES = frozenset({
    "_io", "asyncio", "ctypes", "gc", "http", "importlib", "inspect", "io", "os", "pathlib", "random", "requests",
    "secrets", "socket", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid",
})  # fmt: skip
_IMPURE_BUILTINS = frozenset({
    "__import__", "breakpoint", "compile", "delattr", "eval", "exec", "globals", "hash", "id", "input", "locals",
    "object", "open", "print", "setattr", "vars",
})  # fmt: skip
_IMPURE_PARTS = ("numpy.random", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today")
_MORE_THAN_INPUTS = "which depends on more than the inputs"
_PURE_DATA = (bool, int, float, complex, str, bytes)
_LIBRARY_FOLDERS = tuple(
    {Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def function_meaning(function: FunctionType | Any, where: str) -> dict[str, Any]:
    """Return the meaning of a function as plain data.

    Parameters
    ----------
    function
        A plain function written with ``def`` in a file.
    where
        What errors name as the place.

    Raises
    ------
    DefinitionError
        If the function, or something it refers to, has no meaning that can be pinned down.
    """
    reader = _Reader(where)
    entry = reader.follow_function(function)
    return {"entry": entry, "functions": dict(sorted(reader.functions.items()))}


class _Reader:
    """Collects functions by a name that does not depend on where the project lies."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.functions: dict[str, Any] = {}

    def follow_function(self, function: FunctionType) -> str:
        """Add a function with all it refers to; return the name it is kept under."""
        tree = self._tree(function)
        name = f"{function.__qualname__}:{bytes_digest(repr(plain_tree(tree)).encode())[:16]}"
        if name not in self.functions:
            entry: dict[str, Any] = {"code": plain_tree(tree)}
            self.functions[name] = entry
            entry["defaults"] = self._value((function.__defaults__, function.__kwdefaults__), "a default")
            entry["refers_to"] = self._references(function, tree)
        return name

    def _tree(self, function: FunctionType) -> ast.FunctionDef:
        code = function.__code__
        tree = definition_tree(code)
        if tree is None:
            raise self._refuse(
                f"the source of function {function.__name__} cannot be found", "write it with def in a file"
            )
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                raise self._refuse("it imports inside the function", "import at the top of the file", node, code)
            if isinstance(node, (ast.Global, ast.Nonlocal)):
                raise self._refuse(
                    f"it changes {', '.join(node.names)}", "return what you compute, keep no state", node, code
                )
            if isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom)):
                raise self._refuse("it waits or yields", "write a plain function that returns an array", node, code)
        return tree

    def _references(self, function: FunctionType, tree: ast.FunctionDef) -> dict[str, Any]:
        outside = _outside_names(function.__code__)
        found: dict[str, Any] = {}
        for chain in sorted(set(_chains(tree, outside))):
            shown, value = self._looked_up(function, chain)
            found[shown] = self._value(value, shown)
        return found

    def _looked_up(self, function: FunctionType, chain: tuple[str, ...]) -> tuple[str, Any]:
        """Return the part of ``a.b.c`` up to the first thing that is no module, and that thing."""
        value = self._outside_value(function, chain[0])
        shown = chain[0]
        for attribute in chain[1:]:
            if not isinstance(value, ModuleType) and not inspect.isclass(value):
                break
            self._check_attribute(value, attribute, shown)
            if not hasattr(value, attribute):
                raise self._refuse(f"{shown} has no {attribute!r}", "correct the name")
            value, shown = getattr(value, attribute), f"{shown}.{attribute}"
        return shown, value

    def _outside_value(self, function: FunctionType, name: str) -> Any:
        closed = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        try:
            if name in closed:
                return closed[name].cell_contents
            return function.__globals__[name] if name in function.__globals__ else getattr(builtins, name)
        except (ValueError, AttributeError):
            raise self._refuse(
                f"it refers to {name!r}, which is not defined", "define it, or correct the name"
            ) from None

    def _check_attribute(self, owner: Any, attribute: str, shown: str) -> None:
        owner_name = owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__qualname__}"
        if _impure(f"{owner_name}.{attribute}"):
            raise self._refuse(f"it uses {shown}.{attribute}, {_MORE_THAN_INPUTS}", "compute from the inputs alone")

    def _value(self, value: Any, shown: str) -> Any:
        if value is None or isinstance(value, _PURE_DATA):
            return [type(value).__name__, repr(value)]
        if isinstance(value, (tuple, list)):
            return [type(value).__name__, [self._value(item, shown) for item in value]]
        if isinstance(value, (set, frozenset)):
            return [type(value).__name__, sorted((self._value(item, shown) for item in value), key=repr)]
        if isinstance(value, dict):
            return ["dict", [[self._value(key, shown), self._value(item, shown)] for key, item in value.items()]]
        if isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject:
            return ["array", value.dtype.str, list(value.shape), bytes_digest(value.tobytes())]
        return self._code(value, shown)

    def _code(self, value: Any, shown: str) -> Any:
        undecorated = getattr(value, "function", None)
        if isinstance(undecorated, FunctionType) and type(value).__module__.startswith("featurestore."):
            value = undecorated
        if isinstance(value, FunctionType) and not _in_library(value.__code__.co_filename):
            return ["function", self.follow_function(value)]
        if isinstance(value, ModuleType):
            return self._module(value, shown)
        named = _library_name(value)
        if named is None:
            raise self._refuse(
                f"it refers to {shown}, a {type(value).__name__}, whose meaning cannot be pinned down",
                "refer to functions, numbers, text, tuples, dicts and arrays only, or hand it in as an input",
            )
        if _impure(named):
            raise self._refuse(f"it uses {shown}, {_MORE_THAN_INPUTS}", "compute from the inputs alone")
        return ["library", named]

    def _module(self, module: ModuleType, shown: str) -> Any:
        if _impure(module.__name__):
            raise self._refuse(f"it uses module {shown}, {_MORE_THAN_INPUTS}", "compute from the inputs alone")
        if not _in_library(getattr(module, "__file__", None)):
            raise self._refuse(f"it uses module {shown} as a value", f"name what you use of it, as in {shown}.function")
        return ["library", module.__name__]

    def _refuse(
        self, what: str, mend: str, node: ast.stmt | ast.expr | None = None, code: CodeType | None = None
    ) -> DefinitionError:
        place = self.where if node is None or code is None else f"{code.co_filename}:{node.lineno}: {self.where}"
        return DefinitionError(what, where=place, mend=mend)


def _impure(name: str) -> bool:
    """Whether what a library calls so, or part of it, is known to depend on more than its arguments."""
    if name.partition(".")[0] in _IMPURE_MODULES or name.removeprefix("builtins.") in _IMPURE_BUILTINS:
        return True
    return any(f"{name}.".startswith(f"{part}.") for part in _IMPURE_PARTS)


def definition_tree(code: CodeType) -> ast.FunctionDef | None:
    """Return the ``def`` that a code object was compiled from, or ``None`` if its file does not hold it."""
    lines = linecache.getlines(code.co_filename)
    try:
        module = ast.parse("".join(lines))
    except SyntaxError:
        return None
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
    return None


def plain_tree(node: Any) -> Any:
    """Return a syntax tree as nested lists: the same under every Python version that can parse it.

    Left out are positions, docstrings, annotations and the decorators of the outermost function.
    """
    if isinstance(node, ast.AST):
        fields = [[name, plain_tree(_kept(node, name, value))] for name, value in ast.iter_fields(node)]
        return [type(node).__name__, [[name, value] for name, value in fields if value not in (None, [])]]
    if isinstance(node, list):
        return [plain_tree(item) for item in node]
    if node is None or isinstance(node, (str, bool)):
        return node
    return [type(node).__name__, repr(node)]


_LEFT_OUT = frozenset({"decorator_list", "annotation", "returns", "type_comment", "kind", "type_params", "ctx"})


def _kept(node: ast.AST, name: str, value: Any) -> Any:
    if name in _LEFT_OUT:
        return None
    if name == "value" and isinstance(node, ast.Constant) and not isinstance(value, bool) and value is not None:
        return [type(value).__name__, repr(value)]
    if name == "body" and isinstance(node, ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
        return value[1:]
    return value


def _outside_names(code: CodeType) -> set[str]:
    """Return all names that the code, nested functions included, may look up outside itself."""
    names = set(code.co_names) | set(code.co_freevars)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _outside_names(constant)
    return names


def _chains(tree: ast.FunctionDef, outside: set[str]) -> Iterator[tuple[str, ...]]:
    """Give each use of an outside name in the body, with the attributes that follow it: ``np.log`` is ("np", "log")."""
    local = _local_names(tree)
    owned: set[ast.AST] = set()
    for statement in tree.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Attribute) and node not in owned:
                attributes: list[str] = []
                inner: ast.expr = node
                while isinstance(inner, ast.Attribute):
                    owned.add(inner)
                    attributes.append(inner.attr)
                    inner = inner.value
                if isinstance(inner, ast.Name):
                    owned.add(inner)
                    if inner.id in outside and inner.id not in local:
                        yield (inner.id, *reversed(attributes))
            elif isinstance(node, ast.Name) and node not in owned and node.id in outside and node.id not in local:
                yield (node.id,)


def _local_names(tree: ast.FunctionDef) -> set[str]:
    arguments = tree.args
    names = {arg.arg for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    return names | {arg.arg for arg in (arguments.vararg, arguments.kwarg) if arg is not None}


def _in_library(path: str | None) -> bool:
    """Whether a file is the standard library's or an installed package's; built-in code, without a file, is."""
    if path is None or path.startswith("<"):
        return True
    resolved = Path(path).resolve()
    return any(resolved.is_relative_to(folder) for folder in _LIBRARY_FOLDERS)


def _library_name(value: Any) -> str | None:
    """Return how a library calls a function or class of its own, or ``None`` for anything else."""
    if not isinstance(value, (type, FunctionType, BuiltinFunctionType, np.ufunc)) and not callable(value):
        return None
    module = getattr(value, "__module__", None) or type(value).__module__
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module.partition(".")[0] == "featurestore":
        return None
    loaded = inspect.getmodule(value)
    path = getattr(loaded, "__file__", None)
    return f"{module}.{name}" if loaded is not None and _in_library(path) else None
