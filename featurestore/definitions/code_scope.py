"""Which names of a function are its own and which come from outside, read from the syntax tree alone.

Compiled code is no help: Python 3.12 and later compile comprehensions into the function around them, 3.11 does not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeGuard

_Function = ast.FunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Chain(NamedTuple):
    """One use of an outside name with the attributes that follow it: ``np.log`` is ("np", "log")."""

    name: ast.Name
    top: ast.expr
    words: tuple[str, ...]


def outside_chains(tree: ast.FunctionDef) -> list[Chain]:
    """Return each use, in the body of a function, of a name that is neither its own nor its nested functions'."""
    outside = {name for statement in tree.body for name in _free(statement, _own_names(tree))}
    followed: dict[ast.Name, Chain] = {name: Chain(name, name, (name.id,)) for name in outside}
    for node in ast.walk(tree):
        words: list[str] = []
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            words.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and isinstance(node, ast.Attribute) and inner in followed:
            longest = max(followed[inner], Chain(inner, node, (inner.id, *reversed(words))), key=lambda c: len(c.words))
            followed[inner] = longest
    return sorted(followed.values(), key=lambda chain: (chain.words, chain.name.lineno, chain.name.col_offset))


def parameters(function: _Function) -> set[str]:
    """Return the names of a function's parameters."""
    given = function.args
    listed = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return {argument.arg for argument in listed if argument is not None}


def _free(node: ast.AST, bound: frozenset[str]) -> Iterator[ast.Name]:
    """Give the names under a node that none of the scopes around them binds; annotations are not looked at."""
    if isinstance(node, ast.Name):
        if node.id not in bound:
            yield node
    elif isinstance(node, (ast.FunctionDef, ast.Lambda)):
        yield from _free_of_function(node, bound)
    elif isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        yield from _free_of_comprehension(node, bound)
    else:
        for name, field in ast.iter_fields(node):
            if name != "annotation":
                yield from _free_in(_nodes(field), bound)


def _free_of_function(node: _Function, bound: frozenset[str]) -> Iterator[ast.Name]:
    around = [*node.args.defaults, *(default for default in node.args.kw_defaults if default is not None)]
    if isinstance(node, ast.FunctionDef):
        around += node.decorator_list
    yield from _free_in(around, bound)
    yield from _free_in(node.body if isinstance(node, ast.FunctionDef) else [node.body], bound | _own_names(node))


def _free_of_comprehension(node: _Comprehension, bound: frozenset[str]) -> Iterator[ast.Name]:
    first = node.generators[0]
    own = {name.id for part in node.generators for name in ast.walk(part.target) if _binds(name)}
    yield from _free(first.iter, bound)
    inside: list[ast.AST] = [first.target, *first.ifs, *node.generators[1:]]
    inside += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    yield from _free_in(inside, bound | own)


def _free_in(nodes: Iterable[ast.AST], bound: frozenset[str]) -> Iterator[ast.Name]:
    for node in nodes:
        yield from _free(node, bound)


def _own_names(function: _Function) -> frozenset[str]:
    """Return what a function binds: its parameters and all it assigns, nested functions left out."""
    body: list[ast.AST] = list(function.body) if isinstance(function, ast.FunctionDef) else [function.body]
    return frozenset(parameters(function) | {name for node in body for name in _bound(node)})


def _bound(node: ast.AST) -> Iterator[str]:
    if _binds(node):
        yield node.id
    elif isinstance(node, (ast.FunctionDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest
    if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        yield from _bound_by_walrus(node)
    elif isinstance(node, (ast.FunctionDef, ast.Lambda)):
        around = [*node.args.defaults, *(default for default in node.args.kw_defaults if default is not None)]
        for default in around:
            yield from _bound(default)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _bound(child)


def _bound_by_walrus(comprehension: ast.AST) -> Iterator[str]:
    """Give what ``:=`` in a comprehension binds: a name of the function around it."""
    for node in ast.iter_child_nodes(comprehension):
        if isinstance(node, ast.NamedExpr):
            yield node.target.id
        if not isinstance(node, ast.Lambda):
            yield from _bound_by_walrus(node)


def _binds(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del))


def _nodes(field: object) -> list[ast.AST]:
    listed = field if isinstance(field, list) else [field]
    return [node for node in listed if isinstance(node, ast.AST)]
