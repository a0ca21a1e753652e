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


@pytest.mark.parametrize(
    ("before", "after", "body"),
    [
        ("def make(k):\n    def g(a):\n        return a + k\n    return g\ng = make(1)\nh = make(1)\n",
         "def make(k):\n    def g(a):\n        return a + k\n    return g\ng = make(1)\nh = make(2)\n", "g(a) + h(a)"),
        ("def make(k):\n    def g(a):\n        return a + k\n    return g\ng = make(1)\nh = make(2)\n",
         "def make(k):\n    def g(a):\n        return a + k\n    return g\ng = make(3)\nh = make(2)\n", "g(a) + h(a)"),
        ("GRID = np.zeros((2, 3))\n", "GRID = np.zeros((3, 2))\n", "GRID[0]"),
        ("class Limits: TOP = 1\n", "class Limits: TOP = 2\n", "a + Limits.TOP"),
    ],
)  # fmt: skip
def test_what_looks_alike_is_told_apart(meaning, before: str, after: str, body: str) -> None:
    code = f"def f(a):\n    return {body}\n"
    assert meaning(before + code) != meaning(after + code)


def test_decorators_of_inner_functions_are_part_of_the_meaning(meaning) -> None:
    code = "def same(g):\n    return g\ndef by(k):\n    return same\n"
    code += "def f(a):\n    @by(1)\n    def g(v):\n        return v\n    return g(a)\n"
    assert meaning(code) != meaning(code.replace("by(1)", "by(2)"))


MADE_BY_LIBRARIES = [
    ("@np.vectorize\ndef g(v): return v + 1\n", "g(a)"),
    ("@np.vectorize\ndef sum(v): return v + 1\n", "sum(a)"),
    ("def h(v): return v + 1\ng = np.frompyfunc(h, 1, 1)\n", "g(a)"),
    ("from statistics import NormalDist\ncdf = NormalDist(0, 1).cdf\n", "cdf(1.0)"),
    ("from collections import namedtuple\nC = namedtuple('C', 'a b')(1, 2)\n", "a + C.a"),
    ("from collections import defaultdict\nD = defaultdict(lambda: 1)\n", "a + D['x']"),
    ("from collections import OrderedDict\nD = OrderedDict(x=1)\n", "a + D['x']"),
    ("A = np.array([(1.0, 2.0)], dtype=[('x', 'f8'), ('y', 'f8')])\n", "a + A['x'][0]"),
    ("A = np.ma.array([1.0, 2.0], mask=[0, 1])\n", "a + A.sum()"),
    ("class Level(int):\n    def __radd__(self, other): return other\nL = Level(1)\n", "a + L"),
    ("from functools import partial\ng = partial(np.add, 1.0)\n", "g(a)"),
    ("rand = np.random.rand\n", "a + rand()"),
    ("now = datetime.datetime.now\n", "a + now().hour"),
    ("class Day(datetime.date): pass\n", "a + Day.today().day"),
    ("L = [1]\nL.append(L)\n", "a + L[0]"),
    ("def g(v): return v\ng.rate = 2\n", "a + g.rate"),
]


@pytest.mark.parametrize(("before", "body"), MADE_BY_LIBRARIES)
def test_objects_with_a_state_or_code_of_their_own_are_refused(meaning, before: str, body: str) -> None:
    with pytest.raises(DefinitionError, match=r"pinned down|inputs alone|too deep|attribute of"):
        meaning(f"{before}def f(a):\n    return {body}\n")


@pytest.mark.parametrize(
    "body",
    [
        "np.array([v * k for v in a])",
        "np.array(list(v * k for v in a))",
        "np.array(list(map(lambda v: v * k, a)))",
        "np.array([[v * w * k for w in a] for v in a])[0]",
        "g(a)",
    ],
)
def test_local_names_of_inner_scopes_are_no_outside_names(meaning, body: str) -> None:
    code = f"def f(a):\n    k = 2.0\n    def g(v):\n        return v * k\n    return {body}\n"
    assert meaning(code) == meaning("k = 9.0\n" + code) == meaning("k = THING\nv = THING\nw = THING\n" + code)


def test_a_name_may_be_local_in_one_scope_and_outside_in_another(meaning) -> None:
    code = "def f(a):\n    return [k for k in a] + [k]\n"
    assert meaning("k = 1\n" + code) != meaning("k = 2\n" + code)


def test_attributes_are_no_names(meaning) -> None:
    assert meaning("def f(a):\n    size = a.k\n    return size\n") == meaning(
        "k = 1\ndef f(a):\n    size = a.k\n    return size\n"
    )


PINNED = """
def helper(values, low=0.0, *, table=(1, 2)):
    \"\"\"Say.\"\"\"
    first, *rest = [value for value in values if value > low]
    return {key: f"{first!r:>{10}} and {key:}" for key in rest} if (n := len(rest)) > 1 else (n, -1, 1e3, table)

def f(a):
    k = 2.0
    out = np.zeros(len(a))
    with np.errstate(all="ignore"):
        for place, value in enumerate(a):
            out[place] = k * value + SCALE
    try:
        match helper(a):
            case {"x": found, **others}:
                return found
            case [one, *_]:
                return functools.reduce(max, [one, operator.add(1, 2)])
    except ValueError as error:
        return [lambda *p, q=k, **r: (p, q, r, error), "one" f"two{k=}"]
    return out ** 2 + np.array(list(map(str.lower, EDGES)))
"""


def test_the_digest_is_the_same_under_every_python(meaning) -> None:
    """Its value was printed by Python 3.11.7, 3.12.1 and 3.13.0 alike."""
    assert meaning("import operator\n" + PINNED) == "999b37e764dfd33fd880900df55c74ad7352001ea97287d3f9b0fa287bae5784"


IMPURE_USES = [
    *(f"a + np.{name}('x')" for name in ("load", "fromfile", "genfromtxt", "loadtxt", "memmap", "random.rand")),
    *(f"a + np.{name}(a)" for name in ("empty", "empty_like", "ma.empty", "lib.stride_tricks.as_strided")),
    "np.ndarray(3)", "a - np.datetime64('now')", "a - np.datetime64('TODAY')", "np.datetime64(a[0])",
    "a.astype(np.datetime64)", "a + pd.Timestamp.now().timestamp()", "a + pd.Timestamp('now').timestamp()",
    "a + pd.read_csv('x')['a']", "a + pd.read_parquet('x')['a']", "pd.to_datetime(a)", "getattr(np, 'random').rand()",
    "setattr(np, 'x', 1)", "a + datetime.datetime.today().hour", "np.__dict__['random'].rand()", "a.__class__",
    "decimal.getcontext().prec", "glob.glob('*')", "shutil.disk_usage('/')", "platform.machine()", "g(np)",
    "operator.attrgetter('random')(np)", "np.seterr(all='raise')",
]  # fmt: skip


@pytest.mark.parametrize("body", IMPURE_USES)
def test_what_depends_on_more_than_the_inputs_is_refused(meaning, body: str) -> None:
    before = "import decimal, glob, operator, platform, shutil\nimport pandas as pd\ndef g(m):\n    return 1\n"
    expected = "more than the inputs|ask the clock|uninitialised|as a value|own workings|changes what it is given"
    with pytest.raises(DefinitionError, match=expected):
        meaning(f"{before}def f(a):\n    return {body}\n")


CHANGES = [
    "SEEN.append(1)", "N['n'] += 1", "N['n'] = 1", "del N['n']", "N.update(n=2)", "N.setdefault('m', 1)", "N.pop('n')",
    "LEVELS.add(1)", "LEVELS.discard(1)", "EDGES[0] = 1", "EDGES += 1; EDGES[0] += 1", "EDGES.sort()", "EDGES.fill(0)",
    "EDGES.T[0] = 1", "EDGES.flat[0] = 1", "EDGES.tofile('x')", "np.put(EDGES, 0, 1)", "np.copyto(EDGES, 1)",
    "np.add(a, 1, out=EDGES)", "np.add(a, 1, out=(EDGES,))", "np.add(a, 1, EDGES)", "np.add.at(EDGES, 0, 1)",
    "t = N; t['n'] = 1", "t = EDGES[:]; t += 1", "t = np.asarray(EDGES); t[0] = 1", "t = u = EDGES; u[0] = 1",
    "t = a if len(a) else EDGES; t[0] = 1", "[DEEP['x'].append(v) for v in a]", "add = SEEN.append; add(1)",
    "list.append(SEEN, 1)", "for t in DEEP.values(): t.append(1)", "first, t = 1, SEEN; t.append(1)",
    "for N['n'] in a: pass", "np.new = 1", "f.calls = 1", "Thing.calls = 1", "spoil(a)", "spoil_in_part(a)", "count(a)",
    "list(map(SEEN.append, a))", "(t := SEEN).append(1)", "heapq.heappush(SEEN, 1)", "keeps(a)",
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_changes_of_what_is_not_its_own_are_refused(meaning, change: str) -> None:
    before = (
        "import heapq\nSEEN = []\nN = {'n': 0}\nLEVELS = {1}\nDEEP = {'x': []}\n"
        "def spoil(v):\n    v[0] = 1\n    return v\n"
        "def spoil_in_part(v):\n    part = v[1:]\n    part += 1\n    return v\n"
        "def count(v):\n    count.calls = 1\n    return v\n"
        "def keeps(v, _s=[0]):\n    return v\n"
    )
    lines = change.replace("EDGES += 1; ", "").replace("; ", "\n    ")
    expected = "not its own|changes what it is given|change what it is given|can change from call to call"
    with pytest.raises(DefinitionError, match=expected):
        meaning(f"{before}def f(a):\n    {lines}\n    return a\n")


@pytest.mark.parametrize(
    "work",
    [
        "out = np.zeros(len(a)); out[a > 1] = 2; return out",
        "a[a > 1] = 1; a += 1; return a",
        "rate = TABLE['a']; rate += 1; return a * rate",
        "total = 0; found = []; [found.append(v) for v in a]; total += 1; return np.array(found) + total",
        "own = EDGES.copy(); own[0] = 1; return own",
        "own = np.array(EDGES); own.sort(); return own",
        "own = dict(TABLE); own.update(a=2); return a * own['a']",
        "out = a * EDGES[0]; out[0] = 1; return out",
        "return np.add(a, 1) + np.sort(a) + EDGES.sum() + np.insert(a, 0, 1)[1:] + TABLE.get('a', 0)",
        "return a - np.datetime64('2020-01-01')",
        "return np.where(a == 'now', 1, 2) if isinstance(a, np.ndarray) else a",
        "for word in ('x', 'y'): word += 'z'\n    return a",
    ],
)
def test_work_on_values_of_its_own_is_taken(meaning, work: str) -> None:
    assert len(meaning("def f(a):\n    " + work.replace("; ", "\n    ") + "\n")) == 64


def test_changes_are_named_by_file_line_and_mend(meaning) -> None:
    assert_refused(
        lambda: meaning("SEEN = []\ndef f(a):\n    SEEN.append(1)\n    return a\n"),
        ".py:14: RequestFeature f", "it changes SEEN, which is not its own", "change a copy",
    )  # fmt: skip


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
