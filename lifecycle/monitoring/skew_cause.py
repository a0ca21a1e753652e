"""Why a logged value is not what history gives: the causes, and the choice among those that the evidence allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from featurestore.foundation.clock import MINUTE


class Cause(StrEnum):
    """Why a logged value differs, in the order in which causes are looked for.

    ``DEFINITION_CHANGED``: the definition in force is not the one that the model answered with. ``LATE_SCHEDULE``: the
    logged values are those of another instant. ``BEYOND_RETENTION``: an event older than what the online store keeps
    touched the key. ``MISSING_EVENT``: serving had not seen one event that was visible. ``STORED_ROW``: the online
    store holds a row with these values, which history does not give. ``UNKNOWN``: none of these. ``UNEXAMINED``: there
    were more mismatches than are looked into one by one, and no cause that was found for others explains this one.
    """

    DEFINITION_CHANGED = "definition-changed"
    LATE_SCHEDULE = "late-schedule"
    BEYOND_RETENTION = "beyond-retention"
    MISSING_EVENT = "missing-event"
    STORED_ROW = "stored-row"
    UNKNOWN = "unknown"
    UNEXAMINED = "unknown (not examined)"


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause, what of the evidence says so, and the name of the shift or the number of the event that it is about."""

    cause: Cause
    why: str
    shift: str | None = None
    event: int | None = None


@dataclass(frozen=True, slots=True)
class Shift:
    """Another instant, relative to the read: ``name`` is the same for the same probe at every row."""

    name: str
    shift_us: int
    told: str


@dataclass(slots=True)
class Evidence:
    """What explains all the logged values of one view in one record.

    Attributes
    ----------
    group
        View and entity key.
    shifts
        Other instants at which history gives the logged values, nearest first.
    lost
        Events without which, or without the last version of which, it does: what is told of each, by its number.
    beyond
        What is told of an event older than the retention that touched the key, ``None`` if there is none.
    stored
        What is told of the stored row that holds the logged values, ``None`` if it does not.
    """

    group: tuple[str, object]
    shifts: Sequence[Shift] = ()
    lost: Mapping[int, str] = field(default_factory=dict)
    beyond: str | None = None
    stored: str | None = None


SMALL_SHIFT_US = MINUTE
"""A longer shift needs rows that nothing else explains, where a lost event explains the row as well."""


def decide(evidence: Sequence[Evidence]) -> list[Finding]:
    """Choose a cause for each of some rows, in their order.

    Rows of one key are judged together: what explains them all goes before what explains each in its own way. A long
    shift and a lost event often explain one row alike, as nothing else changed between; then the shift is believed
    only if some key's rows need it.
    """
    groups: dict[tuple[str, object], list[int]] = {}
    for at, each in enumerate(evidence):
        groups.setdefault(each.group, []).append(at)
    needed = _needed_shifts([[evidence[at] for at in members] for members in groups.values()])
    found: dict[int, Finding] = {}
    for members in groups.values():
        rows = [evidence[at] for at in members]
        shift, event = _common_shift(rows), _common_event(rows)
        for at in members:
            found[at] = _of_row(evidence[at], shift, event, needed)
    return [found[at] for at in range(len(evidence))]


def _of_row(row: Evidence, shift: str | None, event: int | None, needed: frozenset[str]) -> Finding:
    shifts = [each for each in row.shifts if shift is None or each.name == shift]
    lost = [(number, told) for number, told in row.lost.items() if event is None or number == event]
    chosen = shifts[0] if shifts else None
    if chosen is not None and not _yields(chosen, row, shift, event, needed):
        return Finding(Cause.LATE_SCHEDULE, f"history gives these values at {chosen.told}", chosen.name)
    if row.beyond is not None:
        return Finding(Cause.BEYOND_RETENTION, row.beyond)
    if lost:
        return Finding(Cause.MISSING_EVENT, lost[0][1], event=lost[0][0])
    if row.stored is not None:
        return Finding(Cause.STORED_ROW, row.stored)
    return Finding(Cause.UNKNOWN, "no other instant, no lost event and no stored row gives these values")


def _yields(chosen: Shift, row: Evidence, shift: str | None, event: int | None, needed: frozenset[str]) -> bool:
    """Tell whether a shift gives way to another explanation of the row."""
    if not row.lost and row.beyond is None:
        return False
    if shift is None and event is not None:
        return True
    return abs(chosen.shift_us) > SMALL_SHIFT_US and chosen.name not in needed


def _needed_shifts(groups: Iterable[Sequence[Evidence]]) -> frozenset[str]:
    """Return the shifts that explain all of some key's rows while no one event does."""
    lonely = (rows for rows in groups if _common_event(rows) is None and not any(row.beyond for row in rows))
    return frozenset(name for rows in lonely if (name := _common_shift(rows)) is not None)


def _common_shift(rows: Sequence[Evidence]) -> str | None:
    """Return the nearest shift that explains all rows."""
    common = set.intersection(*({each.name for each in row.shifts} for row in rows))
    return next((each.name for each in rows[0].shifts if each.name in common), None)


def _common_event(rows: Sequence[Evidence]) -> int | None:
    """Return the first event whose loss explains all rows."""
    common = set.intersection(*(set(row.lost) for row in rows))
    return next((number for number in rows[0].lost if number in common), None)
