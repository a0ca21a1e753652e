from contextlib import closing

import pytest

from featurestore.foundation.clock import DAY, HOUR, FixedClock
from featurestore.foundation.errors import MaterialisationError
from featurestore.materialisation.history import AnotherHistory
from featurestore.materialisation.ledger import Ledger
from featurestore.materialisation.materialise import materialise
from featurestore.offline.duckdb_store import open_offline_store
from featurestore.offline.event_import import import_file
from featurestore.online.base import PutReport
from featurestore.online.envelope import Stamp
from featurestore.online.errors import OnlineStoreUnavailable
from featurestore.online.keys import HISTORY
from featurestore.online.memory_store import MemoryStore
from featurestore.online.view_format import ViewFormat
from tests.unit.featurestore.retrieval.household import NOON, baskets, baskets_table, import_all, profile, spending


class Recording(MemoryStore):
    """A store that notes its puts, and fails at the one it is told to."""

    def __init__(self, fails_at=None):
        super().__init__()
        self.puts = []
        self.fails_at = fails_at

    def put_many(self, puts) -> PutReport:
        self.puts.append(len(puts))
        if len(self.puts) == self.fails_at:
            raise OnlineStoreUnavailable("the power went out", where=self.name)
        return super().put_many(puts)


@pytest.fixture
def project(tmp_path):
    import_all(tmp_path / "offline")
    with closing(open_offline_store(tmp_path / "offline", threads=1)) as offline:
        yield offline, Ledger(tmp_path / "ledger"), tmp_path / "offline"


def test_every_key_gets_a_row_and_those_that_will_change_a_log(project):
    offline, ledger, _ = project
    store = MemoryStore()
    report = materialise(spending, offline, store, NOON, ledger)
    assert report.describe() == {
        "view": "spending",
        "sequence": 1,
        "as_of_us": NOON,
        "as_of": "2017-06-01T12:00:00Z",
        "rows": 3,
        "logs": 2,
        "skipped_newer": 0,
        "resumed": 0,
        "readable_from_us": NOON,
        "readable_from": "2017-06-01T12:00:00Z",
    }
    form = ViewFormat(spending)
    rows = {form.keys.row(form.encode_key(key)) for key in (7, 8, 9)}
    logs = {form.keys.log(form.encode_key(key)) for key in (7, 9)}
    assert set(store._values) == rows | logs | {form.nobody, form.keys.row(HISTORY)}
    assert ledger.completed(spending.row_digest) == [Stamp(1, NOON)]


def test_what_is_written_does_not_depend_on_the_size_of_batches(project):
    offline, ledger, _ = project
    contents = []
    for batch_rows in (1, 2, 100):
        store = Recording()
        materialise(spending, offline, store, NOON, ledger, batch_rows=batch_rows)
        contents.append(store._values)
        assert store.puts == [1] + [min(batch_rows, 3 - start) for start in range(0, 3, batch_rows)] + [1]
    assert contents[0] == contents[1] == contents[2]


def test_a_repeated_run_finds_its_rows_and_writes_only_nobodys(project):
    offline, ledger, _ = project
    store = Recording()
    first = materialise(spending, offline, store, NOON, ledger, batch_rows=2)
    before, store.puts = dict(store._values), []
    again = materialise(spending, offline, store, NOON, ledger, batch_rows=2)
    assert store._values == before
    assert store.puts == [1]
    assert (again.rows, again.logs, again.resumed) == (first.rows, first.logs, 3)


def test_a_run_that_failed_is_taken_up_where_it_stopped(project):
    offline, ledger, _ = project
    store, whole = Recording(fails_at=3), MemoryStore()
    with pytest.raises(OnlineStoreUnavailable):
        materialise(spending, offline, store, NOON, ledger, batch_rows=1)
    assert ViewFormat(spending).nobody not in store._values
    store.puts = [0, 0, 0]
    report = materialise(spending, offline, store, NOON, ledger, batch_rows=1)
    materialise(spending, offline, whole, NOON, Ledger(ledger._root / "other"))
    assert report.resumed == 1
    assert store.puts == [0, 0, 0, 1, 1, 1]
    assert store._values == whole._values


@pytest.mark.parametrize("damage", ["lost", "corrupt", "older"])
def test_a_batch_that_the_store_no_longer_holds_whole_is_written_again(project, damage):
    """The ledger of a Redis that lost its memory is not believed."""
    offline, ledger, _ = project
    store, older = MemoryStore(), MemoryStore()
    materialise(spending, offline, store, NOON, ledger, batch_rows=1)
    materialise(spending, offline, older, NOON - HOUR, Ledger(ledger._root / "other"))
    whole = dict(store._values)
    form = ViewFormat(spending)
    key = form.keys.row(form.encode_key(8))
    if damage == "lost":
        del store._values[key]
    elif damage == "corrupt":
        store._values[key] = whole[key][:-1]
    else:
        store._values[key] = older._values[key]
    report = materialise(spending, offline, store, NOON, ledger, batch_rows=1)
    assert store._values == whole
    assert report.resumed == 2


def test_another_history_that_comes_while_a_run_is_under_way_is_refused_before_its_end(project, tmp_path):
    offline, ledger, _ = project
    store = MemoryStore()
    import_file(baskets, baskets_table([(1, 7, "east", NOON, 1)]), tmp_path / "other", FixedClock(NOON))
    import_file(baskets, baskets_table([(2, 7, "east", NOON, 1)]), tmp_path / "other", FixedClock(NOON))
    form = ViewFormat(spending)

    def meanwhile(done, total):
        if done == 0:
            with closing(open_offline_store(tmp_path / "other", threads=1)) as other:
                store.remove_view(spending.row_digest)
                materialise(spending, other, store, NOON, Ledger(tmp_path / "other-ledger"))
                del store._values[form.nobody]

    with pytest.raises(AnotherHistory, match="rows up to commit 2"):
        materialise(spending, offline, store, NOON, ledger, progress=meanwhile)
    assert form.nobody not in store._values
    assert ledger.completed(spending.row_digest) == []


@pytest.mark.parametrize("harm", [lambda mark: mark[:-1] + b"?", lambda mark: b"", lambda mark: b"uR" + mark[2:]])
def test_a_damaged_mark_of_the_history_is_refused_and_not_taken_for_ours(project, harm):
    offline, ledger, _ = project
    store = MemoryStore()
    materialise(spending, offline, store, NOON, ledger)
    mark = ViewFormat(spending).keys.row(HISTORY)
    store._values[mark] = harm(store._values[mark])
    with pytest.raises(AnotherHistory, match=r"damaged.*--rebuild"):
        materialise(spending, offline, store, NOON, ledger)
    materialise(spending, offline, store, NOON, ledger, rebuild=True)
    assert materialise(spending, offline, store, NOON, ledger).resumed == 3


def test_an_older_run_changes_nothing_and_says_so(project):
    offline, ledger, _ = project
    store = MemoryStore()
    materialise(spending, offline, store, NOON, ledger)
    before = dict(store._values)
    report = materialise(spending, offline, store, NOON - DAY, ledger)
    assert store._values == before
    assert (report.skipped_newer, report.readable_from_us) == (3, NOON)


def test_rows_of_a_later_instant_are_kept_and_not_called_resumed(project):
    """After one by a clock that was ahead the run is repeated: the ledger knows its batches, the store has newer."""
    offline, ledger, _ = project
    store = MemoryStore()
    materialise(spending, offline, store, NOON, ledger)
    materialise(spending, offline, store, NOON + 900 * DAY, ledger)
    report = materialise(spending, offline, store, NOON, ledger)
    assert (report.skipped_newer, report.resumed, report.readable_from_us) == (3, 0, NOON + 900 * DAY)
    report = materialise(spending, offline, store, NOON, ledger, rebuild=True)
    assert (report.skipped_newer, report.readable_from_us) == (0, NOON)


@pytest.mark.parametrize("batches_before", [1, 2, 3])
@pytest.mark.parametrize("mark_stays", [True, False])
def test_what_a_store_loses_meanwhile_is_written_again_before_absent_keys_count_as_nobodys(
    project, batches_before, mark_stays
):
    offline, ledger, _ = project
    store, whole = MemoryStore(), MemoryStore()
    materialise(spending, offline, whole, NOON, Ledger(ledger._root / "other"))
    mark = ViewFormat(spending).keys.row(HISTORY)

    def restart(done, total):
        if done == batches_before:
            store._values = {key: value for key, value in store._values.items() if mark_stays and key == mark}

    materialise(spending, offline, store, NOON, ledger, batch_rows=1, progress=restart)
    assert store._values == whole._values


def test_a_store_that_loses_what_it_acknowledged_again_and_again_is_named(project):
    offline, ledger, _ = project

    class Evicting(MemoryStore):
        def put_many(self, puts):
            report = super().put_many(puts)
            self._values.pop(ViewFormat(spending).keys.row(b"i:7"), None)
            return report

    store = Evicting("memory://too-small")
    with pytest.raises(MaterialisationError, match=r"'spending' in the online store memory://too-small.*noeviction"):
        materialise(spending, offline, store, NOON, ledger)
    assert ViewFormat(spending).nobody not in store._values
    assert ledger.completed(spending.row_digest) == []


def test_new_commits_give_new_rows_even_as_of_an_older_instant(project):
    offline, ledger, root = project
    store = MemoryStore()
    materialise(spending, offline, store, NOON, ledger)
    import_file(baskets, baskets_table([(6, 11, "west", NOON - 2 * DAY, 5)]), root, FixedClock(NOON))
    report = materialise(spending, offline, store, NOON - DAY, ledger)
    assert (report.sequence, report.rows, report.skipped_newer) == (2, 4, 0)
    form = ViewFormat(spending)
    row = form.rows.decode([store._values[form.keys.row(form.encode_key(7))]])
    assert (row.sequence.tolist(), row.as_of_us.tolist()) == ([2], [NOON - DAY])


def test_progress_counts_up_to_all(project):
    offline, ledger, _ = project
    seen = []
    materialise(spending, offline, MemoryStore(), NOON, ledger, batch_rows=2, progress=lambda *at: seen.append(at))
    assert seen == [(0, 3), (2, 3), (3, 3)]


def test_a_view_of_a_table_that_will_not_change_has_no_logs(project):
    offline, ledger, _ = project
    store = MemoryStore()
    report = materialise(profile, offline, store, NOON, ledger)
    assert (report.rows, report.logs) == (2, 0)
    assert len(store._values) == 4  # two rows, nobody's, and the mark of the history


def test_nothing_imported_is_said_with_the_mend(tmp_path):
    with (
        closing(open_offline_store(tmp_path, threads=1)) as offline,
        pytest.raises(MaterialisationError, match=r"'spending'.*'baskets'.*unskew import"),
    ):
        materialise(spending, offline, MemoryStore(), NOON, Ledger(tmp_path / "ledger"))
    assert not (tmp_path / "ledger").exists()


def test_a_batch_of_nothing_is_refused(project):
    offline, ledger, _ = project
    with pytest.raises(MaterialisationError, match="a batch of 0 rows"):
        materialise(spending, offline, MemoryStore(), NOON, ledger, batch_rows=0)
