"""What installed libraries call their own, and which of it depends on more than its arguments.

Of the standard library only the modules listed here are taken. NumPy and pandas are taken but for what is listed; any
other installed library is taken at its word: nothing here looks into it.
"""

from __future__ import annotations

import site
import sys
import sysconfig
from pathlib import Path
from types import BuiltinFunctionType, MethodDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np

_PURE_STANDARD = frozenset({
    "abc", "array", "base64", "binascii", "bisect", "builtins", "calendar", "cmath", "collections", "colorsys", "copy",
    "datetime", "decimal", "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "itertools", "json", "math",
    "numbers", "operator", "re", "statistics", "string", "struct", "textwrap", "types", "typing", "unicodedata", "zlib",
})  # fmt: skip
_IMPURE_BUILTINS = frozenset({
    "__import__", "breakpoint", "compile", "delattr", "dir", "eval", "exec", "exit", "getattr", "globals", "hasattr",
    "hash", "help", "id", "input", "locals", "memoryview", "object", "open", "print", "quit", "setattr", "super",
    "vars",
})  # fmt: skip
_IMPURE_NUMPY = frozenset({
    "DataSource", "as_strided", "ctypeslib", "distutils", "empty", "empty_like", "f2py", "format", "fromfile",
    "fromregex", "genfromtxt", "getbufsize", "geterr", "geterrcall", "load", "loadtxt", "memmap", "nditer",
    "nested_iters", "npyio", "open_memmap", "random", "recfromcsv", "recfromtxt", "save", "savetxt", "savez",
    "savez_compressed", "set_printoptions", "setbufsize", "seterr", "seterrcall", "show_config", "show_runtime",
    "testing",
})  # fmt: skip
_IMPURE_PANDAS = frozenset({
    "Timestamp", "DatetimeIndex", "ExcelFile", "ExcelWriter", "HDFStore", "Period", "PeriodIndex", "date_range",
    "get_option", "io", "option_context", "period_range", "set_option", "testing", "to_datetime", "to_pickle",
})  # fmt: skip
_IMPURE_STANDARD = frozenset({"decimal.getcontext", "decimal.setcontext", "statistics.NormalDist.samples"})
_CLOCK_ATTRIBUTES = frozenset({"now", "today", "utcnow"})
_CHANGERS = frozenset({
    *(f"numpy.{name}" for name in ("copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask")),
    *(f"heapq.{name}" for name in ("heapify", "heappop", "heappush", "heappushpop", "heapreplace")),
    *(f"bisect.{name}" for name in ("insort", "insort_left", "insort_right")),
    *(f"operator.{name}" for name in ("attrgetter", "delitem", "methodcaller", "setitem")),
    *(f"operator.i{name}" for name in (
        "add", "and", "concat", "floordiv", "lshift", "mod", "mul", "matmul", "or", "pow", "rshift", "sub", "truediv",
        "xor",
    )),
})  # fmt: skip
_CHANGING_METHODS = frozenset({
    "__delattr__", "__delitem__", "__iadd__", "__ior__", "__setattr__", "__setitem__", "add", "append", "at",
    "byteswap", "clear", "difference_update", "discard", "dump", "extend", "fill", "insert", "intersection_update",
    "itemset", "partition", "pop", "popitem", "put", "remove", "resize", "reverse", "setdefault", "setfield",
    "setflags", "sort", "symmetric_difference_update", "tofile", "update",
})  # fmt: skip
_LIBRARY_FOLDERS = tuple({
    Path(folder).resolve()
    for folder in (
        *(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(), site.getusersitepackages(), str(Path(str(np.__file__)).parent),
    )
})  # fmt: skip
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def library_name(value: Any) -> str | None:
    """Return how a library calls a function or class of its own, or ``None`` for anything else.

    A value that a library merely made, such as ``np.vectorize(f)`` or a method bound to an object, is not its own: what
    stands under the name must be that very value.
    """
    module, name = _told_names(value)
    if not isinstance(module, str) or not isinstance(name, str) or module.partition(".")[0] == "featurestore":
        return None
    loaded = sys.modules.get(module)
    if loaded is None or module == "__main__" or not in_library(getattr(loaded, "__file__", None)):
        return None
    found: Any = loaded
    for part in name.split("."):
        found = getattr(found, part, None)
    bound_to_class = isinstance(value, (BuiltinFunctionType, MethodType)) and isinstance(value.__self__, type)
    same = found is value or (bound_to_class and type(found) is type(value) and found == value)
    return f"{_public(module)}.{name}" if same else None


def in_library(path: str | None) -> bool:
    """Whether a file is the standard library's or an installed package's; built-in code, without a file, is."""
    if path is None or path.startswith("<"):
        return True
    resolved = Path(path).resolve()
    return bool(_INSTALLED & set(resolved.parts)) or any(resolved.is_relative_to(part) for part in _LIBRARY_FOLDERS)


def impure(name: str) -> bool:
    """Whether what a library calls so, or part of it, may depend on more than its arguments."""
    top, _, rest = _public(name).partition(".")
    if top in sys.stdlib_module_names and top not in _PURE_STANDARD:
        return True
    if top == "builtins" and rest in _IMPURE_BUILTINS:
        return True
    words = rest.split(".")
    if len(words) > 1 and reads_clock(words[-1]):
        return True
    if top == "pandas":
        return not _IMPURE_PANDAS.isdisjoint(words) or any(word.startswith("read_") for word in words)
    return (top == "numpy" and not _IMPURE_NUMPY.isdisjoint(words)) or name in _IMPURE_STANDARD


def reads_clock(attribute: str) -> bool:
    """Whether an attribute of a class asks the clock, as ``datetime.now`` does."""
    return attribute in _CLOCK_ATTRIBUTES


def changes_argument(name: str) -> bool:
    """Whether what a library calls so changes what it is given."""
    return name in _CHANGERS or (name.rpartition(".")[2] in _CHANGING_METHODS and name.startswith("builtins."))


def changes_owner(method: str) -> bool:
    """Whether a method of lists, dicts, sets or arrays changes what it belongs to, or writes it to a file."""
    return method in _CHANGING_METHODS


def _told_names(value: Any) -> tuple[Any, Any]:
    """Return the module and the qualified name that a value claims."""
    if isinstance(value, np.ufunc):
        return _ufunc_module(value), value.__name__
    if isinstance(value, MethodDescriptorType):
        owner = value.__objclass__
        return owner.__module__, f"{owner.__qualname__}.{value.__name__}"
    if isinstance(value, (BuiltinFunctionType, MethodType)) and isinstance(value.__self__, type):
        return value.__self__.__module__, f"{value.__self__.__qualname__}.{value.__name__}"
    if not callable(value) or isinstance(value, ModuleType):
        return None, None
    return getattr(value, "__module__", None), getattr(value, "__qualname__", getattr(value, "__name__", None))


def _ufunc_module(value: np.ufunc) -> str | None:
    """Return where a ufunc stands, which need not say so itself."""
    for module in ("numpy", "scipy.special"):
        if getattr(sys.modules.get(module), value.__name__, None) is value:
            return module
    return None


def _public(name: str) -> str:
    """Return a name under the standard library's public module: ``functools.reduce`` for ``_functools.reduce``."""
    top, dot, rest = name.partition(".")
    public = top.lstrip("_")
    return f"{public}{dot}{rest}" if public in sys.stdlib_module_names else name
