from types import SimpleNamespace
from typing import Any

import pytest

from featurestore.catalog.python_mend import mend_for


def share(*, value: int, total: int = 1) -> float:
    return value / total


def raised(code: str, names: dict[str, Any]) -> BaseException:
    try:
        exec(code, names)
    except (TypeError, ImportError, NameError, AttributeError, ZeroDivisionError) as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("code", "mend"),
    [
        ("share(valu=1)", "did you mean 'value'?"),
        ("share(value=1, zzz=1)", "share takes value, total"),
        ("share()", "share takes value, total"),
        ("share(1)", "share takes value, total"),
        ("mystery()", "correct the line"),
        ("1 + 'a'", "correct the line"),
        ("import nowhere_at_all", "install the module, or put it beside the definitions"),
        ("from featurestore.definitions import Summ", "did you mean 'Sum'?"),
        ("from featurestore.definitions import Zzzzzz", "see what featurestore.definitions has"),
        ("Count", "import it: from featurestore.definitions import Count"),
        ("Countt", "did you mean 'Count'?"),
        ("shaer", "did you mean 'share'?"),
        ("zzzzzz", "import or define the name first; definitions come from featurestore.definitions"),
        ("thing.colour", "did you mean 'color'?"),
        ("thing.zzzzzz", "correct the line"),
        ("1 / 0", "correct the line"),
    ],
)
def test_a_mend_names_what_is_near_or_what_there_is(code: str, mend: str) -> None:
    def mystery() -> None:
        raise TypeError("elsewhere() takes 1 positional argument but 2 were given")

    names = {"share": share, "thing": SimpleNamespace(color=1), "mystery": mystery}
    assert mend_for(raised(code, names), names) == mend
