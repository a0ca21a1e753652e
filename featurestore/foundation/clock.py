"""The only source of time: every store and program is handed a `Clock`.

An instant is an ``int``: microseconds since 1970-01-01T00:00:00Z. A duration is an ``int`` of microseconds. Nothing
outside this module may ask the operating system for the time of day (ruff's banned-api holds that); what needs a
stop-watch uses ``time.monotonic`` or ``time.perf_counter``.
"""

from __future__ import annotations

import mmap
import os
import re
import secrets
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from featurestore.foundation.errors import ClockError

MICROSECOND = 1
MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

EARLIEST_US = -62_135_596_800_000_000
"""0001-01-01T00:00:00Z, the first instant that can be stored."""
LATEST_US = 253_402_300_799_999_999
"""9999-12-31T23:59:59.999999Z, the last instant that can be stored."""

_UNITS = {"us": MICROSECOND, "ms": MILLISECOND, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
_DURATION = re.compile(r"(\d+)(us|ms|s|m|h|d|w)")
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.(?P<decimals>\d+))?(?P<zone>[Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORD = struct.Struct("=q")


class Clock(Protocol):
    """Tell the present instant, in microseconds UTC."""

    def now_us(self) -> int:
        """Return the present instant, microseconds since the epoch, UTC."""
        ...


class SystemClock:
    """The operating system's time of day."""

    def now_us(self) -> int:
        """Return the present instant, microseconds since the epoch, UTC."""
        return time.time_ns() // 1_000


class FixedClock:
    """A clock that stands still until it is set: history is replayed by setting it."""

    def __init__(self, instant_us: int) -> None:
        self._instant_us = instant_us

    def now_us(self) -> int:
        """Return the instant it was last set to."""
        return self._instant_us

    def set(self, instant_us: int) -> None:
        """Move the clock to ``instant_us``; going backwards is allowed, as replays do."""
        self._instant_us = instant_us


class StartedClock:
    """A clock that starts at a given instant and runs at the pace of the real one."""

    def __init__(self, start_us: int) -> None:
        self._start_us = start_us
        self._began_ns = time.monotonic_ns()

    def now_us(self) -> int:
        """Return the start plus what has passed since the clock was made."""
        return self._start_us + (time.monotonic_ns() - self._began_ns) // 1_000


class SharedClock:
    """A clock in a file of 8 bytes, which many processes read and one sets: a replay's time, in each of its programs.

    A set is seen by the next read of every process, whole: the file is mapped into memory, and an instant is one
    machine word. The file must stay where it is while it is used. Nothing is synced; after a power cut set it anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mapped: memoryview | None = None
        self._writable = False

    def now_us(self) -> int:
        """Return the instant last set by any process.

        Raises
        ------
        ClockError
            If the file is missing, or is no clock.
        """
        return self._instant(write=False)[0]

    def set(self, instant_us: int) -> None:
        """Move the clock to ``instant_us``, for everybody; makes file and folder if they are missing."""
        if not self._path.exists():
            self._make(instant_us)
        self._instant(write=True)[0] = instant_us

    def _instant(self, *, write: bool) -> memoryview:
        if self._mapped is None or (write and not self._writable):
            self._mapped, self._writable = self._map(write), write
        return self._mapped

    def _map(self, write: bool) -> memoryview:
        try:
            with self._path.open("r+b" if write else "rb") as file:
                if os.fstat(file.fileno()).st_size != _WORD.size:
                    raise ClockError(
                        f"the file is not the {_WORD.size} bytes of a clock",
                        where=str(self._path),
                        mend="name the file that SharedClock(path).set(instant_us) made",
                    )
                access = mmap.ACCESS_WRITE if write else mmap.ACCESS_READ
                return memoryview(mmap.mmap(file.fileno(), _WORD.size, access=access)).cast("q")
        except OSError as error:
            raise ClockError(
                f"the shared clock cannot be read: {error.strerror}",
                where=str(self._path),
                mend="start the program that sets it first; SharedClock(path).set(instant_us) makes the file",
            ) from None

    def _make(self, instant_us: int) -> None:
        """Create the file, whole or not at all; whoever comes second leaves the first one's."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(6)}.tmp")
        temporary.write_bytes(_WORD.pack(instant_us))
        try:
            os.link(temporary, self._path)
        except FileExistsError:
            return
        finally:
            temporary.unlink()


def open_clock(specification: str) -> Clock:
    """Make the clock that a project's ``clock`` setting names.

    Parameters
    ----------
    specification
        ``"system"``, ``"fixed:<instant>"`` (stands still), ``"from:<instant>"`` (runs on from there) or
        ``"shared:<file>"`` (a `SharedClock`, whose file must be there).
    """
    kind, _, instant = specification.partition(":")
    if specification == "system":
        return SystemClock()
    if kind == "shared" and instant:
        shared = SharedClock(Path(instant))
        shared.now_us()
        return shared
    if kind == "fixed" and instant:
        return FixedClock(parse_instant(instant))
    if kind == "from" and instant:
        return StartedClock(parse_instant(instant))
    raise ClockError(
        f"no clock is called {specification!r}",
        where="setting clock",
        mend='write "system", "fixed:2017-12-31T00:00:00Z", "from:2017-12-31T00:00:00Z" or "shared:<file>"',
    )


def parse_instant(text: str) -> int:
    """Read an RFC 3339 instant with a zone; return microseconds UTC.

    Raises
    ------
    ClockError
        If it is not an instant, has no zone, or has digits below the microsecond.
    """
    written = _INSTANT.fullmatch(text)
    if written is None:
        raise ClockError(f"{text!r} is not an instant", mend="write it as 2017-12-31T00:00:00Z")
    if written["zone"] is None:
        raise ClockError(f"instant {text!r} has no time zone", mend=f"add one, for UTC: {text}Z")
    if len(written["decimals"] or "") > 6:
        raise ClockError(f"instant {text!r} is finer than a microsecond", mend="give at most six decimals")
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise ClockError(f"{text!r} is not an instant: {error}", mend="write it as 2017-12-31T00:00:00Z") from None
    return (moment - _EPOCH) // timedelta(microseconds=1)


def format_instant(instant_us: int) -> str:
    """Write an instant as RFC 3339 in UTC, with six decimals only where there are any.

    One that no calendar of years 1 to 9999 has is written as ``<n> us``, counted from 1970.
    """
    if not EARLIEST_US <= instant_us <= LATEST_US:
        return f"{instant_us} us"
    moment = _EPOCH + timedelta(microseconds=instant_us)
    return moment.isoformat().replace("+00:00", "Z")


def parse_duration(text: str) -> int:
    """Read a duration such as ``"30d"``, ``"90m"`` or ``"1d12h"``; return microseconds, zero or more."""
    if not _DURATION.fullmatch(text) and (_DURATION.sub("", text) or not text):
        raise ClockError(
            f"{text!r} is not a duration", mend='write a number and a unit of us, ms, s, m, h, d, w, as in "30d"'
        )
    return sum(int(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))


def format_duration(duration_us: int) -> str:
    """Write a duration in its largest whole unit, the inverse of `parse_duration`."""
    for unit in ("d", "h", "m", "s", "ms"):
        if duration_us % _UNITS[unit] == 0 and duration_us:
            return f"{duration_us // _UNITS[unit]}{unit}"
    return f"{duration_us}us"
