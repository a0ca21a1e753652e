"""Commits on their way into history."""

from contextlib import closing

import pytest

from featurestore.ingestion.commit_record import CommitRecord, read_applied, read_commit
from featurestore.ingestion.errors import EntriesGone
from featurestore.ingestion.sink import commit_entries
from featurestore.ingestion.stream_input import last_stream_input, stream_input
from featurestore.offline import snapshot
from featurestore.offline.stream_commit import SequenceTaken
from featurestore.online.keys import SourceKeys
from tests.unit.featurestore.ingestion.baskets_stream import T0
from tests.unit.featurestore.retrieval.household import baskets

KEYS = SourceKeys("baskets")


def two_commits(stream, committer):
    for basket in (1, 2):
        stream.send((basket, 7, "north", T0, 100))
        committer.step(0.0)
    return [read_commit(found) for found in stream.store.get_many([KEYS.commit(1), KEYS.commit(2)])]


def test_commits_that_wait_become_one_manifest(stream):
    with closing(stream.opened()) as committer:
        first, second = two_commits(stream, committer)
        committer.flush()
        (manifest,) = snapshot.latest(stream.root, baskets).commits
        assert (manifest.first_sequence, manifest.sequence, manifest.rows) == (1, 2, 2)
        assert last_stream_input(stream.root, baskets) == (second.to, second.a_us)
        assert stream.store.get_many([KEYS.commit(1), KEYS.commit(2)]) == [None, None]
        assert first.to == second.after


def test_rows_that_are_not_in_memory_are_read_from_the_stream_again(stream):
    """The manifests are the same, byte for byte, whoever writes them."""
    with closing(stream.opened()) as committer:
        two_commits(stream, committer)
        before = dict(stream.store._values)
        committer.flush()
        digest = snapshot.latest(stream.root, baskets).digest
    for path in sorted((stream.root / "sources" / "baskets" / "commits").iterdir()):
        path.unlink()
    stream.store._values.update({key: value for key, value in before.items() if b":c:" in key})
    with closing(stream.opened()):
        assert snapshot.latest(stream.root, baskets).digest == digest


def test_one_manifest_has_no_more_rows_than_it_may(stream):
    with closing(stream.opened(unflushed_rows=1)) as committer:
        two_commits(stream, committer)
        committer.flush()
    assert [commit.sequence for commit in snapshot.latest(stream.root, baskets).commits] == [1, 2]


def test_what_a_flush_left_behind_is_removed_at_the_next_opening(stream):
    with closing(stream.opened()) as committer:
        two_commits(stream, committer)
        left = {key: value for key, value in stream.store._values.items() if b":c:" in key}
        committer.flush()
    stream.store._values.update(left)
    with closing(stream.opened()):
        assert stream.store.get_many(list(left)) == [None, None]


def test_a_commit_that_someone_else_wrote_is_not_written_again(stream):
    slow = stream.opened()
    two_commits(stream, slow)
    slow.lease.release()
    stream.opened().close()
    with pytest.raises(SequenceTaken):
        slow.flush()
    slow.close()
    assert snapshot.latest(stream.root, baskets).rows == 2


def test_entries_of_a_commit_must_all_be_there(stream):
    stream.send((1, 7, "north", T0, 100))
    (entry,) = stream.stream.read("", 10, 0.0)
    whole = CommitRecord(1, T0, "", entry.position, 1)
    assert commit_entries(stream.stream, whole) == [entry]
    with pytest.raises(EntriesGone, match="made of 2 rows, of which the stream has 1"):
        commit_entries(stream.stream, CommitRecord(1, T0, "", entry.position, 2))


def test_records_read_back_as_they_were():
    commit = CommitRecord(3, -5, "a", "b", 9, (1, 4), (2,))
    assert read_commit(commit.pack()) == commit
    assert read_applied(None) is None
    assert stream_input((commit,)).rows == 9
