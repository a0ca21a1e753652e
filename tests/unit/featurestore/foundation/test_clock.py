from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.foundation.clock import (
    EARLIEST_US,
    LATEST_US,
    FixedClock,
    SharedClock,
    StartedClock,
    SystemClock,
    format_duration,
    format_instant,
    open_clock,
    parse_duration,
    parse_instant,
)
from featurestore.foundation.errors import ClockError


def test_the_system_clock_tells_microseconds_utc() -> None:
    told = SystemClock().now_us()
    assert abs(told - time.time_ns() // 1000) < 5_000_000  # noqa: TID251 - the very thing that is compared


def test_a_fixed_clock_stands_still_until_it_is_set() -> None:
    clock = FixedClock(5)
    assert (clock.now_us(), clock.now_us()) == (5, 5)
    clock.set(3)
    assert clock.now_us() == 3


def test_a_started_clock_runs_on_from_its_start() -> None:
    clock = StartedClock(1_000)
    first = clock.now_us()
    time.sleep(0.002)
    assert 1_000 <= first < clock.now_us() < 1_000 + 60_000_000


@pytest.mark.parametrize(
    "specification", ["", "fixed", "fixed:", "from:", "sundial", "system:1", "shared:", "fixed:yesterday"]
)
def test_an_unknown_clock_is_refused_with_a_mend(specification: str) -> None:
    with pytest.raises(ClockError) as refused:
        open_clock(specification)
    assert refused.value.mend


def test_clocks_are_opened_by_their_specification() -> None:
    assert open_clock("fixed:2017-12-31T00:00:00Z").now_us() == parse_instant("2017-12-31T00:00:00Z")
    assert isinstance(open_clock("system"), SystemClock)
    assert isinstance(open_clock("from:2017-12-31T00:00:00+01:00"), StartedClock)


def test_a_shared_clock_is_set_for_all_who_opened_it(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "clock"
    setting = SharedClock(file)
    setting.set(5)
    reading = open_clock(f"shared:{file}")
    assert reading.now_us() == 5
    for instant_us in (-(2**63), 2**63 - 1, 0):
        setting.set(instant_us)
        assert (reading.now_us(), SharedClock(file).now_us()) == (instant_us, instant_us)
    SharedClock(file).set(7)
    assert (setting.now_us(), [path.name for path in file.parent.iterdir()]) == (7, ["clock"])


def test_a_shared_clock_is_set_at_once_in_another_process(tmp_path: Path) -> None:
    clock = SharedClock(tmp_path / "clock")
    clock.set(1)
    code = (
        "import sys; from featurestore.foundation.clock import open_clock\n"
        "clock = open_clock(sys.argv[1])\n"
        "for _ in sys.stdin: print(clock.now_us(), flush=True)"
    )
    command = [sys.executable, "-c", code, f"shared:{tmp_path / 'clock'}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        for instant_us in (1, 10**15, -(10**15)):
            clock.set(instant_us)
            print(file=other.stdin, flush=True)
            assert other.stdout.readline() == f"{instant_us}\n"
        other.stdin.close()


def test_a_shared_clock_without_its_file_is_refused_with_a_mend(tmp_path: Path) -> None:
    with pytest.raises(ClockError, match="No such file") as refused:
        open_clock(f"shared:{tmp_path / 'clock'}")
    assert (refused.value.where, bool(refused.value.mend)) == (str(tmp_path / "clock"), True)
    (tmp_path / "clock").write_bytes(b"noon")
    with pytest.raises(ClockError, match="not the 8 bytes"):
        open_clock(f"shared:{tmp_path / 'clock'}")


@given(st.integers(EARLIEST_US, LATEST_US))
def test_an_instant_survives_the_trip_through_text(instant_us: int) -> None:
    assert parse_instant(format_instant(instant_us)) == instant_us


@given(st.one_of(st.integers(-(2**63), EARLIEST_US - 1), st.integers(LATEST_US + 1, 2**63 - 1)))
def test_an_instant_outside_the_calendar_is_written_as_a_number(instant_us: int) -> None:
    assert format_instant(instant_us) == f"{instant_us} us"


def test_instants_are_microseconds_since_1970_in_utc() -> None:
    moment = datetime(2017, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
    assert parse_instant("2017-03-04T06:06:07.000089+01:00") == round(moment.timestamp()) * 1_000_000 + 89


@pytest.mark.parametrize(
    "text",
    [
        "2017-12-31T00:00:00",
        "2017-12-31",
        "31.12.2017",
        "",
        "2017-12-31T00:00:00.1234567Z",
        "2017-12-31T00:00:00,5Z",
        "2017-W01-1T00:00:00Z",
        "20171231T000000Z",
        "2017-12-31x00:00:00Z",
        "2017-12-31T00:00:00+00:00:00.5",
        "2017-02-30T00:00:00Z",
        "２017-12-31T00:00:00Z",
    ],
)
def test_an_instant_without_zone_or_beyond_the_microsecond_is_refused(text: str) -> None:
    with pytest.raises(ClockError):
        parse_instant(text)


@given(st.integers(0, 10**15))
def test_a_duration_survives_the_trip_through_text(duration_us: int) -> None:
    assert parse_duration(format_duration(duration_us)) == duration_us


def test_durations_add_up() -> None:
    assert parse_duration("1d12h") == 36 * 3600 * 1_000_000
    assert parse_duration("2w") == parse_duration("14d")


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "1 d", "30days", "1y"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ClockError):
        parse_duration(text)
