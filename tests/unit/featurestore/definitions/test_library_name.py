import functools
import math
import operator
import statistics
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from featurestore.definitions.library_name import changes_argument, changes_owner, impure, in_library, library_name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (np.log, "numpy.log"),
        (np.sum, "numpy.sum"),
        (np.array, "numpy.array"),
        (np.float64, "numpy.float64"),
        (np.linalg.norm, "numpy.linalg.norm"),
        (math.floor, "math.floor"),
        (functools.reduce, "functools.reduce"),
        (operator.add, "operator.add"),
        (str.lower, "builtins.str.lower"),
        (dict.fromkeys, "builtins.dict.fromkeys"),
        (datetime.fromisoformat, "datetime.datetime.fromisoformat"),
        (len, "builtins.len"),
        (statistics.NormalDist, "statistics.NormalDist"),
        (statistics.NormalDist(0, 1).cdf, None),
        ({1: 2}.get, None),
        (np.array([1]).take, None),
        (np.add.reduce, None),
        (np.random.rand, None),
        (np.vectorize(len), None),
        (np.poly1d([1, 2]), None),
        (functools.partial(len), None),
        (lambda: 1, None),
        (object(), None),
        (np, None),
    ],
)
def test_only_what_stands_under_its_name_has_one(value: Any, name: str | None) -> None:
    assert library_name(value) == name


def test_a_value_that_takes_the_name_of_another_has_none() -> None:
    def sum(a: Any) -> Any:  # noqa: A001 - the point
        return a

    sum.__module__, sum.__qualname__ = "numpy", "sum"
    assert library_name(sum) is None
    assert library_name(np.vectorize(sum)) is None


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        (None, True),
        ("<frozen os>", True),
        (math.__spec__.origin, True),
        (np.__file__, True),
        ("/home/me/.local/lib/python3.11/site-packages/numpy/__init__.py", True),
        ("/usr/lib/python3/dist-packages/numpy/__init__.py", True),
        ("/home/me/project/features.py", False),
        (__file__, False),
    ],
)
def test_in_library(path: str | None, inside: bool) -> None:
    assert in_library(path) is inside


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("numpy.random", True), ("numpy.random.mtrand.rand", True), ("numpy.load", True), ("numpy.ma.empty", True),
        ("numpy.randomly", False), ("numpy.log", False), ("os.environ", True), ("_io.open", True), ("time.time", True),
        ("pandas.io.parsers.read_csv", True), ("pandas.cut", False), ("builtins.getattr", True),
        ("builtins.len", False), ("math.floor", False), ("statistics.NormalDist.samples", True),
        ("scipy.special.gammaln", False), ("datetime.datetime.now", True), ("datetime.datetime", False),
    ],
)  # fmt: skip
def test_impure(name: str, expected: bool) -> None:
    assert impure(name) is expected


def test_what_changes_things() -> None:
    assert all(changes_argument(name) for name in ("numpy.put", "heapq.heappush", "builtins.list.append"))
    assert not any(changes_argument(name) for name in ("numpy.sort", "operator.add", "builtins.str.lower"))
    assert all(changes_owner(name) for name in ("append", "sort", "fill"))
    assert not any(changes_owner(name) for name in ("get", "astype", "mean"))
