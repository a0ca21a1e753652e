"""Snapshots: what was known at each commit, a digest that names the data, and files that must not change."""

import json

import pyarrow.parquet as pq
import pytest

from featurestore.foundation.clock import FixedClock
from featurestore.foundation.errors import OfflineStoreError
from featurestore.offline import snapshot
from featurestore.offline.event_import import import_file


@pytest.fixture
def root(tmp_path):
    return tmp_path / "offline"


def test_nothing_imported_is_the_snapshot_at_0(root, baskets):
    nothing = snapshot.latest(root, baskets)
    assert (nothing.sequence, nothing.rows, nothing.paths) == (0, 0, ())
    assert snapshot.at(root, baskets, 0).digest == nothing.digest


def test_a_snapshot_sees_the_commits_up_to_its_sequence(take_in, rows, root, baskets):
    take_in(rows((1, 5)))
    first = snapshot.latest(root, baskets)
    take_in(rows((2, 6), (3, 7)))
    assert snapshot.at(root, baskets, 1) == first
    both = snapshot.latest(root, baskets)
    assert (both.sequence, both.rows, len(both.paths)) == (2, 3, 2)
    assert both.digest != first.digest
    for sequence in (-1, 3):
        with pytest.raises(OfflineStoreError, match=f"there is no commit {sequence}: the last one is 2"):
            snapshot.at(root, baskets, sequence)


def test_the_digest_names_the_data_and_neither_place_nor_time(take_in, rows, root, baskets, tmp_path):
    take_in(rows((1, 5)))
    pq.write_table(rows((1, 5)), tmp_path / "elsewhere.parquet")
    import_file(baskets, tmp_path / "elsewhere.parquet", tmp_path / "other", FixedClock(1))
    import_file(baskets, rows((1, 6)), tmp_path / "third", FixedClock(1))
    here, other, third = (snapshot.latest(place, baskets) for place in (root, tmp_path / "other", tmp_path / "third"))
    assert here.digest == other.digest
    assert here.commits[0].committed_at_us != other.commits[0].committed_at_us
    assert third.digest != here.digest


def test_verify_names_each_file_that_changed_or_is_gone(take_in, rows, root, baskets):
    take_in(rows((1, 5), (2, 10**13)))
    taken = snapshot.latest(root, baskets)
    taken.verify()
    first, second = taken.paths
    data = first.read_bytes()
    first.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    second.unlink()
    with pytest.raises(OfflineStoreError, match=r"1970-01.parquet has changed; .*1970-04.parquet is gone"):
        taken.verify()


def test_a_manifest_that_was_changed_is_told(take_in, rows, root, baskets):
    take_in(rows((1, 5)))
    take_in(rows((2, 6)))
    path = snapshot.manifest_path(snapshot.source_folder(root, "baskets"), 1)
    plain = json.loads(path.read_text())
    plain["files"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(plain))
    with pytest.raises(OfflineStoreError, match=r"000002.json: the manifest does not continue the one before it"):
        snapshot.latest(root, baskets)
    path.write_text("{")
    with pytest.raises(OfflineStoreError, match=r"000001.json: the manifest cannot be read"):
        snapshot.latest(root, baskets)
    path.unlink()
    with pytest.raises(OfflineStoreError, match=r"000002.json: the manifest does not continue .* is gone"):
        snapshot.latest(root, baskets)
