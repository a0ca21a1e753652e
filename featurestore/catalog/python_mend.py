"""What to do about an exception that a project's own code raised: the nearest name, or the arguments there are."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from featurestore import definitions as public_names

_CALL = r"(\w+)(?:\.__init__)?\(\) "
_UNEXPECTED = re.compile(_CALL + r"got an unexpected keyword argument '(\w+)'")
_ARGUMENTS = re.compile(_CALL + r"(?:missing \d+ required|takes )")
_NOT_IN_MODULE = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")


def mend_for(error: BaseException, names: Mapping[str, Any]) -> str:
    """Return the mend of an exception.

    Parameters
    ----------
    names
        The global names of the module it was raised in.
    """
    if isinstance(error, TypeError):
        return _call_mend(str(error), names)
    if isinstance(error, ModuleNotFoundError):
        return "install the module, or put it beside the definitions"
    if isinstance(error, ImportError):
        return _import_mend(str(error))
    if isinstance(error, NameError):
        if error.name in public_names.__all__:
            return f"import it: from featurestore.definitions import {error.name}"
        unknown = "import or define the name first; definitions come from featurestore.definitions"
        return _near(error.name, [*names, *public_names.__all__], unknown)
    if isinstance(error, AttributeError):
        return _near(error.name, [name for name in dir(error.obj) if not name.startswith("_")], "correct the line")
    return "correct the line"


def _call_mend(message: str, names: Mapping[str, Any]) -> str:
    unexpected, arguments = _UNEXPECTED.match(message), _ARGUMENTS.match(message)
    if unexpected:
        taken = _parameters(unexpected[1], names)
        return _near(unexpected[2], taken, f"{unexpected[1]} takes {', '.join(taken)}" if taken else "correct the line")
    taken = _parameters(arguments[1], names) if arguments else []
    return f"{arguments[1]} takes {', '.join(taken)}" if arguments and taken else "correct the line"


def _import_mend(message: str) -> str:
    found = _NOT_IN_MODULE.search(message)
    module = sys.modules.get(found[2]) if found else None
    if found is None or module is None:
        return "correct the import"
    return _near(found[1], getattr(module, "__all__", dir(module)), f"see what {found[2]} has")


def _parameters(called: str, names: Mapping[str, Any]) -> list[str]:
    """Return the parameters of a function or class by its name, none if it is not known."""
    target = names.get(called, getattr(public_names, called, None))
    if not callable(target):
        return []
    return [name for name in inspect.signature(target).parameters if name != "_"]


def _near(name: object, known: Iterable[str], otherwise: str) -> str:
    close = difflib.get_close_matches(str(name), sorted(set(known)), n=1)
    return f"did you mean {close[0]!r}?" if close else otherwise
