"""Look into values that history does not give: at which other instant, without which event, or in which row it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import FeatureView
from featurestore.foundation.clock import DAY, HOUR, MINUTE, SECOND, format_duration, format_instant
from featurestore.semantics.aggregate import EventLog
from lifecycle.monitoring.lost_event import Without, change_instants, logs_without, losses, values_of, values_without
from lifecycle.monitoring.skew_cause import Cause, Evidence, Finding, Shift
from lifecycle.monitoring.stored_row import StoredRows
from lifecycle.monitoring.view_history import ViewAsked, ViewHistory

FIXED_SHIFTS = (SECOND, MINUTE, HOUR, DAY)
CHANGES_BEFORE, CHANGES_AFTER = 8, 2
"""So many of a key's own changes before and after t are tried as instants."""
SEPARATE_LOGS = 16
"""Keys, of one examination, whose log is read at a commit of their own."""

STORED_ROWS = 1_000
"""Rows of one key that are held to its stored row at a time."""

EventName = Callable[[FeatureView, int, int], str]
"""How an event is called: told the view, the event's number and its timestamp."""


class Examiner:
    """Gather what explains logged values of one view.

    Parameters
    ----------
    stored
        The online store's rows of the view, ``None`` to leave them out.
    retention_us
        How long after it happened the online store still knows an event, ``None`` where history came by import alone.
    event_name
        How an event is told of.
    """

    def __init__(
        self, history: ViewHistory, stored: StoredRows | None, retention_us: int | None, event_name: EventName
    ) -> None:
        self._history = history
        self._stored = stored
        self._retention_us = retention_us
        self._event_name = event_name

    @property
    def view_name(self) -> str:
        """The view's name."""
        return self._history.view.name

    def examine(self, asked: ViewAsked, names: Sequence[str]) -> list[Evidence]:
        """Return the evidence for each row.

        Parameters
        ----------
        names
            The features that are held to it: all that the definitions still mean as they did.
        """
        logs = self._logs(asked, names)
        keys = asked.keys.to_pylist()
        found = [Evidence((self._history.view.name, key)) for key in keys]
        self._find_shifts(asked, names, logs, found)
        for at, log in enumerate(logs):
            if log is not None:
                row = asked.take(np.array([at]))
                found[at].lost = self._lost(row, log, names)
                found[at].beyond = self._beyond(log, int(asked.instants_us[at]))
        if self._stored is not None:
            for at, told in enumerate(self._stored.explain(asked, names)):
                found[at].stored = told
        return found

    def shifted(self, asked: ViewAsked, shift_us: int, names: Sequence[str]) -> NDArray[np.bool_]:
        """Tell which rows hold the values of an instant so much later."""
        values = self._history.values_at(asked.keys, asked.instants_us + shift_us, asked.sequences)
        return asked.values.agree(values, names)

    def fits(self, asked: ViewAsked, finding: Finding, names: Sequence[str]) -> NDArray[np.bool_]:
        """Tell which of some rows of one key are explained by what was found for others of it.

        That an event came too late for the online store is taken to explain them all.
        """
        fits = np.full(len(asked), finding.cause is Cause.BEYOND_RETENTION)
        if finding.event is not None:
            (log,) = self._history.logs(asked.keys.take(np.zeros(1, np.int64)), self._history.newest)
            for each in logs_without(log, finding.event):
                fits |= asked.values.agree(values_of(self._history.view, each, asked.instants_us, names), names)
        elif finding.cause is Cause.STORED_ROW and self._stored is not None:
            few = np.arange(min(len(asked), STORED_ROWS))
            fits[few] = [told is not None for told in self._stored.explain(asked.take(few), names)]
        return fits

    def _find_shifts(
        self, asked: ViewAsked, names: Sequence[str], logs: Sequence[EventLog | None], found: list[Evidence]
    ) -> None:
        probes = [
            [*fixed_shifts(), *([] if log is None else self._changes(log, int(t_us)))]
            for log, t_us in zip(logs, asked.instants_us, strict=True)
        ]
        rows = np.repeat(np.arange(len(asked)), [len(each) for each in probes])
        shifts = [shift for each in probes for shift in each]
        moved = asked.instants_us[rows] + np.array([shift.shift_us for shift in shifts], dtype=np.int64)
        values = self._history.values_at(asked.keys.take(rows), moved, asked.sequences[rows])
        agreed = asked.values.take(rows).agree(values, names)
        for at in range(len(asked)):
            fitting = [shifts[i] for i in np.flatnonzero((rows == at) & agreed).tolist()]
            found[at].shifts = sorted(fitting, key=_plainness)

    def _changes(self, log: EventLog, t_us: int) -> Iterable[Shift]:
        """Give the instants just before the key's last changes, and those of its next ones."""
        instants = change_instants(self._history.view, log)
        middle = int(np.searchsorted(instants, t_us, side="right"))
        for number, change in enumerate(reversed(instants[max(0, middle - CHANGES_BEFORE) : middle].tolist())):
            told = f"{lasting(t_us - change)} earlier, before the change of {format_instant(change)}"
            yield Shift(f"before change {number}", change - 1 - t_us, told)
        for number, change in enumerate(instants[middle : middle + CHANGES_AFTER].tolist()):
            told = f"{lasting(change - t_us)} later, after the change of {format_instant(change)}"
            yield Shift(f"after change {number}", change - t_us, told)

    def _logs(self, asked: ViewAsked, names: Sequence[str]) -> list[EventLog | None]:
        """Return each row's versions as committed up to its s; ``None`` where that would cost too much."""
        history = self._history
        logs: list[EventLog | None] = list(history.logs(asked.keys, history.newest))
        newest = np.full(len(asked), history.newest)
        then, now = (history.values_at(asked.keys, asked.instants_us, s) for s in (asked.sequences, newest))
        apart = np.flatnonzero(~then.agree(now, names))
        for place, at in enumerate(apart.tolist()):
            one = asked.keys.take(np.array([at]))
            logs[at] = history.logs(one, int(asked.sequences[at]))[0] if place < SEPARATE_LOGS else None
        return logs

    def _lost(self, row: ViewAsked, log: EventLog, names: Sequence[str]) -> dict[int, str]:
        t_us = int(row.instants_us[0])
        without = list(losses(log, t_us))
        values = values_without(self._history.view, log, t_us, without, names)
        agreed = row.values.take(np.zeros(len(without), np.int64)).agree(values, names)
        fitting = [without[i] for i in np.flatnonzero(agreed).tolist()]
        return {self._number(log, each): self._told(log, each) for each in reversed(fitting)}

    def _number(self, log: EventLog, without: Without) -> int:
        return without.version if log.ids is None else int(log.ids[without.version])

    def _told(self, log: EventLog, without: Without) -> str:
        version = without.version
        event_us, leave_us = int(log.event_us[version]), int(log.leave_us[version])
        name = self._event_name(self._history.view, self._number(log, without), event_us)
        if without.arrived:
            since = format_instant(int(log.available_us[version]))
            return f"event {name} of {format_instant(event_us)}, available since {since}, was not counted"
        return f"what ended event {name} of {format_instant(event_us)} at {format_instant(leave_us)} was not counted"

    def _beyond(self, log: EventLog, t_us: int) -> str | None:
        if self._retention_us is None:
            return None
        late = log.available_us - log.event_us
        old = np.flatnonzero((late > self._retention_us) & (log.available_us <= t_us))
        if not len(old):
            return None
        number = 0 if log.ids is None else int(log.ids[old[-1]])
        name = self._event_name(self._history.view, number, int(log.event_us[old[-1]]))
        return (
            f"event {name} came {lasting(int(late[old[-1]]))} after it happened, and the online store knows "
            f"events for {lasting(self._retention_us)}"
        )


def fixed_shifts() -> list[Shift]:
    """Return the shifts that are tried at every row, nearest first."""
    return [
        Shift(f"{format_duration(shift_us)} {word}", sign * shift_us, f"{format_duration(shift_us)} {word}")
        for shift_us in FIXED_SHIFTS
        for sign, word in ((-1, "earlier"), (1, "later"))
    ]


def _plainness(shift: Shift) -> tuple[int, bool, int]:
    """Sort shifts by what they are up to, a second, a minute and so on; within it those tried everywhere go first."""
    length = abs(shift.shift_us)
    upto = sum(length > fixed for fixed in FIXED_SHIFTS)
    return upto, shift.name not in {each.name for each in fixed_shifts()}, length


def lasting(duration_us: int) -> str:
    """Write a duration for a reader: whole seconds in their unit, others in seconds or days."""
    if duration_us % SECOND == 0:
        return format_duration(duration_us)
    return f"{duration_us / DAY:.2f} days" if duration_us > DAY else f"{duration_us / SECOND:.6f} s"
