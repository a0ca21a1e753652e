"""What a function means: its code without comments, and all that the code refers to in the project, as plain data.

Two functions with one meaning compute the same; comments, docstrings, type annotations and layout are no part of it.
Project functions and constants that the code refers to are followed; of installed libraries only the names are kept.

Refused are, by name: what `library_name` lists as clocks, chance, files, uninitialised memory and state; attributes
found at run time; defaults that can be changed; changes of outside names and of arguments as far as `code_change`
follows them. Not looked into are other libraries, and what methods of the function's own values do.
"""

from __future__ import annotations

import ast
import builtins
import inspect
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from featurestore.definitions.code_change import changes
from featurestore.definitions.code_refusal import is_fixed_instant, refused_syntax
from featurestore.definitions.code_scope import Chain, outside_chains, parameters
from featurestore.definitions.code_tree import definition_tree, plain_definition
from featurestore.definitions.constant_data import SCALARS, can_change, is_plain_array
from featurestore.definitions.library_name import changes_argument, impure, in_library, library_name, reads_clock
from featurestore.foundation.canonical import bytes_digest
from featurestore.foundation.errors import DefinitionError

_DEEPEST_DATA = 50
_MORE_THAN_INPUTS = "which depends on more than the inputs"
_FROM_INPUTS = "compute from the inputs alone"
_OWN_COPY = "keep no state: change a copy under a name of its own"


def function_meaning(function: FunctionType | Any, where: str) -> dict[str, Any]:
    """Return the meaning of a function as plain data, equal under every Python version that can parse the function.

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
    entry = reader.follow_function(function, owns_arguments=True)
    return {"entry": entry, "functions": dict(sorted(reader.functions.items()))}


class _Reader:
    """Collects functions by a name that does not depend on where the project lies."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.functions: dict[str, Any] = {}
        self._names: dict[FunctionType, str] = {}

    def follow_function(self, function: FunctionType, *, owns_arguments: bool = False) -> str:
        """Add a function with all it refers to; return the name it is kept under."""
        tree = self._tree(function)
        chains = outside_chains(tree)
        self._check_changes(function, tree, chains, owns_arguments)
        if function in self._names:
            return self._names[function]
        plain = plain_definition(tree)
        name = self._new_name(f"{function.__qualname__}:{bytes_digest(repr(plain).encode())[:16]}")
        self._names[function] = name
        entry = self.functions[name] = {"code": plain}
        entry["defaults"] = self._defaults(function)
        self._check_uses(function, tree, chains)
        entry["refers_to"] = self._references(function, chains)
        return name

    def _new_name(self, name: str) -> str:
        """Return a name of its own for each of several functions that one ``def`` made."""
        alike = sum(known.partition("#")[0] == name for known in self.functions)
        return f"{name}#{alike + 1}" if alike else name

    def _tree(self, function: FunctionType) -> ast.FunctionDef:
        code = function.__code__
        tree = definition_tree(code)
        if tree is None:
            raise self._refuse(
                f"the source of function {function.__name__} cannot be found, or is no longer the code that runs",
                "write it with def in a file; load it again if the file was edited",
            )
        for statement in tree.body:
            for node in ast.walk(statement):
                refused = refused_syntax(node)
                if refused is not None:
                    raise self._refuse(*refused, node, code)
        return tree

    def _check_changes(
        self, function: FunctionType, tree: ast.FunctionDef, chains: list[Chain], owns_arguments: bool
    ) -> None:
        """Refuse changes of outside names and arguments; the first function's arguments are arrays of its own."""

        def holds_state(chain: Chain, in_part: bool) -> bool:
            return can_change(self._looked_up(function, chain)[1], in_part=in_part)

        for place, name in changes(tree, chains, () if owns_arguments else parameters(tree), holds_state):
            raise self._refuse(f"it changes {name}, which is not its own", _OWN_COPY, place, function.__code__)

    def _check_uses(self, function: FunctionType, tree: ast.FunctionDef, chains: list[Chain]) -> None:
        """Refuse uses of NumPy that are fine or not by what they are called with, and attributes of functions."""
        code = function.__code__
        calls = {node.func: node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for chain in chains:
            shown, value, rest = self._looked_up(function, chain)
            call = None if rest else calls.get(chain.top)
            if value is np.datetime64 and not is_fixed_instant(call):
                mend = "give it constant text other than 'now' and 'today', or use .astype(\"datetime64[us]\")"
                raise self._refuse(f"it uses {shown}, which may ask the clock", mend, chain.top, code)
            if value is np.ndarray and call is not None:
                raise self._refuse(f"it uses {shown}(), which gives uninitialised memory", "use np.zeros", call, code)
            if isinstance(value, np.ufunc) and ("at" in rest or (call is not None and len(call.args) > value.nin)):
                raise self._refuse(f"it has {shown} change what it is given", _OWN_COPY, chain.top, code)
            if rest and isinstance(_undecorated(value), FunctionType) and library_name(value) is None:
                what = f"it uses {shown}.{rest[0]}, an attribute of a function"
                raise self._refuse(what, "keep it in a constant", chain.top, code)

    def _references(self, function: FunctionType, chains: list[Chain]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for chain in chains:
            shown, value, _ = self._looked_up(function, chain)
            if shown not in found:
                found[shown] = self._value(value, shown)
        return dict(sorted(found.items()))

    def _looked_up(self, function: FunctionType, chain: Chain) -> tuple[str, Any, tuple[str, ...]]:
        """Return the part of ``a.b.c`` up to the first thing that is no module or class, that thing, and the rest."""
        first, *attributes = chain.words
        value, shown = self._outside_value(function, first), first
        for number, attribute in enumerate(attributes):
            if not isinstance(value, ModuleType) and not inspect.isclass(value):
                return shown, value, tuple(attributes[number:])
            self._check_attribute(value, attribute, shown)
            if not hasattr(value, attribute):
                raise self._refuse(f"{shown} has no {attribute!r}", "correct the name")
            value, shown = getattr(value, attribute), f"{shown}.{attribute}"
        return shown, value, ()

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
        is_module = isinstance(owner, ModuleType)
        owner_name = owner.__name__ if is_module else f"{owner.__module__}.{owner.__qualname__}"
        if impure(f"{owner_name}.{attribute}") or (not is_module and reads_clock(attribute)):
            raise self._refuse(f"it uses {shown}.{attribute}, {_MORE_THAN_INPUTS}", _FROM_INPUTS)

    def _defaults(self, function: FunctionType) -> Any:
        given = (function.__defaults__ or (), function.__kwdefaults__ or {})
        shown = f"a default of {function.__name__}"
        if any(can_change(value) for value in (*given[0], *given[1].values())):
            raise self._refuse(f"{shown} can change from call to call", "use a tuple, a number or None")
        return self._value(given, shown)

    def _value(self, value: Any, shown: str, depth: int = 0) -> Any:
        if depth > _DEEPEST_DATA:
            raise self._refuse(f"it refers to {shown}, which is nested too deep", "flatten it")
        if type(value) in SCALARS:
            return [type(value).__name__, repr(value)]
        if type(value) in (tuple, list):
            return [type(value).__name__, [self._value(item, shown, depth + 1) for item in value]]
        if type(value) in (set, frozenset):
            items = (self._value(item, shown, depth + 1) for item in value)
            return [type(value).__name__, sorted(items, key=repr)]
        if type(value) is dict:
            return ["dict", [[self._value(part, shown, depth + 1) for part in pair] for pair in value.items()]]
        if is_plain_array(value):
            return ["array", value.dtype.str, list(value.shape), bytes_digest(value.tobytes())]
        return self._code(_undecorated(value), shown)

    def _code(self, value: Any, shown: str) -> Any:
        if isinstance(value, FunctionType) and not in_library(value.__code__.co_filename):
            return ["function", self.follow_function(value)]
        if isinstance(value, ModuleType):
            raise self._module(value, shown)
        named = library_name(value)
        if named is None:
            raise self._refuse(
                f"it refers to {shown}, a {type(value).__name__}, whose meaning cannot be pinned down",
                "refer to functions, numbers, text, tuples, dicts and arrays only, or hand it in as an input",
            )
        if impure(named):
            raise self._refuse(f"it uses {shown}, {_MORE_THAN_INPUTS}", _FROM_INPUTS)
        if changes_argument(named):
            raise self._refuse(f"it uses {shown}, which changes what it is given", "assign to a copy: a[mask] = values")
        return ["library", named]

    def _module(self, module: ModuleType, shown: str) -> DefinitionError:
        if impure(module.__name__):
            return self._refuse(f"it uses module {shown}, {_MORE_THAN_INPUTS}", _FROM_INPUTS)
        return self._refuse(f"it uses module {shown} as a value", f"name what you use of it, as in {shown}.function")

    def _refuse(
        self, what: str, mend: str, node: ast.AST | None = None, code: CodeType | None = None
    ) -> DefinitionError:
        line = getattr(node, "lineno", None)
        place = self.where if line is None or code is None else f"{code.co_filename}:{line}: {self.where}"
        return DefinitionError(what, where=place, mend=mend)


def _undecorated(value: Any) -> Any:
    """Return the function of a request feature, and anything else as it is."""
    function = getattr(value, "function", None)
    ours = isinstance(function, FunctionType) and type(value).__module__.startswith("featurestore.")
    return function if ours else value
