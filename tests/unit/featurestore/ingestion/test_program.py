"""The ingest program: who commits what, since when, and until when."""

import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from threading import Event, Thread
from typing import Any

import pytest

from featurestore.definitions import Count, FeatureView, Int64, String, Sum
from featurestore.foundation.clock import DAY
from featurestore.foundation.errors import CatalogError
from featurestore.ingestion import program as program_module
from featurestore.ingestion.backfill import backfill
from featurestore.ingestion.commit_record import read_status
from featurestore.ingestion.errors import CommitterOvertaken, SourceBusy
from featurestore.ingestion.heartbeat import Heartbeat, read_heartbeats, write_heartbeat
from featurestore.ingestion.program import Happening, IngestProgram, Means, streamed_sources
from featurestore.ingestion.settings import IngestSettings
from featurestore.ingestion.stream.open_stream import open_stream
from featurestore.materialisation.history import stored_run
from featurestore.offline.stream_mark import is_streamed
from featurestore.online.errors import OnlineStoreUnavailable, OwnershipLost
from tests.unit.featurestore.ingestion.baskets_stream import T0
from tests.unit.featurestore.retrieval.household import baskets, household, members, profile, spending, trade

pytestmark = pytest.mark.slow


@dataclass
class Running:
    """A program, what it told, and the definitions it loads."""

    happened: list[Happening]
    load: Any = field(default_factory=lambda: streamed_sources([baskets, members], [spending, trade, profile]))

    def kinds(self):
        return [(each.kind, each.source) for each in self.happened]


@contextmanager
def running(stream, monkeypatch, **settings):
    for name, seconds in (("WAIT_S", 0.01), ("RELOAD_S", 0.05)):
        monkeypatch.setattr(program_module, name, seconds)
    one = Running([])

    def load():
        if isinstance(one.load, Exception):
            raise one.load
        return one.load

    means = Means(
        lambda source: open_stream(
            "memory://", stream.folder / "stream", source, backlog_limit_rows=1_000, clock=stream.clock
        ),
        stream.store,
        stream.offline,
        stream.root,
        stream.clock,
        stream.dead_letters,
        IngestSettings(lease_ttl_s=0.1, history_interval_s=1e9, **settings),
        one.happened.append,
    )
    stop = Event()
    thread = Thread(target=IngestProgram(load, means).run, args=(stop,))
    thread.start()
    try:
        yield one
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def soon(is_so):
    until = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.005)


def committed(stream):
    return read_status(baskets, stream.store, stream.offline)


def test_a_source_is_opened_by_its_first_event_and_flushed_in_the_end(stream, monkeypatch):
    with running(stream, monkeypatch) as program:
        time.sleep(0.05)
        assert program.happened == []
        assert not is_streamed(stream.root, baskets)
        stream.send((1, 7, "north", T0, 100))
        soon(lambda: committed(stream).s == 1)
        assert stream.read(7)["value_sum_1d"] == 1.0
        (beat,) = read_heartbeats(stream.store, ["baskets", "members"])
        assert (beat.source, beat.since_us, beat.error) == ("baskets", T0, "")
        assert (committed(stream).rows, committed(stream).flushed_s) == (1, 0)
    assert program.kinds() == [("opened", "baskets"), ("closed", "baskets")]
    assert committed(stream).flushed_s == 1
    assert read_heartbeats(stream.store, ["baskets"]) == []


def test_what_waits_is_committed_before_the_end(stream, monkeypatch):
    stream.opened().close()
    with running(stream, monkeypatch, commit_rows=1):
        for basket in range(30):
            stream.send((basket, 7, "north", T0, 100))
    assert (committed(stream).rows, committed(stream).flushed_s) == (30, 30)


def test_new_definitions_are_taken_up(stream, monkeypatch):
    late = FeatureView("late", household, baskets, [Sum("value", "1d")])
    with running(stream, monkeypatch) as program:
        stream.send((1, 7, "north", T0, 100))
        soon(lambda: committed(stream).s == 1)
        program.load = CatalogError("a half-written file")
        soon(lambda: ("failed", "") in program.kinds())
        program.load = streamed_sources([baskets], [spending, trade, late])
        soon(lambda: "late" in "".join(each.detail for each in program.happened))
        stream.send((2, 7, "north", T0, 100))
        soon(lambda: committed(stream).s == 2)
        assert stream.read(7, view=late)["value_sum_1d"] == 2.0


def test_what_was_followed_is_followed_until_the_end(stream, monkeypatch):
    """A view that is changed has rows of its own; who reads the former ones has all events too, until it ends."""
    former = FeatureView("sums", household, baskets, [Sum("value", "1d")])
    widened = replace(baskets, schema={**baskets.schema, "coupon": String})
    changed = FeatureView("sums", household, widened, [Sum("value", "1d"), Count(over="1d")])
    with running(stream, monkeypatch) as program:
        program.load = streamed_sources([baskets], [former])
        stream.send((1, 7, "north", T0, 100))
        soon(lambda: committed(stream).s == 1 and stored_run(former, stream.store))
        program.load = streamed_sources([widened], [changed])
        soon(lambda: stored_run(changed, stream.store))
        program.load = []
        stream.send((2, 7, "north", T0, 100))
        soon(lambda: committed(stream).s == 2)
        assert stream.read(7, view=former)["value_sum_1d"] == 2.0
        assert stream.read(7, view=changed)["count_1d"] == 2
    stream.source, stream.views = widened, (changed,)
    with closing(stream.opened()) as committer:
        assert len(committer.applied.views) == 1, "the next program begins with what is in force"


def test_a_source_that_reads_otherwise_now_drops_what_read_it_before():
    (former,) = streamed_sources([baskets], [spending, trade])
    named = replace(baskets, schema={**baskets.schema, "value": Int64})
    (now,) = streamed_sources([named], [FeatureView("sums", household, named, [Sum("value", "1d")])])
    assert [view.name for view in now.following(former).views] == ["sums"]
    assert [view.name for view in streamed_sources([baskets], [trade])[0].following(former).views] == [
        "trade",
        "spending",
    ]


def test_new_definitions_take_over_as_soon_as_the_former_ones_have_ended(stream, monkeypatch):
    late = FeatureView("late", household, baskets, [Sum("value", "1d")])
    with running(stream, monkeypatch) as program:
        monkeypatch.setattr(program_module, "RELOAD_S", 1.0)
        stream.send((1, 7, "north", T0, 100))
        soon(lambda: committed(stream).s == 1)
        program.load = streamed_sources([baskets], [spending, trade, late])
        soon(lambda: program.kinds()[-1] == ("closed", "baskets"))
        began = time.monotonic()
        soon(lambda: program.kinds()[-1] == ("opened", "baskets"))
        assert time.monotonic() - began < 0.9, "it did not wait for the next look at the definitions"


@pytest.mark.parametrize("error", [OwnershipLost("baskets", 1, "here"), CommitterOvertaken("it", where="here")])
def test_one_that_lost_its_source_leaves_the_heartbeat_to_the_next_owner(stream, monkeypatch, error):
    lost = Event()

    class Losing:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def apply(self, write):
            if write.changes and not lost.is_set():
                lost.set()
                raise error
            return self.inner.apply(write)

    stream.store = Losing(stream.store)
    with running(stream, monkeypatch) as program:
        beats = []
        monkeypatch.setattr(program_module, "write_heartbeat", lambda _, beat: beats.append(beat))
        stream.send((1, 7, "north", T0, 100))
        soon(lambda: committed(stream).s == 1)
        assert ("failed", "baskets") in program.kinds()
        assert [beat.error for beat in beats if beat.error] == []


def test_a_stamp_that_is_ahead_of_the_clock_is_told(stream, monkeypatch):
    with closing(stream.opened()) as committer:
        stream.clock.set(T0 + DAY)
        stream.send((1, 7, "north", T0, 100))
        committer.step(0.0)
    stream.clock.set(T0)
    with running(stream, monkeypatch):
        soon(lambda: any("by a clock that was ahead" in beat.error for beat in beats_of(stream)))


def beats_of(stream):
    return read_heartbeats(stream.store, ["baskets"])


class Unfenced:
    """A store in which no source can be taken over."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        if name == "raise_fence":
            raise OnlineStoreUnavailable("it is read-only", where="here")
        return getattr(self.inner, name)


def test_a_program_that_cannot_open_a_source_says_so_while_it_runs(stream, monkeypatch):
    stream.store = Unfenced(stream.store)
    with running(stream, monkeypatch):
        stream.send((1, 7, "north", T0, 100))
        soon(lambda: any("read-only" in beat.error for beat in beats_of(stream)))
        assert beats_of(stream)[0].since_us == 0
    assert beats_of(stream) == []


def test_the_heartbeat_of_a_program_that_has_the_source_is_left_alone(stream, monkeypatch):
    other = Heartbeat("baskets", "elsewhere:1", since_us=T0, at_us=T0)
    write_heartbeat(stream.store, other)
    stream.store = Unfenced(stream.store)
    with running(stream, monkeypatch) as program:
        stream.send((1, 7, "north", T0, 100))
        soon(lambda: ("failed", "baskets") in program.kinds())
        assert beats_of(stream) == [other]
    assert beats_of(stream) == [other]


def test_two_programs_share_a_source_and_one_takes_over(stream, monkeypatch):
    with running(stream, monkeypatch) as second:
        with running(stream, monkeypatch) as first:
            stream.send((1, 7, "north", T0, 100))
            soon(lambda: committed(stream).s == 1)
        owner = [one for one in (first, second) if one.happened]
        soon(lambda: owner or second.happened)
        stream.send((2, 7, "north", T0, 100))
        soon(lambda: committed(stream).s == 2)
    assert stream.read(7)["value_sum_1d"] == 2.0


def test_a_store_that_is_away_for_a_while_costs_no_event(stream, monkeypatch):
    inner, away = stream.store, Event()

    class Shaky:
        def __getattr__(self, name):
            if away.is_set():
                raise OnlineStoreUnavailable("it is away", where="here")
            return getattr(inner, name)

    stream.store = Shaky()
    with running(stream, monkeypatch) as program:
        stream.send((1, 7, "north", T0, 100))
        soon(lambda: committed(stream).s == 1)
        away.set()
        stream.send((2, 7, "north", T0, 100))
        soon(lambda: ("failed", "baskets") in program.kinds())
        away.clear()
        soon(lambda: committed(stream).s == 2)
    assert stream.read(7)["value_sum_1d"] == 2.0
    assert committed(stream).rows == 2


def test_backfill_commits_what_waits_and_leaves_all_in_history(stream):
    stream.send((1, 7, "north", T0, 100), (2, 7, "north", T0, 50))
    report = backfill(stream.committer(commit_rows=1))
    assert (report.source, report.s, report.committed_rows) == ("baskets", 1, 2)
    assert [view["view"] for view in report.describe()["views"]] == ["spending", "trade"]
    assert stream.offline.latest_sequence(baskets) == 1
    again = backfill(stream.committer(), rebuild=True)
    assert (len(again.views), again.indexed, again.committed_rows) == (2, 2, 0)
    assert stream.read(7)["value_sum_1d"] == 1.5
    stream.send((1, 7, "north", T0, 100))
    with closing(stream.opened()) as committer:
        committer.step(0.0)
        assert committer.applied.duplicates == 1, "the index was written anew"


def test_backfill_of_a_source_that_a_program_has_is_refused(stream):
    waited: list[int] = []
    with closing(stream.opened()):
        with pytest.raises(SourceBusy, match="a running program writes new views"):
            backfill(stream.committer())
        with pytest.raises(SourceBusy, match="stop the program"):
            backfill(stream.committer(), rebuild=True, patience_s=0.3, on_wait=lambda: waited.append(1))
    assert waited == [1]
