"""What every online store must do with commits of events, whoever keeps the bytes."""

from contextlib import closing
from dataclasses import replace
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from featurestore.online.base import CommitWrite, KeyChange
from featurestore.online.errors import CommitConflict, OwnershipLost
from featurestore.online.keys import SourceKeys
from tests.contract.online.suite import OnlineStoreSuite, keys_of, log, put_of, row

SOURCE = SourceKeys("baskets")
NONE = bytes(16)


def stamp(sequence, as_of_us=0):
    return sequence.to_bytes(8, "big") + (as_of_us + 2**63).to_bytes(8, "big")


def change_of(name, sequence, expected=NONE, append=False, parts=None, body=b"row", bucket=None):
    row_key, log_key = keys_of(name, bucket)
    parts = {log_key + b"#" + number: value for number, value in (parts or {}).items()}
    return KeyChange(row_key, row(sequence, 0, body), log_key, log(sequence, 0, body), append, expected, parts)


def entry(identity, expires_us=0, payload=b"entry"):
    return SOURCE.index(identity), expires_us.to_bytes(8, "little") + payload, 0 if expires_us == 0 else 60_000


def commit_of(sequence, changes, index=(), epoch=1, source="baskets"):
    keys = SourceKeys(source)
    return CommitWrite(
        source, epoch, stamp(sequence), [(keys.record, b"record %d" % sequence)], changes, index,
        [(keys.applied, b"applied %d" % sequence), (keys.commit(sequence - 1), None)],
    )  # fmt: skip


class CommitSuite(OnlineStoreSuite):
    """Inherit this as well as what `OnlineStoreSuite` asks for."""

    expires_by_itself = False

    def raw_values(self):
        """Read everything but the fences, whose form is the store's own."""
        return {key: value for key, value in self.raw_all().items() if key[13:15] != b"f:"}

    def test_a_commit_is_stored_whole(self, store):
        one, two = change_of(b"i:1", 5, parts={b"0": b"tile", b"1": None}), change_of(b"i:2", 5)
        assert store.apply(commit_of(5, [one, two], [entry(b"a"), entry(b"b", payload=b"")])) == 2
        assert self.raw_values() == {
            one.row_key: one.row, one.log_key: one.log, one.log_key + b"#0": b"tile",
            two.row_key: two.row, two.log_key: two.log,
            SOURCE.index(b"a"): bytes(8) + b"entry", SOURCE.index(b"b"): bytes(8),
            SOURCE.record: b"record 5", SOURCE.applied: b"applied 5",
        }  # fmt: skip

    def test_a_commit_of_nothing_is_stored_too(self, store):
        assert store.apply(CommitWrite("baskets", 1, stamp(1), [], [], [], [])) == 0
        assert self.raw_values() == {}
        assert store.apply(commit_of(1, [])) == 0
        assert self.raw_values() == {SOURCE.record: b"record 1", SOURCE.applied: b"applied 1"}

    def test_an_addition_stands_behind_the_stored_log_and_another_log_replaces_it(self, store):
        first, second = change_of(b"i:1", 1), change_of(b"i:1", 2, stamp(1), append=True)
        store.apply(commit_of(1, [first]))
        store.apply(commit_of(2, [second]))
        assert self.raw_get(first.row_key) == second.row
        assert self.raw_get(first.log_key) == first.log + second.log
        third = change_of(b"i:1", 3, stamp(2))
        store.apply(commit_of(3, [third]))
        assert self.raw_get(first.log_key) == third.log

    def test_an_addition_to_no_log_is_the_log(self, store):
        change = change_of(b"i:1", 1, append=True)
        assert store.apply(commit_of(1, [change])) == 1
        assert self.raw_get(change.log_key) == change.log

    def test_parts_are_stored_replaced_and_removed(self, store):
        log_key = keys_of(b"i:1")[1]
        store.apply(commit_of(1, [change_of(b"i:1", 1, parts={b"0": b"a", b"1": b"b", b"2": b"c"})]))
        store.apply(
            commit_of(2, [change_of(b"i:1", 2, stamp(1), parts={b"0": None, b"1": b"B", b"3": b"", b"9": None})])
        )
        parts = {key: value for key, value in self.raw_values().items() if b"#" in key}
        assert parts == {log_key + b"#1": b"B", log_key + b"#2": b"c", log_key + b"#3": b""}

    def test_a_repeat_changes_nothing_and_counts_nothing(self, store):
        store.apply(commit_of(1, [change_of(b"i:1", 1)]))
        write = commit_of(2, [change_of(b"i:1", 2, stamp(1), append=True), change_of(b"i:2", 2)], [entry(b"a")])
        assert store.apply(write) == 2
        stored = self.raw_all()
        for _ in range(2):
            assert store.apply(write) == 0
            assert self.raw_all() == stored

    def test_a_repeat_completes_what_an_earlier_try_began(self, store):
        """As after a crash on a store whose commits are no transactions: one key is there, the other is not."""
        done = change_of(b"i:1", 2, stamp(1), append=True, parts={b"1": b"tile"})
        due = change_of(b"i:2", 2, stamp(1), append=True)
        store.put_many([put_of(b"i:2", 1, 0)])
        for key, value in ((done.row_key, done.row), (done.log_key, b"whole log"), (done.log_key + b"#1", b"tile")):
            self.raw_set(key, value)
        assert store.apply(commit_of(2, [done, due])) == 1
        assert self.raw_get(done.log_key) == b"whole log"
        assert self.raw_get(due.row_key) == due.row
        assert self.raw_get(due.log_key) == log(1, 0, b"row") + due.log
        assert self.raw_get(SOURCE.applied) == b"applied 2"

    @pytest.mark.parametrize(
        ("stored", "expected"),
        [(None, stamp(1)), (1, NONE), (1, stamp(2)), (3, stamp(2)), (6, stamp(4)), (6, stamp(6, 1))],
    )
    def test_a_row_of_another_stamp_is_a_conflict_that_changes_nothing_of_the_key(self, store, stored, expected):
        if stored is not None:
            store.put_many([put_of(b"i:1", stored, 0)])
        before = self.raw_all()
        conflicting = change_of(b"i:1", 5, expected, append=True, parts={b"0": b"tile"})
        with pytest.raises(CommitConflict, match="'baskets'") as caught:
            store.apply(commit_of(5, [conflicting, change_of(b"i:2", 5)], [entry(b"a")]))
        assert caught.value.row_keys == [conflicting.row_key]
        row_key, log_key = keys_of(b"i:1")
        assert [self.raw_get(key) for key in (row_key, log_key)] == [before.get(row_key), before.get(log_key)]
        assert self.raw_get(log_key + b"#0") is None
        assert self.raw_get(SOURCE.index(b"a")) is None
        assert self.raw_get(SOURCE.applied) is None

    def test_after_a_conflict_the_same_commit_made_anew_is_stored(self, store):
        store.put_many([put_of(b"i:1", 3, 0)])
        mistaken = commit_of(5, [change_of(b"i:1", 5), change_of(b"i:2", 5)])
        with pytest.raises(CommitConflict):
            store.apply(mistaken)
        mended = replace(mistaken, changes=[change_of(b"i:1", 5, stamp(3)), change_of(b"i:2", 5)])
        assert store.apply(mended) in (1, 2)
        assert self.raw_get(keys_of(b"i:1")[0]) == row(5, 0)
        assert self.raw_get(SOURCE.applied) == b"applied 5"

    def test_every_conflict_is_named_and_keys_of_the_same_bucket_do_not_suffer(self, store):
        store.put_many([put_of(b"i:%d" % i, 1, 0) for i in (1, 3, 5)])
        changes = [change_of(b"i:%d" % i, 5) for i in range(6)]
        with pytest.raises(CommitConflict) as caught:
            store.apply(commit_of(5, changes))
        assert sorted(caught.value.row_keys) == sorted(keys_of(b"i:%d" % i)[0] for i in (1, 3, 5))
        crowded = [change_of(b"i:%d" % i, 7, bucket=0x123) for i in range(1000)]
        store.put_many([put_of(b"i:0", 1, 0)])
        assert store.apply(commit_of(7, crowded)) == 1000
        assert store.get_many([change.row_key for change in crowded]) == [change.row for change in crowded]

    def test_foreign_bytes_at_a_row_key_count_as_no_row(self, store):
        change = change_of(b"i:1", 1)
        for foreign in (b"", b"x", b"hello, I am something else entirely, sorry"):
            self.raw_set(change.row_key, foreign)
            assert store.apply(commit_of(1, [change])) == 1
            assert self.raw_get(change.row_key) == change.row

    def test_many_changes_with_parts_and_entries_in_one_commit(self, store):
        random = Random(4)
        changes = [
            change_of(b"i:%d" % i, 1, parts={b"0": random.randbytes(50), b"1": None} if i % 7 == 0 else None)
            for i in range(3000)
        ]
        index = [entry(b"%d" % i, expires_us=i % 3) for i in range(3000)]
        assert store.apply(commit_of(1, changes, index)) == 3000
        values = self.raw_values()
        assert len(values) == 6000 + 429 + 3000 + 2
        assert all(values[change.row_key] == change.row and values[change.log_key] == change.log for change in changes)
        assert all(values[key] == value for key, value, _ in index)

    def test_large_values_are_stored(self, store):
        body = Random(1).randbytes(3_000_000)
        changes = [change_of(b"i:%d" % i, 1, body=body, parts={b"0": body}) for i in range(3)]
        assert store.apply(commit_of(1, changes)) == 3
        assert store.get_many([changes[2].row_key, changes[1].log_key + b"#0"]) == [row(1, 0, body), body]

    def test_a_lesser_epoch_writes_nothing_once_the_fence_is_raised(self, store):
        store.raise_fence("baskets", 1)
        first = commit_of(1, [change_of(b"i:1", 1)], [entry(b"a")])
        assert store.apply(first) == 1
        store.raise_fence("baskets", 2)
        stored = self.raw_all()
        for index in ([], [entry(b"b")]):
            for changes in ([], [change_of(b"i:1", 2, stamp(1)), change_of(b"i:2", 2)]):
                with pytest.raises(OwnershipLost, match=r"'baskets'.*epoch 1"):
                    store.apply(commit_of(2, changes, index, epoch=1))
        with pytest.raises(OwnershipLost):
            store.apply(CommitWrite("baskets", 1, stamp(2), [], [change_of(b"i:2", 2)], [], []))
        with pytest.raises(OwnershipLost):
            store.apply(CommitWrite("baskets", 1, stamp(2), [], [], [entry(b"b")], []))
        assert self.raw_all() == stored
        assert store.apply(replace(first, epoch=2)) == 0

    def test_a_fence_never_sinks_and_is_of_one_source(self, store):
        store.raise_fence("baskets", 10)
        store.raise_fence("baskets", 10)
        with pytest.raises(OwnershipLost, match="epoch 9"):
            store.raise_fence("baskets", 9)
        with pytest.raises(OwnershipLost):
            store.apply(commit_of(1, [change_of(b"i:1", 1)], epoch=9))
        assert store.apply(commit_of(1, [change_of(b"i:1", 1)], epoch=10)) == 1
        (fence,) = store.get_many([SOURCE.fence(SOURCE.record)])
        assert int(fence.split()[0]) == 10
        assert store.apply(commit_of(2, [change_of(b"i:2", 2)], epoch=1, source="returns")) == 1
        assert store.apply(commit_of(3, [change_of(b"i:3", 3)], epoch=11)) == 1

    def test_values_are_put_and_removed_as_they_are(self, store):
        store.put_values([])
        store.put_values([(b"unskew:a", b"A"), (b"unskew:b", b""), (b"unskew:c", None)])
        store.put_values([(b"unskew:a", None), (b"unskew:b", b"B"), (b"unskew:b", b"C")])
        assert self.raw_all() == {b"unskew:b": b"C"}

    def test_expired_entries_go_sooner_or_later_and_the_others_stay(self, store):
        index = [entry(b"%d" % i, expires_us=(0, 100, 101)[i % 3]) for i in range(300)]
        store.apply(commit_of(1, [change_of(b"i:1", 1)], index))
        removed = [store.sweep(100, 90) for _ in range(8)]
        assert max(removed) <= 90
        assert sum(removed) == (0 if self.expires_by_itself else 100)
        expired = set() if self.expires_by_itself else {key for key, value, _ in index if value[0] == 100}
        assert {key for key in self.raw_all() if key[13:15] == b"e:"} == {key for key, _, _ in index} - expired
        assert self.raw_get(keys_of(b"i:1")[0]) == row(1, 0)

    def test_a_sweep_goes_round_and_round(self, store):
        for turn in range(1, 4):
            store.apply(commit_of(turn, [], [entry(b"%d" % i, expires_us=turn) for i in range(50)]))
            removed = sum(store.sweep(turn, 20) for _ in range(6))
            assert removed == (0 if self.expires_by_itself else 50)

    def test_removing_a_view_takes_its_tiles_and_leaves_what_sources_have(self, store):
        store.raise_fence("baskets", 1)
        store.apply(commit_of(1, [change_of(b"i:1", 1, parts={b"0": b"tile", b"17": b"tile"})], [entry(b"a")]))
        store.remove_view("0123456789abcdef" * 4)
        assert self.raw_values().keys() == {SOURCE.record, SOURCE.applied, SOURCE.index(b"a")}
        with pytest.raises(OwnershipLost):
            store.apply(commit_of(2, [], epoch=0))

    def test_another_opening_sees_fences_and_commits(self, store):
        store.raise_fence("baskets", 3)
        with closing(self.open()) as other:
            with pytest.raises(OwnershipLost):
                other.apply(commit_of(1, [], epoch=2))
            assert other.apply(commit_of(1, [change_of(b"i:1", 1)], epoch=3)) == 1
        assert store.get_many([keys_of(b"i:1")[0]]) == [row(1, 0)]

    def test_commits_are_a_history_of_every_key(self):
        """Drive the store and a dict of (stamp, row, log, parts) with commits, repeats and mistaken expectations."""
        suite = self
        names = st.integers(0, 3)

        class Machine(RuleBasedStateMachine):
            def __init__(self):
                super().__init__()
                suite.raw_clear()
                self.store = suite.open()
                self.model = {}
                self.index = {}
                self.sequence = 0
                self.last: CommitWrite | None = None

            def teardown(self):
                self.store.close()

            def expected(self, name):
                return stamp(self.model[name][0]) if name in self.model else NONE

            @rule(
                changes=st.dictionaries(
                    names,
                    st.tuples(st.booleans(), st.dictionaries(st.integers(0, 3), st.none() | st.binary(max_size=2))),
                ),
                entries=st.sets(names),
            )
            def commit(self, changes, entries):
                self.sequence += 1
                made = [
                    change_of(
                        b"i:%d" % name, self.sequence, self.expected(name), append,
                        {b"%d" % n: v for n, v in parts.items()}, b"%d" % self.sequence,
                    )
                    for name, (append, parts) in changes.items()
                ]  # fmt: skip
                index = [entry(b"%d" % name, payload=b"%d" % self.sequence) for name in entries]
                self.last = commit_of(self.sequence, made, index)
                assert self.store.apply(self.last) == len(made)
                for change, (name, (append, _)) in zip(made, changes.items(), strict=True):
                    _, _, old_log, parts = self.model.get(name, (0, b"", b"", {}))
                    parts = {key: v for key, v in {**parts, **change.parts}.items() if v is not None}
                    self.model[name] = self.sequence, change.row, old_log * append + change.log, parts
                self.index.update({key: value for key, value, _ in index})

            @precondition(lambda self: self.last)
            @rule()
            def repeat(self):
                assert self.last is not None
                assert self.store.apply(self.last) == 0

            @rule(name=names, off=st.integers(1, 3))
            def mistake(self, name, off):
                wrong = stamp(self.model[name][0] + off if name in self.model else off)
                write = commit_of(
                    self.sequence + 9, [change_of(b"i:%d" % name, self.sequence + 9, wrong)], [entry(b"x")]
                )
                with pytest.raises(CommitConflict):
                    self.store.apply(replace(write, before=[], after=[]))

            @invariant()
            def the_back_door_shows_the_model(self):
                wanted = dict(self.index)
                for name, (_, stored_row, stored_log, parts) in self.model.items():
                    row_key, log_key = keys_of(b"i:%d" % name)
                    wanted |= {row_key: stored_row, log_key: stored_log, **parts}
                if self.sequence:
                    wanted[SOURCE.record] = b"record %d" % self.sequence
                    wanted[SOURCE.applied] = b"applied %d" % self.sequence
                assert suite.raw_values() == wanted

        run_state_machine_as_test(Machine, settings=settings(max_examples=25, stateful_step_count=15, deadline=None))
