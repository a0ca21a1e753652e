"""Syntax that a followed function may not hold, whatever it refers to, with the mend of each."""

from __future__ import annotations

import ast

_CLOCK_WORDS = frozenset({"now", "today"})


def refused_syntax(node: ast.AST) -> tuple[str, str] | None:
    """Return what is wrong with a part of the code and what to do about it, or ``None``."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return "it imports inside the function", "import at the top of the file"
    if isinstance(node, (ast.Global, ast.Nonlocal)):
        return f"it changes {', '.join(node.names)}", "return what you compute, keep no state"
    if isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom)):
        return "it waits or yields", "write a plain function that returns an array"
    if type(node).__name__ in ("ClassDef", "AsyncFunctionDef", "TypeAlias"):
        return "it defines a class, a coroutine or a type inside the function", "define it at the top of the file"
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    if name.startswith("__"):
        return f"it uses {name}, a name of Python's own workings", "use the public function or operator"
    return None


def is_fixed_instant(call: ast.Call | None) -> bool:
    """Whether a call of ``np.datetime64`` has constant arguments only, of which none means the present."""
    if call is None or call.keywords:
        return False
    words = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    shown = {str(word, "latin-1") if isinstance(word, bytes) else str(word) for word in words}
    return len(words) == len(call.args) and not {word.strip().lower() for word in shown} & _CLOCK_WORDS
