"""What every event stream must do, whoever keeps the bytes. A backend gives its stream and its own raw back door."""

import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from featurestore.foundation.clock import FixedClock
from featurestore.ingestion.errors import BacklogFull, StreamReplaced
from featurestore.ingestion.stream.base import Backlog, EventStream

REPOSITORY = Path(__file__).parents[3]
UNLIMITED = 10**9


def contents(entries):
    return [(entry.payload, entry.rows) for entry in entries]


def read_all(stream, after="", rows_limit=UNLIMITED):
    """Everything behind a position, read in steps of a number of rows."""
    found = []
    while step := stream.read(after, rows_limit, 0):
        found += step
        after = step[-1].position
    return found


@contextmanager
def program(module, *arguments):
    """A Python program of this folder in a process of its own, killed at the end."""
    command = [sys.executable, "-m", f"tests.contract.stream.{module}", *map(str, arguments)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


class EventStreamSuite(ABC):
    """Inherit this, say how the stream is opened and how its bytes are reached without it."""

    url: str
    folder: Path

    @abstractmethod
    def open(self, limit_rows: int = UNLIMITED, clock: FixedClock | None = None) -> EventStream:
        """Open a stream over the contents that the back door reaches; more than one may be open."""

    @abstractmethod
    def raw_entries(self) -> list[tuple[bytes, int]]:
        """Read payloads and their rows without the stream."""

    @abstractmethod
    def raw_clear(self) -> None:
        """Remove everything without the stream."""

    @pytest.fixture
    def stream(self):
        self.raw_clear()
        with closing(self.open()) as stream:
            yield stream

    def test_what_is_appended_is_there_in_order_and_comes_back(self, stream):
        stream.append([(b"one", 3)])
        stream.append([(b"two", 1), (b"\x00\xff\r\n", 2)])
        wanted = [(b"one", 3), (b"two", 1), (b"\x00\xff\r\n", 2)]
        assert self.raw_entries() == wanted
        found = stream.read("", UNLIMITED, 0)
        assert contents(found) == wanted
        positions = [entry.position for entry in found]
        assert sorted(positions) == positions
        assert len(set(positions)) == 3
        assert [contents(stream.read(position, UNLIMITED, 0)) for position in ["", *positions]] == [
            wanted, wanted[1:], wanted[2:], []
        ]  # fmt: skip

    def test_positions_sort_as_texts_through_a_thousand_entries(self, stream):
        for _ in range(20):
            stream.append([(b"x", 1)] * 50)
        positions = [entry.position for entry in read_all(stream, rows_limit=70)]
        assert len(positions) == 1000
        assert sorted(positions) == positions

    def test_an_empty_stream_waits_as_long_as_it_may_and_gives_nothing(self, stream):
        began = time.monotonic()
        assert stream.read("", 10, 0.3) == []
        assert 0.29 < time.monotonic() - began < 2
        assert stream.backlog() == Backlog(0, 0, 0)
        stream.append([])
        stream.append([(b"no rows", 0)])
        assert stream.read("", 10, 0) == []
        assert self.raw_entries() == []

    def test_payloads_without_rows_are_left_out_between_others(self, stream):
        stream.append([(b"a", 1), (b"none", 0), (b"b", 1)])
        assert contents(stream.read("", 10, 0)) == [(b"a", 1), (b"b", 1)]

    def test_a_read_gives_no_more_rows_than_asked_for_but_one_entry_at_least(self, stream):
        stream.append([(b"a", 2), (b"b", 2), (b"c", 5), (b"d", 1)])
        limits = {1: [b"a"], 2: [b"a"], 3: [b"a"], 4: [b"a", b"b"], 8: [b"a", b"b"], 9: [b"a", b"b", b"c"]}
        for limit, wanted in limits.items():
            assert [entry.payload for entry in stream.read("", limit, 0)] == wanted
        behind_b = stream.read("", 4, 0)[-1].position
        assert [entry.payload for entry in stream.read(behind_b, 1, 0)] == [b"c"]
        assert [entry.payload for entry in stream.read(behind_b, 100, 0)] == [b"c", b"d"]

    @pytest.mark.parametrize("rows_limit", [1, 7, 100, 100_000])
    def test_however_it_is_read_the_entries_are_the_same(self, stream, rows_limit):
        random = Random(3)
        wanted = [(random.randbytes(random.choice([0, 1, 50, 3000])), random.randint(1, 9)) for _ in range(400)]
        for start in range(0, 400, 40):
            stream.append(wanted[start : start + 40])
        assert contents(read_all(stream, rows_limit=rows_limit)) == wanted

    def test_large_payloads_come_back_whole(self, stream):
        wanted = [(Random(size).randbytes(size), 10) for size in (5_000_000, 1, 2**18, 2**18 - 32, 2**18 - 31)]
        for payload, rows in wanted:
            stream.append([(payload, rows)])
        assert contents(read_all(stream, rows_limit=25)) == wanted

    def test_a_reader_that_waits_is_woken_by_an_append_elsewhere(self, stream):
        stream.append([(b"a", 1)])
        behind = stream.read("", 1, 0)[0].position
        taken = []
        with closing(self.open()) as other:
            for number in range(5):
                timer = threading.Timer(0.1, other.append, [[(b"%d" % number, 1)]])
                began = time.monotonic()
                timer.start()
                (entry,) = stream.read(behind, 10, 10)
                taken.append(time.monotonic() - began)
                timer.join()
                behind = entry.position
                assert entry.payload == b"%d" % number
        assert min(taken) < 0.15
        assert max(taken) < 2

    def test_the_instant_is_that_of_the_appenders_clock(self, stream):
        clock = FixedClock(1_490_000_000_123_456)
        with closing(self.open(clock=clock)) as replayed:
            replayed.append([(b"a", 1)])
            clock.set(-5)
            replayed.append([(b"b", 1)])
        assert [entry.appended_us for entry in stream.read("", 10, 0)] == [1_490_000_000_123_456, -5]

    def test_another_opening_reads_on_and_closing_one_leaves_the_other(self, stream):
        stream.append([(b"a", 1), (b"b", 1)])
        behind_a = stream.read("", 1, 0)[0].position
        with closing(self.open()) as other:
            assert contents(other.read(behind_a, 10, 0)) == [(b"b", 1)]
            other.append([(b"c", 1)])
        stream.append([(b"d", 1)])
        with closing(self.open()) as other:
            assert contents(other.read(behind_a, 10, 0)) == [(b"b", 1), (b"c", 1), (b"d", 1)]
        stream.close()
        stream.close()

    def test_the_backlog_counts_what_is_appended_and_not_committed(self, stream):
        stream.append([(b"a", 3), (b"b", 4), (b"c", 5)])
        a, b, c = [entry.position for entry in stream.read("", 100, 0)]
        assert stream.backlog() == Backlog(12, 12, 0)
        stream.commit(b)
        assert stream.backlog() == Backlog(5, 12, 7)
        stream.commit(b)
        stream.commit(a)
        assert stream.backlog() == Backlog(5, 12, 7)
        with closing(self.open()) as other:
            other.commit(c)
            other.append([(b"d", 2)])
        assert stream.backlog() == Backlog(2, 14, 12)
        assert len(stream.read("", 100, 0)) == 4

    def test_beyond_its_limit_nothing_is_appended(self, stream):
        with closing(self.open(limit_rows=10)) as limited:
            limited.append([(b"a", 4), (b"b", 5)])
            with pytest.raises(BacklogFull) as caught:
                limited.append([(b"c", 1), (b"d", 1)])
            assert (caught.value.rows, caught.value.limit_rows) == (9, 10)
            assert "9 rows wait" in str(caught.value)
            limited.append([(b"e", 1)])
            with pytest.raises(BacklogFull, match="send at most 10 at once"):
                limited.append([(b"f", 11)])
            first = limited.read("", 1, 0)[0].position
            limited.commit(first)
            limited.append([(b"g", 4)])
            with pytest.raises(BacklogFull):
                limited.append([(b"h", 1)])
            limited.trim(first)
            with pytest.raises(BacklogFull):
                limited.append([(b"h", 1)])
        assert [entry.payload for entry in read_all(stream)][-3:] == [b"b", b"e", b"g"]

    def test_of_racing_appends_exactly_those_pass_that_fit(self, stream):
        """Thirty threads over two openings append 7 rows each where 100 may wait: 14 pass, 98 rows are there."""
        with closing(self.open(limit_rows=100)) as one, closing(self.open(limit_rows=100)) as two:

            def append(number):
                try:
                    (one, two)[number % 2].append([(b"%d" % number, 3), (b"%d'" % number, 4)])
                except BacklogFull:
                    return 0
                return 1

            with ThreadPoolExecutor(30) as pool:
                passed = sum(pool.map(append, range(30)))
        assert passed == 14
        assert stream.backlog().rows == 98
        assert len(self.raw_entries()) == 28

    def test_racing_threads_append_each_payload_once_together_and_in_order(self, stream):
        with closing(self.open()) as other:

            def append(thread):
                for number in range(25):
                    (stream, other)[thread % 2].append([(b"%d:%d:%d" % (thread, number, i), 1) for i in range(3)])

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(append, range(8)))
        found = [tuple(map(int, entry.payload.split(b":"))) for entry in read_all(stream, rows_limit=100)]
        assert len(found) == 8 * 25 * 3
        for first, second, third in zip(found[::3], found[1::3], found[2::3], strict=True):
            assert (second, third) == ((*first[:2], 1), (*first[:2], 2))
        for thread in range(8):
            assert [row[1:] for row in found if row[0] == thread] == [(n, i) for n in range(25) for i in range(3)]

    def test_what_is_trimmed_is_passed_over_and_counts_as_before(self, stream):
        stream.append([(b"a", 1), (b"b", 1), (b"c", 1)])
        a, b, c = [entry.position for entry in stream.read("", 100, 0)]
        stream.commit(c)
        stream.trim(a)
        stream.trim(a)
        assert [entry.payload for entry in stream.read(a, 100, 0)] == [b"b", b"c"]
        stream.trim(c)
        stream.trim(b)
        assert stream.read(c, 100, 0) == []
        stream.append([(b"d", 1)])
        assert [entry.payload for entry in stream.read(c, 100, 0)] == [b"d"]
        assert stream.backlog() == Backlog(1, 4, 3)

    def test_a_position_of_a_stream_that_was_removed_is_refused(self, stream):
        stream.append([(b"a", 1)])
        old = stream.read("", 1, 0)[0].position
        self.raw_clear()
        with closing(self.open()) as fresh:
            for count in range(1, 4):
                fresh.append([(b"new", 5)])
                for use in (lambda: fresh.read(old, 10, 0), lambda: fresh.commit(old), lambda: fresh.trim(old)):
                    with pytest.raises(StreamReplaced, match="another stream"):
                        use()
                assert len(fresh.read("", 100, 0)) == count

    @pytest.mark.parametrize("foreign", ["1490000000000-0", "0" * 16, "0" * 16 + ".00", ".".join(["0" * 16] * 3)])
    def test_a_position_of_another_kind_of_stream_is_refused(self, stream, foreign):
        stream.append([(b"a", 1)])
        with pytest.raises(StreamReplaced):
            stream.read(foreign, 10, 0)

    def test_one_holds_the_lease_and_the_next_has_a_greater_epoch(self, stream):
        with closing(self.open()) as other:
            first = stream.acquire("one", 60)
            assert first is not None
            assert other.acquire("two", 60) is None
            assert stream.acquire("one", 60) is None
            assert first.renew()
            first.release()
            assert not first.renew()
            second = other.acquire("two", 60)
            assert second is not None
            assert second.epoch > first.epoch
            first.release()
            assert stream.acquire("one", 60) is None
            assert second.renew()
            second.release()
            third = stream.acquire("one", 60, above=1_000_000)
            assert third is not None
            assert third.epoch == 1_000_001
            third.release()
            fourth = stream.acquire("one", 60, above=7)
            assert fourth is not None
            assert fourth.epoch == 1_000_002
            fourth.release()

    def test_a_lease_that_was_not_renewed_in_time_is_taken_over_and_stays_lost(self, stream):
        old = stream.acquire("hangs", 0.2)
        assert old is not None
        assert stream.acquire("waits", 60) is None
        time.sleep(0.25)
        assert old.renew(), "nobody else wanted it"
        assert stream.acquire("waits", 60) is None
        time.sleep(0.25)
        new = stream.acquire("waits", 0.2)
        assert new is not None
        assert new.epoch > old.epoch
        assert not old.renew()
        old.release()
        assert new.renew()
        time.sleep(0.25)
        assert not old.renew(), "neither when the new one's time is over"
        assert new.renew()
        new.release()
        assert not old.renew(), "nor when it was released"

    def test_of_racing_owners_exactly_one_gets_the_lease(self, stream):
        for _ in range(5):
            with ThreadPoolExecutor(12) as pool:
                leases = list(pool.map(lambda name: stream.acquire(f"owner {name}", 60), range(12)))
            (lease,) = [lease for lease in leases if lease is not None]
            lease.release()

    def test_racing_owners_never_share_an_epoch(self, stream):
        """Twelve threads take and release as fast as they can."""
        epochs = []

        def compete(name):
            for _ in range(10):
                lease = stream.acquire(f"owner {name}", 60)
                if lease is not None:
                    epochs.append(lease.epoch)
                    lease.release()

        with ThreadPoolExecutor(12) as pool:
            list(pool.map(compete, range(12)))
        assert max(Counter(epochs).values()) == 1
        assert epochs

    def test_a_killed_holder_is_taken_over_from(self, stream):
        """At once where its death is seen; when its time is over in any case."""
        with program("holder", self.url, self.folder, 1.5) as holder:
            assert holder.stdout is not None
            epoch = int(holder.stdout.readline())
            assert stream.acquire("next", 60) is None
            holder.kill()
            holder.wait()
            until = time.monotonic() + 5
            while (lease := stream.acquire("next", 60)) is None and time.monotonic() < until:
                time.sleep(0.02)
        assert lease is not None
        assert lease.epoch > epoch
        lease.release()

    @pytest.mark.slow
    def test_what_killed_processes_had_acknowledged_is_there_once_and_in_order(self, stream):
        """Eight appenders are killed at moments of their own; of what was not acknowledged some may be there too."""
        random = Random(7)
        appenders = [program("appender", self.url, self.folder, name) for name in range(8)]
        acknowledged = {}
        processes = [appender.__enter__() for appender in appenders]
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        for name, process in enumerate(processes):
            time.sleep(random.random() * 0.15)
            process.kill()
            told = process.stdout.read().splitlines(keepends=True)
            acknowledged[name] = max([int(line) for line in told if line.endswith("\n")], default=3)
        for appender in appenders:
            appender.__exit__(None, None, None)
        stream.append([(b"8:0", 1)])
        found: dict[int, list[int]] = {name: [] for name in range(9)}
        for entry in read_all(stream, rows_limit=500):
            name, number = map(int, entry.payload.split(b":"))
            assert entry.rows == (1 + number % 3 if name < 8 else 1)
            found[name].append(number)
        for name, count in acknowledged.items():
            assert found[name] == list(range(len(found[name])))
            assert count <= len(found[name]) <= count + 6
        assert min(acknowledged.values()) > 3
        assert contents(read_all(stream)) == self.raw_entries()

    def test_it_does_as_a_list_does(self):
        """Random appends, reads, commits, trims and reopenings against a list that shares no code with the stream."""
        suite = self

        class Machine(RuleBasedStateMachine):
            def __init__(self):
                super().__init__()
                suite.raw_clear()
                self.stream = suite.open(limit_rows=40)
                self.entries, self.positions = [], [""]
                self.committed = self.trimmed = 0

            @rule(rows=st.lists(st.integers(0, 15), max_size=4))
            def append(self, rows):
                payloads = [(b"%d" % (len(self.entries) + i), count) for i, count in enumerate(rows)]
                waiting = sum(count for _, count in self.entries[self.committed :])
                if waiting + sum(rows) > 40:
                    with pytest.raises(BacklogFull):
                        self.stream.append(payloads)
                    return
                self.stream.append(payloads)
                self.entries += [payload for payload in payloads if payload[1]]

            @rule(data=st.data(), rows_limit=st.integers(1, 50))
            def read(self, data, rows_limit):
                begin = data.draw(st.integers(0, len(self.positions) - 1))
                found = self.stream.read(self.positions[begin], rows_limit, 0)
                wanted = self.entries[begin : begin + len(found)]
                if begin >= self.trimmed:
                    assert contents(found) == wanted
                    left = self.entries[begin + len(found) :]
                    assert len(found) == 1 or sum(rows for _, rows in wanted) <= rows_limit
                    assert not left or sum(rows for _, rows in [*wanted, left[0]]) > rows_limit
                    self.positions[begin + 1 : begin + 1 + len(found)] = [entry.position for entry in found]

            @rule(data=st.data())
            def commit(self, data):
                upto = data.draw(st.integers(1, len(self.positions))) - 1
                if upto:
                    self.stream.commit(self.positions[upto])
                    self.committed = max(self.committed, upto)

            @rule(data=st.data())
            def trim(self, data):
                upto = data.draw(st.integers(0, self.committed))
                if upto:
                    self.stream.trim(self.positions[upto])
                    self.trimmed = max(self.trimmed, upto)

            @rule()
            def reopen(self):
                self.stream.close()
                self.stream = suite.open(limit_rows=40)

            @invariant()
            def the_backlog_is_what_waits(self):
                total = sum(rows for _, rows in self.entries)
                committed = sum(rows for _, rows in self.entries[: self.committed])
                assert self.stream.backlog() == Backlog(total - committed, total, committed)

            def teardown(self):
                self.stream.close()

        run_state_machine_as_test(Machine, settings=settings(max_examples=15, stateful_step_count=15, deadline=None))
