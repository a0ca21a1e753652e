import ast

import pytest

from featurestore.definitions.code_scope import outside_chains, parameters


def chains_of(body: str, head: str = "def f(a, *b, c=1, **d):") -> set[str]:
    tree = ast.parse(f"{head}\n    {body}\n").body[0]
    assert isinstance(tree, ast.FunctionDef)
    return {".".join(chain.words) for chain in outside_chains(tree)}


@pytest.mark.parametrize(
    ("body", "outside"),
    [
        ("return a + b + c + d + x", {"x"}),
        ("return np.linalg.norm(a).real", {"np.linalg.norm"}),
        ("return x.y + x.z + x", {"x.y", "x.z", "x"}),
        ("k = 1; return [v * k for v in a]", set()),
        ("return [v for v in v]", {"v"}),
        ("return [v for u in a for v in u if v > w]", {"w"}),
        ("return {k: v for k, v in a} | {e for e in x}", {"x"}),
        ("return sum((t := v) for v in a) + t", {"sum"}),
        ("return [[(t := v) for v in u] for u in a] + t", set()),
        ("return (lambda p, q=z: p + q + k)(a)", {"z", "k"}),
        ("g = lambda: k; k = 1; return g()", set()),
        ("return [lambda: k for k in a], k", {"k"}),
        ("for i, (j, *k) in a: pass\n    return i + j + k", set()),
        ("with x as y: return y", {"x"}),
        ("try: pass\n    except E as e: return e", {"E"}),
        ("y: T = 1; return y", set()),
        ("del k; return k", set()),
        ("a[x] = 1; x2.z = 1; return a", {"x", "x2.z"}),
        (
            "match a:\n        case {'k': m, **n}: pass\n        case [o, *p] | P(o, p) as q: return m, n, o, p, q",
            {"P"},
        ),
        ("return f'{a:{width}} {x!r}'", {"width", "x"}),
    ],
)
def test_outside_names_with_their_attributes(body: str, outside: set[str]) -> None:
    assert chains_of(body.replace("; ", "\n    ")) == outside


def test_inner_functions_have_scopes_of_their_own() -> None:
    text = "@dec(n)\n    def g(p: T, q=x) -> R:\n        k = p\n        return k + y + g\n    return g(a) + k"
    assert chains_of(text) == {"dec", "n", "x", "y", "k"}


def test_what_stands_before_the_body_is_no_part() -> None:
    assert chains_of("return a", "@dec\ndef f(a: T = x) -> R:") == set()


def test_parameters() -> None:
    tree = ast.parse("def f(a, /, b, *c, d, **e): pass").body[0]
    assert isinstance(tree, ast.FunctionDef)
    assert parameters(tree) == {"a", "b", "c", "d", "e"}
