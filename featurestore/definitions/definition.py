"""What all definitions share: a checked name, a canonical description, a digest, and the line they stand on."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar

from featurestore.foundation.canonical import digest
from featurestore.foundation.clock import parse_duration
from featurestore.foundation.errors import ClockError, DefinitionError
from featurestore.semantics.value import DType

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_OWN_PACKAGE = __name__.rpartition(".")[0]
LONGEST_NAME = 128


class Definition:
    """A named part of the definition set.

    Two definitions are equal if they are of one class and mean the same: ``description``, ``owner`` and ``path`` are
    no part of the meaning, nor of the digest.

    Attributes
    ----------
    name
        Letters a-z, digits and underscores, a letter first.
    site
        ``file:line`` where it was constructed, or ``None`` if there is no such file.
    """

    noun: ClassVar[str] = "Definition"
    name: str
    site: str | None = None

    @property
    def label(self) -> str:
        """How errors call it, such as ``FeatureView household_spending``."""
        return f"{self.noun} {self.name}"

    def describe(self) -> dict[str, Any]:
        """Return its whole meaning, what it refers to included, as plain data: types as text, durations in µs."""
        raise NotImplementedError

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `describe`, 64 hexadecimal digits."""
        return digest(self.describe())

    def about(self) -> dict[str, Any]:
        """Return what is told about it but is no part of its meaning."""
        told = {key: getattr(self, key, "") for key in ("description", "owner", "path")}
        return {key: value for key, value in told.items() if value}

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Definition) and self.noun == other.noun and self.digest == other.digest

    def __hash__(self) -> int:
        return hash((self.noun, self.name))

    def refuse(self, what: str, mend: str | None = None) -> DefinitionError:
        """Return the error to raise about this definition."""
        return DefinitionError(what, where=self.label, mend=mend)

    def _named(self, name: object) -> None:
        """Set the name, checked, and the site."""
        check_name(name, self.noun)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "site", construction_site())


def check_name(name: object, noun: str) -> None:
    """Refuse a name that is not an identifier of a-z, 0-9 and underscores, a letter first."""
    if isinstance(name, str) and _NAME.fullmatch(name) and len(name) <= LONGEST_NAME:
        return
    mend = "a name is a-z, 0-9 and _, a letter first"
    if isinstance(name, str):
        better = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_").lstrip("0123456789_")[:LONGEST_NAME]
        mend = f"call it {better!r}: {mend}" if better else mend
    raise DefinitionError(f"{name!r} is not a name", where=noun, mend=mend)


def check_text(owner: Definition, field: str, value: object, *, empty: bool = True) -> None:
    """Refuse a field that is not text, or is empty though it must not be."""
    if not isinstance(value, str):
        raise owner.refuse(f"{field} is {value!r}, not text", f"give {field} a string")
    if not empty and not value.strip():
        raise owner.refuse(f"{field} is empty", f"give {field} a value")


def check_dtype(owner: Definition, field: str, value: object) -> None:
    """Refuse a field that is not a type."""
    if not isinstance(value, DType):
        raise owner.refuse(
            f"{field} is {value!r}, not a type",
            "use Int64, Float64, Float32, Bool, String, Timestamp or Decimal(scale)",
        )


def check_instance(owner: Definition, field: str, value: object, kinds: type | tuple[type, ...], mend: str) -> None:
    """Refuse a field of another class than it must have."""
    if not isinstance(value, kinds):
        raise owner.refuse(f"{field} is {shown(value)}", mend)


def duration_us(where: str, field: str, value: object, *, zero: bool = False) -> int:
    """Return a duration field in microseconds; refuse what is none, and zero unless it is allowed."""
    if not isinstance(value, str):
        raise DefinitionError(f"{field} is {value!r}, not a duration", where=where, mend=f'write {field}="30d"')
    try:
        parsed = parse_duration(value)
    except ClockError as error:
        raise DefinitionError(f"{field}: {error.what}", where=where, mend=error.mend) from None
    if parsed == 0 and not zero:
        mend = f'{field}=None for none, or a length such as "30d"' if field == "ttl" else 'give a length such as "30d"'
        raise DefinitionError(f"{field} is zero", where=where, mend=mend)
    if parsed >= 2**61:
        raise DefinitionError(f"{field} is longer than 70,000 years", where=where, mend="give a shorter one")
    return parsed


def nearest(name: object, known: Iterable[str]) -> str:
    """Return a mend for an unknown name: the nearest known one, or all that are known."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known are {', '.join(known)}" if known else "there is none to choose from"


def shown(value: object) -> str:
    """Return how an error shows a value that is not what it should be."""
    if isinstance(value, Definition):
        return value.label
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def construction_site(within: str = _OWN_PACKAGE) -> str | None:
    """Return ``file:line`` of the innermost caller outside a package, by default this one; ``None`` if it has none."""
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to a caller's line
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith((_OWN_PACKAGE, within)):
        frame = frame.f_back
    path = frame.f_code.co_filename
    return None if path.startswith("<") else f"{path}:{frame.f_lineno}"
