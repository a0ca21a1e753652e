"""Where the code of a function changes what is not its own: outside names, its arguments, and other names for them.

Followed are assignments, ``del``, changing methods and ``out=``, through attributes, subscripts, and names of the
function's own that stand for part of what is not. Not followed is what a call returns.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator

from featurestore.definitions.code_scope import Chain
from featurestore.definitions.library_name import changes_owner

HoldsState = Callable[[Chain, bool], bool]
_GIVE_PART = frozenset({
    "diagonal", "get", "getfield", "items", "ravel", "reshape", "squeeze", "swapaxes", "transpose", "values", "view",
})  # fmt: skip
_PASS_ON = frozenset({
    "asanyarray", "asarray", "ascontiguousarray", "atleast_1d", "broadcast_to", "enumerate", "iter", "next", "ravel",
    "reshape", "reversed", "squeeze", "transpose", "zip",
})  # fmt: skip


def changes(
    tree: ast.FunctionDef, chains: Collection[Chain], arguments: Collection[str], holds_state: HoldsState
) -> Iterator[tuple[ast.expr, str]]:
    """Give each place where a function changes what is not its own, with the name that it goes by there.

    Parameters
    ----------
    chains
        The uses of outside names in the function.
    arguments
        Parameters that may not be changed.
    holds_state
        Whether an outside name stands for something that can be changed; with ``True``, whether a part of it can.
    """
    outside = {chain.name: chain for chain in chains}
    foreign = _foreign_names(tree, outside, set(arguments), holds_state)
    for place, changed, by_method in _changed(tree):
        for name in _roots(changed):
            chain = outside.get(name)
            if chain is None:
                if name.id in foreign:
                    yield place, name.id
            elif not by_method or holds_state(chain, False):
                yield place, name.id


def _changed(tree: ast.FunctionDef) -> Iterator[tuple[ast.expr, ast.expr, bool]]:
    """Give each place that changes something, what it changes, and whether a method does it."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            yield node, node.value, False
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            yield node.target, node.target, False
        elif isinstance(node, ast.Attribute) and changes_owner(node.attr):
            yield node, node.value, True
        elif isinstance(node, ast.keyword) and node.arg == "out":
            yield node.value, node.value, False


def _foreign_names(
    tree: ast.FunctionDef, outside: dict[ast.Name, Chain], foreign: set[str], holds_state: HoldsState
) -> set[str]:
    """Return the function's own names that may stand for part of something foreign."""
    bindings = list(_bindings(tree))
    while True:
        more = {
            target
            for targets, value, is_item in bindings
            for root in _roots(value)
            if (holds_state(outside[root], is_item or _is_part(value)) if root in outside else root.id in foreign)
            for target in targets
        } - foreign
        if not more:
            return foreign
        foreign |= more


def _is_part(value: ast.expr) -> bool:
    return isinstance(value, (ast.Subscript, ast.Call))


def _bindings(tree: ast.FunctionDef) -> Iterator[tuple[set[str], ast.expr, bool]]:
    """Give the names that each assignment binds, the value, and whether they are bound to its items."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            yield {name for target in node.targets for name in _stored(target)}, node.value, False
        elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
            yield _stored(node.target), node.value, False
        elif isinstance(node, (ast.For, ast.comprehension)):
            yield _stored(node.target), node.iter, True
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            yield _stored(node.optional_vars), node.context_expr, False
        elif isinstance(node, ast.Match):
            captures = {name for case in node.cases for part in ast.walk(case.pattern) for name in _captured(part)}
            yield captures, node.subject, False


def _stored(target: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _captured(pattern: ast.AST) -> list[str]:
    if isinstance(pattern, (ast.MatchAs, ast.MatchStar)):
        return [pattern.name] if pattern.name else []
    return [pattern.rest] if isinstance(pattern, ast.MatchMapping) and pattern.rest else []


def _roots(value: ast.expr) -> Iterator[ast.Name]:
    """Give the names that an expression may be a part of, or another word for."""
    if isinstance(value, ast.Name):
        yield value
    elif isinstance(value, (ast.Attribute, ast.Subscript, ast.Starred, ast.NamedExpr)):
        yield from _roots(value.value)
    elif isinstance(value, ast.IfExp):
        yield from (*_roots(value.body), *_roots(value.orelse))
    elif isinstance(value, (ast.BoolOp, ast.Tuple, ast.List)):
        for part in value.values if isinstance(value, ast.BoolOp) else value.elts:
            yield from _roots(part)
    elif isinstance(value, ast.Call):
        yield from _roots_of_call(value)


def _roots_of_call(call: ast.Call) -> Iterator[ast.Name]:
    called = call.func
    word = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    if isinstance(called, ast.Attribute) and word in _GIVE_PART:
        yield from _roots(called.value)
    if word in _PASS_ON:
        for argument in call.args:
            yield from _roots(argument)
