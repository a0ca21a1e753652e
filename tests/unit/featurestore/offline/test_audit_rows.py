"""A question per commit sequence: what was told at s is what was committed up to s, and only then."""

import numpy as np
import pyarrow as pa
import pytest

from featurestore.definitions import Count, Delay, Entity, EventSource, FeatureView, Last
from featurestore.foundation.clock import FixedClock
from featurestore.foundation.errors import OfflineStoreError
from featurestore.offline.duckdb_store import open_offline_store
from featurestore.offline.row_check import stored_schema
from featurestore.offline.stream_commit import append_commits
from featurestore.semantics.value import Bool, Int64, Timestamp, column

SOURCE = EventSource(
    "visits",
    schema={"id": Int64, "who": Int64, "at": Timestamp, "page": Int64, "gone": Bool},
    event_timestamp="at",
    event_id="id",
    available_at=Delay("0s"),
    tombstone="gone",
    path="x",
)
VIEW = FeatureView("seen", Entity("person", "who"), SOURCE, [Count(over="1h"), Last("page")])


@pytest.fixture
def store(tmp_path):
    store = open_offline_store(tmp_path, 1)
    yield store
    store.close()


@pytest.fixture
def commit(tmp_path):
    """Append (commit, id, who, at, page, gone, available) rows, one run of commits."""

    def append(*rows):
        commits, ids, people, instants, pages, gone, available = (list(part) for part in zip(*rows, strict=True))
        parts = [ids, people, instants, pages, gone, instants, available, commits, list(range(len(rows))), gone]
        names = stored_schema(SOURCE).names
        table = pa.table(dict(zip(names, parts, strict=True)), schema=stored_schema(SOURCE))
        append_commits(SOURCE, tmp_path, table, first=commits[0], last=commits[-1], clock=FixedClock(0))

    return append


def told(rows, *asked):
    """Return (count, last page) for (who, t, s) questions."""
    people, instants, sequences = zip(*asked, strict=True)
    frame = rows.features_at_each(column(Int64, people), np.array(instants), np.array(sequences))
    return list(zip(*(of.to_pylist() for of in frame.columns.values()), strict=True))


def test_a_correction_that_moves_an_event_is_seen_from_its_commit_on(store, commit):
    commit((1, 1, 7, 10, 100, False, 11), (2, 2, 7, 12, 200, False, 13), (3, 2, 8, 12, 201, False, 14))
    rows = store.audit_rows(VIEW)
    asked = [(7, 50, s) for s in range(4)] + [(8, 50, s) for s in range(4)]
    nothing = (0, None)
    assert told(rows, *asked) == [nothing, (1, 100), (2, 200), (1, 100), nothing, nothing, nothing, (1, 201)]
    assert told(rows, (7, 13, 3), (7, 14, 3), (8, 13, 3)) == [(2, 200), (1, 100), nothing]


def test_a_tombstone_is_seen_from_its_commit_on(store, commit):
    commit((1, 1, 7, 10, 100, False, 11), (2, 1, 7, 10, None, True, 12))
    assert told(store.audit_rows(VIEW), (7, 50, 1), (7, 50, 2), (7, 11, 2)) == [(1, 100), (0, None), (1, 100)]


def test_several_versions_in_one_commit_show_the_last_alone(store, commit):
    commit((1, 1, 7, 10, 100, False, 11), (1, 1, 7, 10, 101, False, 11), (2, 1, 7, 10, 102, False, 12))
    assert told(store.audit_rows(VIEW), (7, 50, 1), (7, 50, 2)) == [(1, 101), (1, 102)]


def test_sequences_that_are_not_there_are_refused(store, commit):
    commit((1, 1, 7, 10, 100, False, 11))
    rows = store.audit_rows(VIEW)
    for s in (-1, 2):
        with pytest.raises(OfflineStoreError, match=f"source visits: there is no commit {s}: the last one is 1"):
            told(rows, (7, 50, 1), (7, 50, s))


def test_rows_that_were_read_stay_as_they_were(store, commit):
    commit((1, 1, 7, 10, 100, False, 11))
    rows = store.audit_rows(VIEW)
    commit((2, 2, 7, 12, 200, False, 13))
    assert rows.newest == 1
    assert told(rows, (7, 50, 1)) == [(1, 100)]
    assert told(store.audit_rows(VIEW), (7, 50, 1), (7, 50, 2)) == [(1, 100), (2, 200)]


def test_no_history_and_no_question_are_fine(store, commit):
    assert told(store.audit_rows(VIEW), (7, 50, 0)) == [(0, None)]
    commit((1, 1, 7, 10, 100, False, 11))
    none = np.zeros(0, dtype=np.int64)
    frame = store.features_at_each(VIEW, column(Int64, []), none, none)
    assert [of.to_pylist() for of in frame.columns.values()] == [[], []]
