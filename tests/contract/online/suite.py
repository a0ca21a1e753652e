"""What every online store must do, whoever keeps the bytes. A backend gives its store and its own raw back door."""

import asyncio
import zlib
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from featurestore.online.base import OnlineStore, Put
from featurestore.online.errors import OnlineStoreUnavailable

DIGEST = b"0123456789abcdef"


def row(sequence, as_of_us, body=b"row", kind=b"uR"):
    """A row written byte by byte from the documented layout, sharing no code with the product."""
    head = kind + b"\x01\x00" + (36 + len(body)).to_bytes(4, "little") + b"digest!!"
    content = head + sequence.to_bytes(8, "big") + (as_of_us + 2**63).to_bytes(8, "big") + body
    return content + zlib.crc32(content).to_bytes(4, "little")


def log(sequence, as_of_us, body=b"log"):
    return row(sequence, as_of_us, body, kind=b"uL")


def keys_of(name, bucket=None):
    tag = b"unskew:{%03x}:" % (sum(name) % 4096 if bucket is None else bucket)
    return tag + b"r:" + DIGEST + b":" + name, tag + b"l:" + DIGEST + b":" + name


def put_of(name, sequence, as_of_us, body=b"row", with_log=True):
    row_key, log_key = keys_of(name)
    return Put(row_key, row(sequence, as_of_us, body), log_key, log(sequence, as_of_us, body) if with_log else None)


class OnlineStoreSuite(ABC):
    """Inherit this, say how the store is opened and how its bytes are reached without it."""

    @abstractmethod
    def open(self) -> OnlineStore:
        """Open a store over the contents that the back door reaches; more than one may be open."""

    @abstractmethod
    def raw_get(self, key: bytes) -> bytes | None:
        """Read a value without the store."""

    @abstractmethod
    def raw_set(self, key: bytes, value: bytes) -> None:
        """Write a value without the store."""

    @abstractmethod
    def raw_all(self) -> dict[bytes, bytes]:
        """Read everything without the store."""

    @abstractmethod
    def raw_clear(self) -> None:
        """Remove everything without the store."""

    @pytest.fixture
    def store(self):
        self.raw_clear()
        with closing(self.open()) as store:
            yield store

    def test_a_put_stores_row_and_log_under_their_keys(self, store):
        put = put_of(b"i:1", 1, 100)
        report = store.put_many([put])
        assert (report.written, report.kept_newer) == (1, 0)
        assert self.raw_all() == {put.row_key: put.row, put.log_key: put.log}

    def test_values_come_back_in_the_order_asked_for_and_none_where_there_is_none(self, store):
        self.raw_set(b"unskew:a", b"A")
        self.raw_set(b"unskew:b", b"\x00\xff")
        asked = [b"unskew:b", b"unskew:none", b"unskew:a", b"unskew:b"]
        wanted = [b"\x00\xff", None, b"A", b"\x00\xff"]
        assert store.get_many(asked) == wanted
        assert asyncio.run(self.fetch(store, asked)) == wanted

    def test_nothing_asked_for_is_nothing(self, store):
        assert store.get_many([]) == []
        assert asyncio.run(self.fetch(store, [])) == []
        report = store.put_many([])
        assert (report.written, report.kept_newer) == (0, 0)

    @pytest.mark.parametrize(
        ("stored", "given", "kept"),
        [
            ((5, 100), (5, 99), True),
            ((5, 100), (4, 1000), True),
            ((5, 100), (5, 100), False),
            ((5, 100), (5, 101), False),
            ((5, 100), (6, -5), False),
            ((5, -1), (5, -2), True),
            ((5, -1), (5, 0), False),
            ((2**53 + 1, 0), (2**53, 0), True),
            ((2**53, 0), (2**53 + 1, 0), False),
            ((2**64 - 1, 2**63 - 1), (2**64 - 1, 2**63 - 2), True),
            ((1, 2**53 + 1), (1, 2**53), True),
            ((1, -(2**63)), (1, -(2**63)), False),
        ],
    )
    def test_an_older_row_never_replaces_a_newer(self, store, stored, given, kept):
        old, new = put_of(b"i:1", stored[0], stored[1], b"stored"), put_of(b"i:1", given[0], given[1], b"given")
        store.put_many([old])
        report = store.put_many([new])
        assert (report.written, report.kept_newer) == ((0, 1) if kept else (1, 0))
        stays = old if kept else new
        assert self.raw_all() == {stays.row_key: stays.row, stays.log_key: stays.log}

    def test_a_put_without_a_log_removes_the_stored_one_unless_it_is_older(self, store):
        row_key, log_key = keys_of(b"i:1")
        store.put_many([put_of(b"i:1", 2, 0)])
        store.put_many([put_of(b"i:1", 1, 0, with_log=False)])
        assert self.raw_get(log_key) == log(2, 0, b"row")
        store.put_many([put_of(b"i:1", 3, 0, with_log=False)])
        assert self.raw_get(log_key) is None
        assert self.raw_get(row_key) == row(3, 0)

    def test_of_several_puts_of_one_key_in_a_call_the_newest_stays(self, store):
        report = store.put_many([put_of(b"i:1", 2, 0, b"a"), put_of(b"i:1", 3, 0, b"b"), put_of(b"i:1", 1, 0, b"c")])
        assert (report.written, report.kept_newer) == (2, 1)
        assert self.raw_get(keys_of(b"i:1")[0]) == row(3, 0, b"b")

    @pytest.mark.parametrize("foreign", [b"", b"x", b"hello, I am something else entirely, sorry", b"\xff" * 60])
    def test_foreign_bytes_at_a_row_key_are_replaced(self, store, foreign):
        put = put_of(b"i:1", 0, -(2**63))
        self.raw_set(put.row_key, foreign)
        assert store.put_many([put]).written == 1
        assert self.raw_get(put.row_key) == put.row

    def test_the_longest_key_and_a_large_value_are_stored(self, store):
        name = b"s:" + b"x" * (511 - len(keys_of(b"s:")[0]))
        body = Random(1).randbytes(3_000_000)
        store.put_many([put_of(name, 1, 1, body)])
        assert len(keys_of(name + b"")[0]) == 511
        assert store.get_many([keys_of(name)[0]]) == [row(1, 1, body)]
        assert asyncio.run(self.fetch(store, [keys_of(name)[0]])) == [row(1, 1, body)]

    def test_many_pairs_in_one_call(self, store):
        puts = [put_of(b"i:%d" % i, 1, i) for i in range(5000)]
        assert store.put_many(puts).written == 5000
        assert store.get_many([put.row_key for put in puts]) == [put.row for put in puts]
        assert len(self.raw_all()) == 10_000

    def test_another_opening_sees_what_was_put_and_closing_one_leaves_the_other(self, store):
        with closing(self.open()) as other:
            store.put_many([put_of(b"i:1", 1, 1)])
            assert other.get_many([keys_of(b"i:1")[0]]) == [row(1, 1)]
        store.ping()
        assert store.get_many([keys_of(b"i:1")[0]]) == [row(1, 1)]

    def test_a_reader_sees_what_is_put_after_it_was_made(self, store):
        async def watch():
            reader, key = store.reader(), keys_of(b"i:1")[0]
            seen = [await reader.fetch([key])]
            for sequence in (1, 2):
                await asyncio.to_thread(store.put_many, [put_of(b"i:1", sequence, 0)])
                seen.append(await reader.fetch([key]))
            await reader.aclose()
            await reader.aclose()
            return seen

        assert asyncio.run(watch()) == [[None], [row(1, 0)], [row(2, 0)]]

    def test_racing_writers_leave_the_newest_and_count_what_they_wrote(self, store):
        """Twenty threads put the stamps 1 to 20 of one key in their own order: the greatest stays, as a whole pair."""

        def put(sequence):
            return store.put_many([put_of(b"i:1", sequence, 0, b"%d" % sequence), put_of(b"i:2", 21 - sequence, 0)])

        with ThreadPoolExecutor(20) as pool:
            reports = list(pool.map(put, range(1, 21)))
        assert all(report.written + report.kept_newer == 2 for report in reports)
        row_key, log_key = keys_of(b"i:1")
        assert self.raw_get(row_key) == row(20, 0, b"20")
        assert self.raw_get(log_key) == log(20, 0, b"20")
        assert self.raw_get(keys_of(b"i:2")[0]) == row(20, 0)

    def test_a_read_never_sees_a_row_with_the_log_of_another_version(self, store):
        store.put_many([put_of(b"i:1", 0, 0)])

        async def read_while_writing():
            reader, keys, torn = store.reader(), list(keys_of(b"i:1")), 0
            writing = asyncio.create_task(asyncio.to_thread(write))
            while not writing.done():
                stored_row, stored_log = await reader.fetch(keys)
                torn += stored_row[16:32] != stored_log[16:32]
                await asyncio.sleep(0)
            await writing
            await reader.aclose()
            return torn

        def write():
            for sequence in range(1, 100):
                store.put_many([put_of(b"i:1", sequence, 0)])

        assert asyncio.run(read_while_writing()) == 0

    def test_cancelled_reads_disturb_no_other_caller(self, store):
        """A thousand reads of keys of their own, every third cancelled at some moment: none gets another's value."""
        store.put_many([put_of(b"i:%d" % i, 1, i, b"%d" % i) for i in range(100)])

        async def storm():
            reader, random = store.reader(), Random(5)

            async def one(i):
                return i, await reader.fetch([keys_of(b"i:%d" % i)[0]])

            tasks = [asyncio.create_task(one(i % 100)) for i in range(1000)]
            for step, task in enumerate(tasks):
                if step % 3 == 0:
                    if random.random() < 0.5:
                        await asyncio.sleep(0)
                    task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            after = await reader.fetch([keys_of(b"i:7")[0]])
            await reader.aclose()
            return [answer for answer in done if not isinstance(answer, asyncio.CancelledError)], after

        answers, after = asyncio.run(storm())
        assert len(answers) >= 600
        assert all(answer == [row(1, i, b"%d" % i)] for i, answer in answers)
        assert after == [row(1, 7, b"7")]

    def test_removing_a_view_leaves_the_others_and_all_that_is_foreign(self, store):
        """Prefixes and patterns are tried at their ends: the neighbours differ in one character."""
        removed, long = "0123456789abcdef" * 4, b"s:" + b"x" * 477
        store.put_many(
            [put_of(b"i:%d" % i, 1, i) for i in range(3000)] + [put_of(name, 1, 1) for name in (b"n:", long)]
        )
        store.put_many([Put(b"unskew:{001}:r:%b:h:" % DIGEST, row(1, 1), b"unskew:{001}:l:%b:h:" % DIGEST, None)])
        others = [
            b"unskew:{7ff}:r:0123456789abcdee:i:1", b"unskew:{7ff}:l:0123456789abcdeg:i:1",
            b"unskew:{7ff}:s:%b:i:1" % DIGEST, b"unskew:{7fff}:r:%b:i:1" % DIGEST,
            b"unskew:{7ff}:r:%b" % DIGEST, b"unskew:{7ff}:r:%bz:i:1" % DIGEST, b"other:{7ff}:r:%b:i:1" % DIGEST, b"z",
        ]  # fmt: skip
        for key in others:
            self.raw_set(key, b"stays")
        store.remove_view(removed)
        assert self.raw_all() == dict.fromkeys(others, b"stays")
        store.remove_view(removed)
        assert store.put_many([put_of(b"i:1", 0, 0)]).written == 1

    def test_as_the_tests_configure_it_no_store_loses_rows(self, store):
        assert store.risk() == ""

    def test_the_name_is_a_url_and_close_can_be_repeated(self, store):
        assert ":" in store.name
        other = self.open()
        other.close()
        other.close()

    def test_it_is_a_map_that_only_gets_newer(self):
        """Drive the store and a plain dict of (stamp, body) with the same steps; they always agree."""
        suite = self

        class Machine(RuleBasedStateMachine):
            def __init__(self):
                super().__init__()
                suite.raw_clear()
                self.store = suite.open()
                self.model: dict[int, tuple[tuple[int, int], bytes, bool]] = {}

            def teardown(self):
                self.store.close()

            @rule(
                puts=st.lists(
                    st.tuples(
                        st.integers(0, 4), st.integers(0, 3), st.integers(-2, 2), st.binary(max_size=3), st.booleans()
                    ),
                    max_size=6,
                )
            )
            def put(self, puts):
                newer = 0
                for name, sequence, as_of_us, body, with_log in puts:
                    held = self.model.get(name)
                    if held is not None and held[0] > (sequence, as_of_us):
                        newer += 1
                    else:
                        self.model[name] = ((sequence, as_of_us), body, with_log)
                report = self.store.put_many([put_of(b"i:%d" % name, s, t, body, w) for name, s, t, body, w in puts])
                assert (report.written, report.kept_newer) == (len(puts) - newer, newer)

            @rule(names=st.lists(st.integers(0, 5), max_size=6))
            def get(self, names):
                found = self.store.get_many([keys_of(b"i:%d" % name)[0] for name in names])
                held = [self.model.get(name) for name in names]
                assert found == [h and row(*h[0], h[1]) for h in held]

            @precondition(lambda self: self.model)
            @rule()
            def open_again(self):
                self.store.close()
                self.store = suite.open()

            @invariant()
            def the_back_door_shows_the_model(self):
                wanted = {}
                for name, (stamp, body, with_log) in self.model.items():
                    row_key, log_key = keys_of(b"i:%d" % name)
                    wanted[row_key] = row(*stamp, body)
                    if with_log:
                        wanted[log_key] = log(*stamp, body)
                assert suite.raw_all() == wanted

        run_state_machine_as_test(Machine, settings=settings(max_examples=25, stateful_step_count=15, deadline=None))

    @staticmethod
    async def fetch(store, keys):
        reader = store.reader()
        try:
            return await reader.fetch(keys)
        finally:
            await reader.aclose()


async def refusal(reader, keys):
    """Return the error that a fetch raises."""
    with pytest.raises(OnlineStoreUnavailable) as caught:
        await reader.fetch(keys)
    return caught.value
