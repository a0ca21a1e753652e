"""Commits as they are read: what each kind of event does, and what a committer refuses or takes up."""

from contextlib import closing
from dataclasses import replace

import pytest

from featurestore.definitions import Derived, FeatureView, Int64, Sum
from featurestore.foundation.clock import DAY, HOUR, SECOND, FixedClock
from featurestore.foundation.errors import IngestionError
from featurestore.ingestion.commit_record import read_applied
from featurestore.ingestion.errors import CommitterOvertaken, HistoryBehind
from featurestore.ingestion.sink import HistorySink
from featurestore.ingestion.stream.open_stream import open_stream
from featurestore.materialisation.ledger import Ledger
from featurestore.materialisation.materialise import ViewStreamed, materialise
from featurestore.offline.event_import import import_file
from featurestore.offline.stream_mark import SourceStreamed, is_streamed
from featurestore.online.errors import CommitConflict, OwnershipLost
from featurestore.online.keys import SourceKeys
from featurestore.online.memory_store import MemoryStore
from tests.unit.featurestore.ingestion.baskets_stream import T0
from tests.unit.featurestore.retrieval.household import (
    BASKETS,
    NOON,
    baskets,
    baskets_table,
    household,
    spending,
    trade,
)

KEYS = SourceKeys("baskets")


def test_an_event_is_read_from_its_commit_on(stream):
    with closing(stream.opened()) as committer:
        stream.clock.set(T0 + 5)
        stream.send((1, 7, "north", T0, 100))
        assert committer.step(0.0) == 1
        assert stream.read(7)["value_sum_1d"] == 1.0
        assert stream.read(7)["s"] == committer.applied.s == 1
        assert stream.read(7, T0 + 4)["value_sum_1d"] is None, "before the commit it could not be seen"
        assert stream.read(8) == {**stream.read(8), "count_1d": 0, "s": 0}
        assert stream.read(7, T0 + DAY)["count_1d"] == 0
        assert committer.step(0.0) == 0


def test_commits_of_one_instant_are_stamped_one_after_the_other(stream):
    with closing(stream.opened()) as committer:
        stamps = []
        for basket in range(3):
            stream.send((basket, 7, "north", T0, 100))
            committer.step(0.0)
            stamps.append(committer.applied.a_us)
        assert stamps == [T0 + 1, T0 + 2, T0 + 3]


def test_a_correction_moves_an_event_to_another_household(stream):
    with closing(stream.opened()) as committer:
        stream.send((1, 7, "north", T0, 100), (2, 7, "south", T0, 10))
        committer.step(0.0)
        stream.clock.set(T0 + SECOND)
        stream.send((1, 8, "north", T0, 300))
        committer.step(0.0)
        assert (stream.read(7)["value_sum_1d"], stream.read(8)["value_sum_1d"]) == (0.1, 3.0)
        assert stream.read(7, T0 + SECOND - 1)["value_sum_1d"] == 1.1


def test_what_equals_the_newest_version_is_a_duplicate(stream):
    with closing(stream.opened()) as committer:
        stream.send((1, 7, "north", T0, 100), (1, 7, "north", T0, 100), (1, 7, "north", T0, 200))
        committer.step(0.0)
        stream.send((1, 7, "north", T0, 200), (2, 7, "north", T0, 200))
        committer.step(0.0)
        assert stream.read(7)["value_sum_1d"] == 4.0
        assert (committer.applied.rows, committer.applied.duplicates) == (3, 2)
        committer.flush()
    assert sum(frame.num_rows for frame in stream.offline.newest_versions(baskets, 0, 2)) == 2


def test_nothing_is_committed_twice_by_the_next_committer(stream):
    with closing(stream.opened()) as committer:
        stream.send((1, 7, "north", T0, 100))
        committer.step(0.0)
    with closing(stream.opened()) as committer:
        assert (committer.applied.s, committer.flushed_s) == (1, 1)
        assert committer.step(0.0) == 0
        assert stream.read(7)["value_sum_1d"] == 1.0
    assert stream.offline.latest_sequence(baskets) == 1


def test_another_committer_waits_for_the_lease(stream):
    with closing(stream.opened()):
        other = stream.committer()
        assert other.open() is None
        with pytest.raises(IngestionError, match="not open"):
            other.step(0.0)
        other.close()
    with closing(stream.opened()) as committer:
        assert committer.applied.s == 0


def test_one_that_lost_its_lease_cannot_write(stream):
    slow = stream.opened()
    slow.lease.release()
    with closing(stream.opened()) as quick:
        stream.send((1, 7, "north", T0, 100))
        with pytest.raises(OwnershipLost):
            slow.step(0.0)
        quick.step(0.0)
        assert stream.read(7)["value_sum_1d"] == 1.0
    slow.close()


def test_history_from_before_the_stream_is_built_upon(stream):
    import_file(baskets, baskets_table(BASKETS), stream.root, FixedClock(NOON))
    with closing(stream.opened()) as committer:
        assert stream.read(7)["value_sum_1d"] == 3.0
        stream.send((3, 9, "south", NOON, 70), (2, 7, "south", NOON - HOUR, 250))
        committer.step(0.0)
        assert (stream.read(7)["value_sum_1d"], stream.read(9)["value_sum_1d"]) == (2.5, 0.7)
        assert (committer.applied.s, committer.applied.duplicates) == (2, 1), "the index has what was imported"


def test_an_open_stream_refuses_imports_and_materialising(stream, tmp_path):
    with closing(stream.opened()):
        assert is_streamed(stream.root, baskets)
        with pytest.raises(SourceStreamed, match="unskew ingest"):
            import_file(baskets, baskets_table(BASKETS), stream.root, FixedClock(NOON))
        with pytest.raises(ViewStreamed, match="unskew backfill spending --rebuild"):
            materialise(spending, stream.offline, stream.store, T0, Ledger(tmp_path / "ledger"))


def test_a_view_that_comes_later_has_all_events(stream):
    with closing(stream.opened()) as committer:
        stream.send((1, 7, "north", T0, 100))
        committer.step(0.0)
    late = FeatureView("late", household, baskets, [Sum("value", "1d")])
    stream.views = (spending, trade, late)
    committer = stream.committer()
    opened = committer.open()
    with closing(committer):
        assert [base.view for base in opened.bases] == ["late"]
        assert opened.indexed == 0, "its key column is in the index"
        stream.send((2, 7, "north", T0, 50), (1, 7, "north", T0, 10))
        committer.step(0.0)
        assert stream.read(7, view=late)["value_sum_1d"] == stream.read(7)["value_sum_1d"] == 0.6


def test_a_view_that_was_away_is_written_anew(stream):
    stream.opened().close()
    stream.views = (trade,)
    with closing(stream.opened()) as committer:
        stream.send((1, 7, "north", T0, 100))
        committer.step(0.0)
    stream.views = (spending, trade)
    with closing(stream.opened()):
        assert stream.read(7)["value_sum_1d"] == 1.0


def test_a_row_that_the_row_sql_fails_on_is_set_aside(stream):
    strict = FeatureView(
        "strict",
        household,
        baskets,
        [Sum("number", "1d")],
        derive={"number": Derived("CAST(shop_id AS BIGINT)", Int64)},
    )
    stream.views = (strict,)
    with closing(stream.opened()) as committer:
        stream.send(*((basket, 7, "bad" if basket in (3, 11) else "1", T0, 100) for basket in range(16)))
        assert committer.step(0.0) == 16
        assert stream.read(7, view=strict)["number_sum_1d"] == 14
        assert (committer.applied.rows, committer.applied.failed) == (14, 2)
        letters = stream.dead_letters.list("baskets")
        assert [(letter.kind, letter.row["basket_id"]) for letter in letters] == [("failed", 3), ("failed", 11)]
        assert "Could not convert string 'bad'" in letters[0].reason
        committer.flush()
        assert stream.offline.view_rows(strict, 1) is not None, "history can be read"


def test_what_comes_beyond_retention_is_committed_and_told(stream):
    with closing(stream.opened(lateness_us=DAY)) as committer:
        stream.send((1, 7, "north", T0 - 9 * DAY, 100), (2, 7, "south", T0, 50))
        committer.step(0.0)
        assert committer.applied.beyond_retention == 1
        (letter,) = stream.dead_letters.list("baskets")
        assert (letter.kind, letter.row["basket_id"]) == ("beyond-retention", 1)
        assert stream.read(7)["shop_id_last"] == "south"
    with closing(stream.opened(lateness_us=DAY)) as committer:
        assert committer.applied.beyond_retention == 1
    with closing(stream.committer(lateness_us=DAY)) as committer:
        committer.open(rebuild=True)
        assert committer.applied.beyond_retention == 0, "all values are those of history now"


def test_a_store_that_forgets_is_noticed(stream):
    with closing(stream.opened()) as committer:
        (before,) = stream.store.get_many([KEYS.applied])
        stream.send((1, 7, "north", T0, 100))
        committer.step(0.0)
        stream.store.put_values([(KEYS.applied, before)])
        stream.send((2, 7, "north", T0, 100))
        with pytest.raises(CommitterOvertaken, match="not 1 any more"):
            committer.step(0.0)


def test_a_store_that_is_lost_is_written_from_history(stream):
    with closing(stream.opened()) as committer:
        stream.send((1, 7, "north", T0, 100))
        committer.step(0.0)
        committer.flush()
        newest = committer.applied.a_us
    stream.send((2, 7, "south", T0, 50))
    stream.store = MemoryStore()
    with closing(stream.opened()) as committer:
        assert committer.applied.a_us > newest
        assert stream.read(7, T0 + 10)["value_sum_1d"] == 1.0
        stream.clock.set(T0 + SECOND)
        assert committer.step(0.0) == 1, "what history has is not read again"
        assert stream.read(7)["value_sum_1d"] == 1.5
        assert committer.applied.s == 2


def test_a_store_that_lost_its_last_commits_reads_the_stream_from_there_again(stream):
    """As a Redis that restarts without having synced: its stream may have lost the same, so nothing is passed over."""
    with closing(stream.opened()) as committer:
        stream.send((1, 7, "north", T0, 100))
        committer.step(0.0)
        committer.flush()
        before = dict(stream.store._values)
        stream.send((2, 7, "south", T0, 50))
        committer.step(0.0)
        committer.flush()
    stream.store._values.clear()
    stream.store._values.update(before)
    with closing(stream.opened()) as committer:
        stream.send((3, 7, "south", T0, 7))
        stream.clock.set(T0 + SECOND)
        while committer.step(0.0):
            pass
        assert stream.read(7)["value_sum_1d"] == 1.57
        assert (committer.applied.s, committer.applied.rows) == (3, 2)


def test_a_commit_that_conflicts_is_made_from_what_the_store_has(stream):
    """Of its keys one has the commit by then, and must not get it twice, in memory either."""

    class Conflicting:
        def __init__(self, inner):
            self.inner, self.conflicts = inner, 1

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def apply(self, write):
            if not write.changes or not self.conflicts:
                return self.inner.apply(write)
            self.conflicts -= 1
            self.inner.apply(replace(write, changes=write.changes[:-1], index=[], after=[]))
            raise CommitConflict(write.source, [write.changes[-1].row_key], "here")

    stream.store, stream.views = Conflicting(stream.store), (spending,)
    with closing(stream.opened()) as committer:
        stream.send((1, 7, "north", T0, 100), (2, 8, "north", T0, 100))
        committer.step(0.0)
        stream.send((3, 7, "north", T0, 10), (4, 8, "north", T0, 10))
        committer.step(0.0)
        assert stream.store.conflicts == 0
        assert [stream.read(who)["value_sum_1d"] for who in (7, 8)] == [1.1, 1.1]
        stream.store.conflicts = 3
        stream.send((5, 7, "north", T0, 10), (6, 8, "north", T0, 10))
        with pytest.raises(CommitConflict):
            committer.step(0.0)


def test_commits_that_nothing_remembers_are_told_and_can_be_given_up(stream):
    with closing(stream.opened()) as committer:
        stream.send((1, 7, "north", T0, 100))
        committer.step(0.0)
    stream.store.put_values([(KEYS.commit(1), None)])
    with closing(stream.committer()) as committer, pytest.raises(HistoryBehind, match="up to 1, history ends at 0"):
        committer.open()
    committer = stream.committer()
    assert committer.open(rebuild=True) is not None
    assert stream.read(7, T0 + 10)["count_1d"] == 0
    committer.close()


def test_a_half_made_commit_is_made_whole(stream):
    """The record says that commit 2 was begun: it is made of the same rows, at the same instant."""
    with closing(stream.opened()) as committer:
        stream.send((1, 7, "north", T0, 100))
        committer.step(0.0)
        (applied,) = stream.store.get_many([KEYS.applied])
        stream.send((2, 7, "south", T0, 50))
        committer.step(0.0)
        whole = dict(stream.store._values)
    del whole[KEYS.fence(KEYS.record)]
    stream.store.put_values([(KEYS.applied, applied)])
    stream.clock.set(T0 + HOUR)
    committer = stream.committer()
    opened = committer.open()
    assert (opened.redone, opened.flushed) == (True, 2)
    after = stream.store._values
    own = {KEYS.applied, KEYS.commit(1), KEYS.commit(2)}
    assert [key for key in whole if after.get(key) != whole[key] and key not in own] == []
    again, first = read_applied(after[KEYS.applied]), read_applied(whole[KEYS.applied])
    assert again is not None
    assert first is not None
    assert replace(again, lag_us=0, keys_cached=0) == replace(first, lag_us=0, keys_cached=0)
    committer.close()


def test_history_is_written_when_it_is_due(stream, monkeypatch):
    begun = []
    monkeypatch.setattr(HistorySink, "begin", lambda self: begun.append(self.rows))
    with closing(stream.opened(unflushed_rows=2)) as committer:
        for basket in range(3):
            stream.send((basket, 7, "north", T0, 100))
            committer.step(0.0)
        assert begun == [2]


def test_a_commit_takes_no_more_rows_than_it_may(stream):
    with closing(stream.opened(commit_rows=2)) as committer:
        for basket in range(5):
            stream.send((basket, 7, "north", T0, 100))
        assert [committer.step(0.0) for _ in range(3)] == [2, 2, 1]


def test_no_commit_is_stamped_with_an_instant_at_which_history_becomes_available(stream):
    """Two versions of one event timestamp and one available_at would be ordered by their ids, in any chunk."""
    source = replace(baskets, available_at="ts")
    import_file(source, baskets_table([(1, 7, "north", T0 + 1, 100)]), stream.root, FixedClock(NOON))
    stream.source, stream.views = source, (FeatureView("later", household, source, [Sum("value", "1d")]),)
    with closing(stream.opened()) as committer:
        stream.send((2, 7, "north", T0, 100))
        committer.step(0.0)
        assert committer.applied.a_us == T0 + 2


def test_a_key_of_very_many_events(stream):
    """Its older versions lie in tiles, which a correction of one of them finds."""
    stream.stream = open_stream(
        "memory://", stream.folder / "many", "baskets", backlog_limit_rows=10**6, clock=stream.clock
    )
    with closing(stream.opened()) as committer:
        for start in range(0, 12_000, 4_000):
            stream.send(*((basket, 7, "north", T0 + basket, 100) for basket in range(start, start + 4_000)))
            stream.clock.set(T0 + start + 4_000)
            committer.step(0.0)
        assert stream.read(7)["value_sum_1d"] == 12_000.0
        stream.send((1, 7, "south", T0 + 1, 300), (6_000, 8, "south", T0 + 6_000, 100))
        committer.step(0.0)
        assert stream.read(7)["value_sum_1d"] == 12_001.0
        assert stream.read(8)["shop_id_last"] == "south"
        assert stream.read(7, T0 + 6_000 + DAY)["count_1d"] == 12_000 - 6_001
    with closing(stream.opened()) as committer:
        stream.send((2, 7, "south", T0 + 2, 300))
        committer.step(0.0)
        assert stream.read(7)["value_sum_1d"] == 12_003.0
        assert stream.read(7)["shop_id_distinct_7d"] == 2
