"""What a feature is, by the laws, written to be obviously right and with no thought for speed.

It shares nothing with the engine: plain Python loops, exact fractions, its own order and its own rounding. A history is
a list of versions in the order of their imports; a question is a view, a key, an instant t and a commit sequence s.
"""

import decimal
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

PRESENT, NULL, MISSING, EXPIRED = "present", "null", "missing", "expired"


@dataclass
class Version:
    """One imported row: what it says of one event, since which commit s, and whether it withdraws the event."""

    identity: tuple[Any, ...]
    event: int
    available: int
    s: int
    values: dict[str, Any]
    deleted: bool = False


@dataclass
class Ask:
    """One feature: ``count``, ``sum``, ``mean``, ``min``, ``max``, ``std``, ``last`` or ``distinct``."""

    name: str
    kind: str
    column: str | None
    window: int | None
    scale: int | None = None


@dataclass
class View:
    """The features of a key: which column holds the key, which rows count, what is computed from a row."""

    key: str
    asks: list[Ask]
    ttl: int | None = None
    where: Callable[[dict[str, Any]], bool | None] = lambda row: True
    derive: dict[str, Callable[[dict[str, Any]], Any]] = field(default_factory=dict)


@dataclass
class Answer:
    """A value, None for null, and its status."""

    value: Any
    status: str


def answers(history: list[Version], view: View, key: Any, t: int, s: int) -> dict[str, Answer]:
    """Return every feature of the view for one key, as of instant ``t`` over the commits up to ``s``."""
    events = [version for version in visible(history, t, s) if counts(view, version, key)]
    events.sort(key=lambda version: (version.event, version.available, version.identity))
    if view.ttl is not None and events and t - events[-1].event > view.ttl:
        return {ask.name: Answer(None, EXPIRED) for ask in view.asks}
    return {ask.name: answer(ask, view, events, t) for ask in view.asks}


def latest_event(history: list[Version], view: View, key: Any, t: int, s: int) -> int | None:
    """Return the event timestamp of the latest event that the key's view shows at ``t``."""
    return max((v.event for v in visible(history, t, s) if counts(view, v, key)), default=None)


def label(history: list[Version], view: View, ask: Ask, key: Any, t: int, s: int, *, over: int, late: int) -> Answer:
    """Return an aggregate over the events of ``(t, t + over]``, as known at ``t + over + late``."""
    known = visible(history, t + over + late, s)
    events = [v for v in known if counts(view, v, key) and t < v.event <= t + over]
    events.sort(key=lambda version: (version.event, version.available, version.identity))
    return computed(ask, view, events)


def visible(history: list[Version], t: int, s: int) -> list[Version]:
    """Return the newest version of each event that is known at ``t``, unless it withdraws it or lies in the future."""
    newest: dict[tuple[Any, ...], Version] = {}
    for version in history:
        if version.s <= s and version.available <= t:
            newest[version.identity] = version
    return [version for version in newest.values() if not version.deleted and version.event <= t]


def counts(view: View, version: Version, key: Any) -> bool:
    """Tell whether a version is of the key and meets the view's condition."""
    held = version.values[view.key]
    return held is not None and held == key and view.where(version.values) is True


def answer(ask: Ask, view: View, events: list[Version], t: int) -> Answer:
    """Return one feature over the events of the window ``(t - W, t]``, given in order."""
    if ask.window is not None:
        events = [version for version in events if version.event > t - ask.window]
    return computed(ask, view, events)


def computed(ask: Ask, view: View, events: list[Version]) -> Answer:
    """Return one aggregate over events, given in order."""
    column = ask.column
    if column is None:
        return Answer(len(events), PRESENT)
    derived = view.derive.get(column, lambda row: row[column])
    cells = [derived(version.values) for version in events]
    values = [cell for cell in cells if cell is not None]
    if ask.kind == "count":
        return Answer(len(values), PRESENT)
    if ask.kind == "distinct":
        return Answer(len({sortable(value) for value in values}), PRESENT)
    if not events:
        return Answer(None, MISSING)
    value = cells[-1] if ask.kind == "last" else reduced(ask, values)
    return Answer(value, NULL if value is None else PRESENT)


def reduced(ask: Ask, values: list[Any]) -> Any:
    """Return a minimum, maximum, sum, mean or deviation of non-null values."""
    if not values:
        return None
    if ask.kind in ("min", "max"):
        chosen = (min if ask.kind == "min" else max)(values, key=sortable)
        return chosen + 0.0 if isinstance(chosen, float) else chosen
    numbers = [exact(value, ask.scale) for value in values]
    if ask.kind == "std":
        return deviation(numbers)
    if any(number is None for number in numbers):
        return math.nan
    total = sum(number for number in numbers if number is not None)
    if ask.kind == "mean":
        return nearest_double(Fraction(total, len(numbers)))
    return int(total) if isinstance(values[0], int) else nearest_double(total)


def deviation(numbers: list[Fraction | None]) -> float | None:
    """Return the sample standard deviation: the root of the variance rounded once to a double."""
    if len(numbers) < 2:
        return None
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return math.nan
    mean = sum(known, Fraction(0)) / len(known)
    variance = sum(((number - mean) ** 2 for number in known), Fraction(0)) / (len(known) - 1)
    return math.sqrt(nearest_double(variance))


def exact(value: Any, scale: int | None) -> Fraction | None:
    """Return a number as a fraction: a float rounded half to even at its scale; None if it has no such form."""
    if not isinstance(value, float):
        return Fraction(value)
    if math.isnan(value) or math.isinf(value):
        return None
    power = 10 ** (scale or 0)
    try:
        product = Fraction(nearest_double(Fraction(value) * power))
    except OverflowError:
        return None
    whole = round(product)
    return None if abs(whole) > 2**62 else Fraction(whole, power)


def nearest_double(number: Fraction | int) -> float:
    """Return the nearest double, ties to even: 53 bits, rounded once, times a power of two."""
    if number == 0:
        return 0.0
    if number < 0:
        return -nearest_double(-number)
    exponent = max(math.floor(math.log2(number.numerator) - math.log2(number.denominator)) - 53, -1074)
    while number >= Fraction(2) ** (exponent + 53):
        exponent += 1
    while exponent > -1074 and number < Fraction(2) ** (exponent + 52):
        exponent -= 1
    return math.ldexp(round(number / Fraction(2) ** exponent), exponent)


def sortable(value: Any) -> Any:
    """Return what orders and tells apart values of a column: one zero, one NaN above infinity, text by code point."""
    if isinstance(value, float):
        return (math.isnan(value), 0.0 if math.isnan(value) or value == 0 else value)
    return tuple(map(ord, value)) if isinstance(value, str) else value


def bits(value: Any) -> Any:
    """Return what two equal answers have in common: a double's bits (one NaN), else the value; a decimal's number."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack(">d", value)
    return Fraction(value) if isinstance(value, decimal.Decimal) else value
