"""What is written out of history when a source is opened: every view that lacks a commit, every log and index entry."""

import shutil
from contextlib import closing
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from featurestore.definitions import Count, FeatureView, Int64, Last, Sum
from featurestore.foundation.clock import DAY, HOUR, SECOND, FixedClock
from featurestore.foundation.errors import ImportRefused
from featurestore.ingestion.errors import HistoryBehind
from featurestore.offline import snapshot
from featurestore.offline.event_import import import_file
from featurestore.online.keys import SourceKeys
from featurestore.online.memory_store import MemoryStore
from tests.unit.featurestore.ingestion.baskets_stream import T0
from tests.unit.featurestore.retrieval.household import NOON, baskets, baskets_table, household, spending, trade

KEYS = SourceKeys("baskets")
again = FeatureView("again", household, baskets, [Sum("value", "1d"), Last("shop_id")])
hourly = FeatureView("hourly", household, baskets, [Count(over="1h"), Last("shop_id")])
monthly = FeatureView("monthly", household, baskets, [Count(over="30d")])


def opened(stream, *views, **settings):
    """Follow these views, and no others, from now on."""
    stream.views = views
    return stream.opened(**settings)


def take(stream, committer, *rows):
    """Commit some baskets, a second later."""
    stream.clock.set(stream.clock.now_us() + SECOND)
    stream.send(*rows)
    assert committer.step(0.0) == len(rows)


def stored_baskets(stream):
    return [
        (found["__commit"], found["basket_id"])
        for path in snapshot.latest(stream.root, baskets).paths
        for found in pq.read_table(path).to_pylist()
    ]


def test_a_view_that_was_away_for_some_commits_has_them_too(stream):
    with closing(opened(stream, spending, trade, again)) as committer:
        take(stream, committer, (1, 7, "north", T0, 100))
    with closing(opened(stream, spending, trade)) as committer:
        take(stream, committer, (2, 7, "south", T0, 10))
    with closing(opened(stream, spending, trade, again)) as committer:
        assert stream.read(7, view=again)["value_sum_1d"] == 1.1
        take(stream, committer, (3, 7, "south", T0, 1), (1, 8, "north", T0, 100))
        assert stream.read(7, view=again)["value_sum_1d"] == stream.read(7)["value_sum_1d"] == 0.11


def test_a_view_that_was_away_while_a_half_made_commit_was_made_whole_has_it_too(stream):
    with closing(opened(stream, spending, trade, again)) as committer:
        take(stream, committer, (1, 7, "north", T0, 100))
        (applied,) = stream.store.get_many([KEYS.applied])
        take(stream, committer, (2, 7, "south", T0, 10))
    stream.store.put_values([(KEYS.applied, applied)])
    values = dict(stream.store._values)
    with closing(opened(stream, spending, trade)) as committer:
        assert len(committer.applied.views) == 2
    stream.store._values.update({key: values[key] for key in values if again.row_digest[:16].encode() in key})
    with closing(opened(stream, spending, trade, again)):
        assert stream.read(7, view=again)["value_sum_1d"] == 1.1


def test_a_commit_that_is_made_whole_with_another_index_leaves_all_views_to_history(stream):
    """What it ends cannot be told from an index of other key columns."""
    with closing(opened(stream, spending)) as committer:
        take(stream, committer, (1, 7, "north", T0, 100))
        before = dict(stream.store._values)
        take(stream, committer, (1, 8, "north", T0, 100))
        record = stream.store.get_many([KEYS.record, KEYS.commit(2)])
    own = KEYS.fence(KEYS.record)
    before[own] = stream.store._values[own]
    stream.store._values.clear()
    stream.store._values.update(before)
    stream.store.put_values(list(zip([KEYS.record, KEYS.commit(2)], record, strict=True)))
    with closing(opened(stream, spending, trade)) as committer:
        assert committer.applied.s == 2
        assert [stream.read(who)["count_1d"] for who in (7, 8)] == [0, 1]


def test_a_longer_window_has_older_events_be_correctable(stream):
    import_file(
        baskets, baskets_table([(1, 7, "north", NOON - 20 * DAY, 100)]), stream.root, FixedClock(NOON - 19 * DAY)
    )
    opened(stream, hourly, lateness_us=HOUR).close()
    with closing(opened(stream, hourly, monthly, lateness_us=HOUR)) as committer:
        take(stream, committer, (1, 7, "south", NOON - 20 * DAY, 100))
        assert stream.read(7, view=monthly)["count_30d"] == 1, "the former version has ended"
        assert stream.read(7, view=hourly)["shop_id_last"] == "south"


def test_more_lateness_has_logs_keep_what_a_correction_brings_to_light(stream):
    with closing(opened(stream, hourly, lateness_us=HOUR)) as committer:
        take(stream, committer, (1, 7, "north", T0 - 20 * DAY, 100))
        take(stream, committer, (2, 7, "south", T0 - 10 * DAY, 100))
    with closing(opened(stream, hourly, lateness_us=30 * DAY)) as committer:
        take(stream, committer, (2, 8, "south", T0 - 10 * DAY, 100))
        assert [stream.read(who, view=hourly)["shop_id_last"] for who in (7, 8)] == ["north", "south"]
    with closing(opened(stream, hourly, lateness_us=HOUR)) as committer:
        take(stream, committer, (3, 7, "east", T0, 100))
    committer = stream.committer(lateness_us=30 * DAY)
    report = committer.open()
    assert [base.view for base in report.bases] == ["hourly"], "it was shorter in between"
    assert report.indexed == 3
    committer.close()


def test_a_rebuild_goes_by_what_history_has_and_by_nothing_that_it_lost(stream, tmp_path):
    """History comes back from an older copy: what it lacks is taken from the stream, or from who repeats it."""
    with closing(stream.opened()) as committer:
        take(stream, committer, (1, 7, "north", T0, 100))
        take(stream, committer, (1, 7, "south", T0, 200))
        committer.flush()
        shutil.copytree(stream.root, tmp_path / "copy")
        take(stream, committer, (2, 7, "south", T0, 10))
        take(stream, committer, (3, 7, "south", T0, 1))
        committer.flush()
    shutil.rmtree(stream.root)
    shutil.move(tmp_path / "copy", stream.root)
    with closing(stream.committer()) as committer, pytest.raises(HistoryBehind):
        committer.open()
    committer = stream.committer(commit_rows=1)
    with closing(committer):
        committer.open(rebuild=True)
        stream.clock.set(stream.clock.now_us() + SECOND)
        while committer.step(0.0):
            pass
        take(stream, committer, (3, 7, "south", T0, 1))
        committer.flush()
        assert (committer.applied.s, stream.read(7)["value_sum_1d"]) == (5, 2.11)
    assert stored_baskets(stream) == [(1, 1), (2, 1), (3, 2), (4, 3)], "what history had is not committed again"


def test_after_a_rebuild_with_another_stream_lost_events_can_be_sent_again(stream, tmp_path):
    with closing(stream.opened()) as committer:
        take(stream, committer, (1, 7, "north", T0, 100))
        committer.flush()
        shutil.copytree(stream.root, tmp_path / "copy")
        take(stream, committer, (2, 7, "south", T0, 10))
        committer.flush()
    shutil.rmtree(stream.root)
    shutil.move(tmp_path / "copy", stream.root)
    stream.stream.close()
    shutil.rmtree(tmp_path / "stream", ignore_errors=True)
    stream = replace(stream, folder=tmp_path / "other")
    stream.root = tmp_path / "offline"
    committer = stream.committer()
    with closing(committer):
        committer.open(rebuild=True)
        take(stream, committer, (2, 7, "south", T0, 10), (1, 7, "north", T0, 100))
        assert (stream.read(7)["value_sum_1d"], committer.applied.duplicates) == (1.1, 1)
    stream.stream.close()


def test_a_source_whose_columns_are_of_other_types_than_in_history_is_refused(stream):
    with closing(stream.opened()) as committer:
        take(stream, committer, (1, 7, "north", T0, 100))
        committer.flush()
    stream.source = replace(baskets, schema={**baskets.schema, "shop_id": Int64})
    stream.views = (FeatureView("sums", household, stream.source, [Sum("value", "1d")]),)
    with closing(stream.committer()) as committer, pytest.raises(ImportRefused, match="column shop_id was string"):
        committer.open()
    stream.source, stream.views = baskets, (spending, trade)
    with closing(stream.opened()) as committer:
        assert committer.applied.s == 1


class Breaking:
    """A store that fails at the n-th writing of a kind."""

    def __init__(self, inner, name, left):
        self.inner, self.name, self.left = inner, name, left

    def __getattr__(self, name):
        found = getattr(self.inner, name)
        if name != self.name:
            return found

        def counted(*given):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            return found(*given)

        return counted


@pytest.mark.parametrize(
    ("name", "left"), [("remove_view", 1), ("remove_view", 2), ("put_many", 2), ("apply", 2), ("apply", 3)]
)
def test_a_rebuild_that_is_cut_short_is_taken_up_by_the_next_opening(stream, name, left):
    with closing(stream.opened()) as committer:
        take(stream, committer, (1, 7, "north", T0, 100))
    inner: MemoryStore = stream.store
    stream.store = Breaking(inner, name, left)
    with closing(stream.committer()) as committer, pytest.raises(KeyboardInterrupt):
        committer.open(rebuild=True)
    stream.store = inner
    with closing(stream.opened()) as committer:
        take(stream, committer, (2, 7, "north", T0, 1))
        assert stream.read(7)["count_1d"] == 2
        take(stream, committer, (1, 8, "north", T0, 100))
        assert [stream.read(who)["count_1d"] for who in (7, 8)] == [1, 1]
