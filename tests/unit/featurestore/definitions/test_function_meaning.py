import importlib.util
import itertools
from pathlib import Path
from typing import Any

import pytest

from featurestore.definitions.function_meaning import function_meaning
from featurestore.foundation.canonical import digest
from featurestore.foundation.errors import DefinitionError
from tests.unit.featurestore.definitions.retail import assert_refused

PRELUDE = """
import datetime, functools, math, os, random, time
import numpy as np
from numpy import log as logarithm
from numpy.random import default_rng
SCALE = 2.5
TABLE = {"a": 1, "b": (2, 3)}
EDGES = np.array([1.0, 2.0])
class Thing: pass
THING = Thing()
COUNTER = iter(range(3))
"""
numbers = itertools.count()


@pytest.fixture
def meaning(tmp_path: Path):
    """Give the digest of what function ``f`` of a source text means."""

    def of(text: str, prelude: str = PRELUDE) -> str:
        path = tmp_path / f"module_{next(numbers)}.py"
        path.write_text(prelude + text)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return digest(function_meaning(module.f, "RequestFeature f"))

    return of


BASE = "def f(a, b):\n    return np.log(a) * SCALE + b\n"


@pytest.mark.parametrize(
    "same",
    [
        BASE,
        "# a comment\n\n" + BASE,
        'def f(a, b):\n    """Say."""\n    return np.log(a) * SCALE + b\n',
        "def f(a: float, b: 'int' = None) -> float:\n    # why\n    return (np.log( a )*SCALE) + b\n".replace(
            " = None", ""
        ),
        "def before():\n    return 1\n\n" + BASE,
    ],
)
def test_what_is_no_part_of_the_meaning(meaning, same: str) -> None:
    assert meaning(same) == meaning(BASE)


@pytest.mark.parametrize(
    "other",
    [
        "def f(a, b):\n    return np.log(a) * SCALE - b\n",
        "def f(a, b):\n    return np.sqrt(a) * SCALE + b\n",
        "def f(b, a):\n    return np.log(a) * SCALE + b\n",
        "def f(a, b=1):\n    return np.log(a) * SCALE + b\n",
        "def f(a, b):\n    return np.log(a) * 2.5 + b\n",
        "def f(a, b):\n    return np.log(a) * TABLE['a'] + b\n",
        "SCALE = 2.6\n" + BASE,
        "SCALE = '2.5'\n" + BASE,
        "import math as np\n" + BASE,
    ],
)
def test_what_is_part_of_the_meaning(meaning, other: str) -> None:
    assert meaning(other) != meaning(BASE)


@pytest.mark.parametrize(
    ("before", "after", "body"),
    [
        ("def g(a):\n    return a + 1\n", "def g(a):\n    return a + 2\n", "g(a)"),
        ("def h(a):\n    return a + 1\ndef g(a):\n    return h(a)\n",
         "def h(a):\n    return a\ndef g(a):\n    return h(a)\n", "g(a)"),
        ("TABLE = {'a': 1}\n", "TABLE = {'a': 2}\n", "a * TABLE['a']"),
        ("TABLE = [1, (2, None)]\n", "TABLE = [1, (2, 0)]\n", "a * TABLE[0]"),
        ("LEVELS = {'a', 'b'}\n", "LEVELS = {'a', 'c'}\n", "np.isin(a, list(LEVELS))"),
        ("EDGES = np.array([1.0])\n", "EDGES = np.array([1.5])\n", "np.digitize(a, EDGES)"),
        ("EDGES = np.float32(1)\n", "EDGES = np.float64(1)\n", "a + EDGES"),
        ("ON = True\n", "ON = 1\n", "a + ON"),
        ("X = 1\n", "X = 2\n", "[value + X for value in a]"),
        ("X = 1\n", "X = 2\n", "(lambda value: value + X)(a)"),
        ("def g(a, k=1):\n    return a\n", "def g(a, k=2):\n    return a\n", "g(a)"),
        ("def make(k):\n    def g(a):\n        return a + k\n    return g\ng = make(1)\n",
         "def make(k):\n    def g(a):\n        return a + k\n    return g\ng = make(2)\n", "g(a)"),
    ],
)  # fmt: skip
def test_what_the_code_refers_to_is_followed(meaning, before: str, after: str, body: str) -> None:
    code = f"def f(a):\n    return {body}\n"
    assert meaning(before + code) == meaning(before + "# elsewhere\n" + code)
    assert meaning(before + code) != meaning(after + code)


def test_project_modules_are_followed_by_attribute(meaning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    digests = []
    for name, value in (("rates_one", 1), ("rates_two", 2), ("rates_three", 1)):
        (tmp_path / f"{name}.py").write_text(f"RATE = {value}\ndef apply(a):\n    return a * RATE\n")
        digests.append(meaning(f"import {name} as rates\ndef f(a):\n    return rates.apply(a)\n"))
    assert digests[0] == digests[2] != digests[1]


def test_order_of_sets_and_of_hashing_is_no_part(meaning) -> None:
    code = "def f(a):\n    return a in LEVELS\n"
    assert meaning("LEVELS = {'a', 'b', 'c'}\n" + code) == meaning("LEVELS = {'c', 'b', 'a'}\n" + code)


def test_functions_may_call_each_other_in_a_ring(meaning) -> None:
    code = "def g(a):\n    return f(a)\ndef f(a):\n    return a if a else g(a)\n"
    assert meaning(code) != meaning(code.replace("a if a", "1 if a"))


def test_libraries_are_kept_by_name(meaning) -> None:
    named = meaning(
        "def f(a):\n    return logarithm(a) + math.floor(1.5) + np.float64(1) + functools.reduce(max, [1])\n"
    )
    assert named != meaning(
        "def f(a):\n    return logarithm(a) + math.ceil(1.5) + np.float64(1) + functools.reduce(max, [1])\n"
    )


@pytest.mark.parametrize(
    ("body", "what", "mend"),
    [
        ("return a + random.random()", "random", "inputs alone"),
        ("return a + time.time()", "time", "inputs alone"),
        ("return a + np.random.normal()", "np.random", "inputs alone"),
        ("return a + default_rng().normal()", "default_rng", "inputs alone"),
        ("return a + datetime.datetime.now().hour", "datetime.datetime.now", "inputs alone"),
        ("return a + len(os.environ)", "os.environ", ""),
        ("return a + len(open('x').read())", "it uses open", "inputs alone"),
        ("return a + eval('1')", "it uses eval", "inputs alone"),
        ("return a + globals()['SCALE']", "it uses globals", "inputs alone"),
        ("return a + hash('x')", "it uses hash", "inputs alone"),
        ("return a + next(COUNTER)", "COUNTER", "numbers, text"),
        ("return a if THING else a", "THING, a Thing", "numbers, text"),
        ("return a if Thing() else a", "Thing, a type", "numbers, text"),
        ("return a + UNKNOWN", "it refers to 'UNKNOWN', which is not defined", "correct the name"),
        ("return np.logg(a)", "np has no 'logg'", "correct the name"),
        ("import math\n    return a", "it imports inside the function", "top of the file"),
        ("global SCALE\n    SCALE = 3\n    return a", "it changes SCALE", "keep no state"),
        ("yield a", "it waits or yields", "returns an array"),
    ],
)
def test_what_cannot_be_pinned_down_is_refused(meaning, body: str, what: str, mend: str) -> None:
    assert_refused(lambda: meaning(f"def f(a):\n    {body}\n"), "RequestFeature f", what, mend)


def test_a_whole_project_module_is_no_value(meaning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "rates_whole.py").write_text("RATE = 1\n")
    with pytest.raises(DefinitionError, match="name what you use of it"):
        meaning("import rates_whole\ndef f(a):\n    return vars_of(rates_whole)\ndef vars_of(m):\n    return m.RATE\n")


def test_a_function_without_a_file_is_refused() -> None:
    space: dict[str, Any] = {}
    exec("def f(a):\n    return a\n", space)
    assert_refused(
        lambda: function_meaning(space["f"], "RequestFeature f"), "RequestFeature f", "cannot be found", "def"
    )
