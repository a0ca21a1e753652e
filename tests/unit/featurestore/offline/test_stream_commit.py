"""Stream commits in history: ranges in one manifest, chained with imports, whole or absent."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.foundation.clock import FixedClock
from featurestore.foundation.errors import ImportRefused, OfflineStoreError
from featurestore.offline import snapshot
from featurestore.offline.row_check import stored_schema
from featurestore.offline.stream_commit import SequenceTaken, append_commits
from featurestore.semantics.value import Int64

NOW_US = 1_700_000_000_000_000


@pytest.fixture
def root(tmp_path):
    return tmp_path / "offline"


@pytest.fixture
def streamed(baskets):
    """Make a stored table from (commit, id, instant in µs) triples."""

    def make(*triples):
        commits, ids, instants = (list(part) for part in zip(*triples, strict=True)) if triples else ([], [], [])
        none = [None] * len(triples)
        cells = {
            "id": ids,
            "household": [7] * len(ids),
            "ts": instants,
            "value": none,
            "gone": [False] * len(ids),
            "net": none,
            "__event_us": instants,
            "__available_us": [NOW_US + commit for commit in commits],
            "__commit": commits,
            "__row": list(range(len(ids))),
            "__deleted": [False] * len(ids),
        }
        return pa.table(cells, schema=stored_schema(baskets))

    return make


@pytest.fixture
def append(baskets, root):
    return lambda table, first, last, source=baskets: append_commits(
        source, root, table, first=first, last=last, clock=FixedClock(NOW_US)
    )


def test_runs_of_stream_commits_and_imports_are_one_sequence(append, streamed, take_in, rows, root, baskets):
    take_in(rows((1, 5)))
    made = append(streamed((2, 2, 6), (4, 3, 10**13)), 2, 4)
    assert (made.first_sequence, made.sequence, made.rows, len(made.files)) == (2, 4, 2, 2)
    assert append(streamed(), 5, 5).rows == 0
    assert take_in(rows((9, 5))).sequence == 6
    whole = snapshot.latest(root, baskets)
    assert (whole.sequence, whole.rows, len(whole.commits)) == (6, 4, 4)
    assert [path.relative_to(whole.folder).parts[:2] for path in whole.paths[1:3]] == [("data", "000004")] * 2
    assert snapshot.manifest_path(whole.folder, 4).is_file()
    whole.verify()


def test_a_sequence_inside_a_run_takes_in_its_manifest_and_has_no_digest(append, streamed, root, baskets):
    append(streamed((1, 1, 5), (3, 2, 6)), 1, 3)
    append(streamed((4, 3, 7)), 4, 5)
    digests = {}
    for s, manifests in ((0, 0), (1, 1), (2, 1), (3, 1), (4, 2), (5, 2)):
        seen = snapshot.at(root, baskets, s)
        assert (seen.sequence, len(seen.commits), seen.cut) == (s, manifests, s not in {0, 3, 5})
        if seen.cut:
            with pytest.raises(OfflineStoreError, match=f"commit {s} has no digest") as refused:
                _ = seen.digest
            assert refused.value.mend == f"ask for the digest at {0 if s < 3 else 3} or at {3 if s < 3 else 5}"
        else:
            digests[s] = seen.digest
    assert len(set(digests.values())) == 3
    with pytest.raises(OfflineStoreError, match="there is no commit 6: the last one is 5"):
        snapshot.at(root, baskets, 6)


def test_the_manifest_and_digest_of_an_import_are_what_they_were_before_there_were_ranges(take_in, rows, root, baskets):
    take_in(rows((1, 5)))
    path = snapshot.manifest_path(snapshot.source_folder(root, "baskets"), 1)
    plain = json.loads(path.read_bytes())
    assert "first_sequence" not in plain
    known = snapshot.latest(root, baskets)
    assert known.commits[0].first_sequence == 1
    named = {part: plain[part] for part in ("format", "source", "sequence", "reading", "previous", "files")}
    text = json.dumps(named, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert known.digest == hashlib.sha256(text.encode()).hexdigest()


def test_commits_that_history_holds_or_that_leave_a_gap_are_refused(append, streamed, root, baskets):
    append(streamed((1, 1, 5)), 1, 2)
    before = snapshot.latest(root, baskets)
    for first, last in ((1, 2), (2, 4), (4, 4)):
        with pytest.raises(SequenceTaken, match=f"commits {first} to {last} cannot be written after commit 2"):
            append(streamed((last, 2, 5)), first, last)
    assert snapshot.latest(root, baskets) == before
    assert sorted(path.name for path in (root / "sources/baskets/data").iterdir()) == ["000002"]


@pytest.mark.parametrize("commits", [(0,), (4,), (2, 1)])
def test_rows_of_other_commits_are_refused(commits, append, streamed, root, baskets):
    table = streamed(*((commit, place, 5) for place, commit in enumerate(commits)))
    with pytest.raises(OfflineStoreError, match="not of these commits in their order"):
        append(table, 1, 3)
    assert snapshot.latest(root, baskets).sequence == 0


def test_rows_that_nothing_tells_apart_are_refused(append, streamed):
    table = streamed((1, 1, 5), (1, 2, 5))
    twice = table.set_column(table.schema.get_field_index("__row"), table.schema.field("__row"), pa.array([3, 3]))
    with pytest.raises(OfflineStoreError, match="not of these commits in their order"):
        append(twice, 1, 1)


def test_rows_of_another_schema_and_empty_ranges_are_refused(append, streamed):
    with pytest.raises(OfflineStoreError, match="the rows have columns"):
        append(streamed((1, 1, 5)).drop_columns(["__row"]), 1, 1)
    with pytest.raises(OfflineStoreError, match="no range of commits"):
        append(streamed(), 1, 0)


def test_a_source_that_is_no_longer_the_same_is_refused(append, streamed, root, baskets):
    append(streamed((1, 1, 5)), 1, 1)
    other = type(baskets)(
        "baskets", schema={**baskets.schema}, event_timestamp="ts", event_id="household", available_at="ts", path="x"
    )
    assert other.schema["household"] == Int64
    with pytest.raises(ImportRefused, match="identity was"):
        append(streamed((2, 1, 5)), 2, 2, other)


def test_the_files_hold_the_rows_as_given(append, streamed, root, baskets):
    table = streamed((1, 1, 50), (1, 2, 40), (2, 1, 60))
    append(table, 1, 2)
    (path,) = snapshot.latest(root, baskets).paths
    stored = pq.read_table(path)
    assert stored.equals(table.take(pa.array(np.array([1, 0, 2]))))


def test_the_digest_is_the_data_s_and_not_the_hour_s(append, streamed, root, baskets):
    append(streamed((1, 1, 5), (2, 2, 5)), 1, 2)
    again = append_commits(
        baskets, root.parent / "other", streamed((1, 1, 5), (2, 2, 5)), first=1, last=2, clock=FixedClock(5)
    )
    assert again.digest == snapshot.latest(root, baskets).digest
    apart = append_commits(
        baskets, root.parent / "third", streamed((2, 1, 5), (2, 2, 5)), first=1, last=2, clock=FixedClock(5)
    )
    assert apart.digest != again.digest
