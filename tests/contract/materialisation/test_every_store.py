"""What a materialisation keeps, repairs and refuses, on each store there is."""

import shutil
from contextlib import closing

import pytest

from featurestore.definitions import FeatureService
from featurestore.foundation.clock import DAY, HOUR, FixedClock
from featurestore.materialisation.history import AnotherHistory
from featurestore.materialisation.ledger import Ledger
from featurestore.materialisation.materialise import materialise
from featurestore.offline.duckdb_store import open_offline_store
from featurestore.offline.event_import import import_file
from featurestore.online.base import Put
from featurestore.online.envelope import Stamp
from featurestore.online.errors import EntityKeyError, NotMaterialised, RowFormatError
from featurestore.online.open_store import open_store
from featurestore.online.view_format import ViewFormat
from featurestore.retrieval.online_features import OnlineFeatures
from tests.unit.featurestore.retrieval.household import BASKETS, NOON, baskets, baskets_table, spending, trade

FORM = ViewFormat(spending)
LATER = NOON + 23 * HOUR
"""By when the row of household 7 has changed by itself."""
OTHERS = [(1, 7, "east", NOON - 2 * HOUR, 999), (2, 21, "east", NOON - HOUR, 5)]
"""Another history's baskets: household 7 has other values, 8 and 9 are not in it, 21 is new."""


class Project:
    """An offline store that can be made anew, with an online store that stays."""

    def __init__(self, folder, url):
        self.offline_folder, self.ledger, self.url = folder / "offline", Ledger(folder / "ledger"), url

    def import_baskets(self, rows):
        import_file(baskets, baskets_table(rows), self.offline_folder, FixedClock(NOON))

    def make_anew(self, rows):
        shutil.rmtree(self.offline_folder)
        self.import_baskets(rows)

    def materialise(self, as_of_us=NOON, view=spending, **options):
        with closing(open_offline_store(self.offline_folder, threads=1)) as offline, self.online() as online:
            return materialise(view, offline, online, as_of_us, self.ledger, **options)

    def online(self):
        return closing(open_store(self.url))

    def get(self, *keys):
        with self.online() as online:
            return online.get_many(keys)

    def read(self, key, t, view=spending):
        """Read by a reader that remembers nothing."""
        with self.online() as online:
            features = OnlineFeatures(FeatureService("inputs", [view]))
            found = features.read_blocking(online, {view.entity.name: [key]}, t)
        return {name.partition(".")[2]: column.to_pylist()[0] for name, column in found.columns.items()}


@pytest.fixture(params=["memory", "lmdb", pytest.param("redis", marks=pytest.mark.redis)])
def project(request, tmp_path):
    if request.param == "redis":
        url = request.getfixturevalue("start_redis")().url
    else:
        url = f"lmdb:{tmp_path}/online" if request.param == "lmdb" else f"memory://{request.node.nodeid}"
    made = Project(tmp_path, url)
    made.import_baskets(BASKETS)
    return made


def stored_pair(project, household):
    key = FORM.encode_key(household)
    return project.get(FORM.keys.row(key), FORM.keys.log(key))


def put(project, household, row, log):
    key = FORM.encode_key(household)
    with project.online() as online:
        online.put_many([Put(FORM.keys.row(key), row, FORM.keys.log(key), log)])


def of_another_stamp(log):
    return FORM.logs.encode(FORM.logs.decode(log)[0], Stamp(9, NOON))


@pytest.mark.parametrize("harm", [lambda log: None, lambda log: log[:-1] + b"?", of_another_stamp])
def test_a_lost_or_damaged_log_is_mended_by_the_command_that_the_refusal_names(project, harm):
    project.materialise()
    before = project.read(7, LATER)
    row, log = stored_pair(project, 7)
    put(project, 7, row, harm(log))
    with pytest.raises(RowFormatError, match="run `unskew materialise`"):
        project.read(7, LATER)
    report = project.materialise()
    assert report.resumed == 0
    assert project.read(7, LATER) == before
    assert project.materialise().resumed == report.rows


def test_the_history_that_continues_the_stored_rows_goes_on(project):
    project.materialise()
    project.import_baskets([(20, 7, "west", NOON - HOUR, 1_000)])
    assert project.materialise().sequence == 2
    project.materialise(NOON + DAY)
    assert project.read(7, NOON + DAY)["shop_id_last"] == "south"


@pytest.mark.parametrize("commits", [1, 2])
def test_another_history_is_refused_and_changes_nothing(project, commits):
    """The offline store was made anew, and its commits count from 1 again; s may be greater than what is stored."""
    project.materialise()
    before = stored_pair(project, 7), project.read(7, LATER), project.read(99, LATER)
    project.make_anew(OTHERS)
    for basket in range(1, commits):
        project.import_baskets([(100 + basket, 7, "east", NOON - HOUR, 1)])
    with pytest.raises(AnotherHistory, match=r"'spending'.*commit 1 of source 'baskets' differs.*spending --rebuild"):
        project.materialise(NOON + HOUR)
    assert (stored_pair(project, 7), project.read(7, LATER), project.read(99, LATER)) == before
    assert stored_pair(project, 21) == [None, None]


def test_a_history_that_was_set_back_is_refused_until_it_has_caught_up(project):
    shutil.copytree(project.offline_folder, project.offline_folder.with_name("backup"))
    project.import_baskets([(20, 7, "west", NOON - HOUR, 1_000)])
    project.materialise()
    shutil.rmtree(project.offline_folder)
    project.offline_folder.with_name("backup").rename(project.offline_folder)
    with pytest.raises(AnotherHistory, match="rows up to commit 2 of source 'baskets', which has 1 here"):
        project.materialise(NOON + HOUR)
    project.import_baskets([(20, 7, "west", NOON - HOUR, 1_000)])
    assert project.materialise(NOON + HOUR).skipped_newer == 0


def test_a_rebuild_replaces_the_other_history_whole(project):
    """Also a younger one by a lower s and an earlier T; households that it does not know are nobody."""
    project.import_baskets([(20, 8, "west", NOON - HOUR, 1_000)])
    project.materialise(NOON + HOUR)
    project.make_anew(OTHERS)
    report = project.materialise(NOON, rebuild=True)
    assert (report.sequence, report.rows, report.skipped_newer, report.resumed) == (1, 2, 0, 0)
    assert [project.read(household, NOON)["count_1d"] for household in (7, 8, 9, 21)] == [1, 0, 0, 1]
    assert project.read(7, NOON)["value_sum_1d"] == 9.99
    assert stored_pair(project, 8) == [None, None]
    assert project.materialise(NOON).resumed == 2


def test_a_rebuild_leaves_other_views_alone(project):
    project.materialise(view=trade)
    project.materialise()
    before = project.read("south", NOON, trade)
    project.materialise(rebuild=True)
    assert project.read("south", NOON, trade) == before


def test_a_run_that_began_is_known_by_its_history_before_its_first_row(project):
    """Killed after its first batch, it left rows without nobody's: these are another history's none the less."""

    class PowerCut(Exception):
        """The end of the run."""

    def cut(done, total):
        if done:
            raise PowerCut

    with pytest.raises(PowerCut):
        project.materialise(batch_rows=1, progress=cut)
    assert project.get(FORM.nobody) == [None]
    project.make_anew(OTHERS)
    with pytest.raises(AnotherHistory):
        project.materialise()
    project.materialise(rebuild=True)
    assert stored_pair(project, 8) == [None, None]


def test_a_store_that_does_not_say_whose_rows_it_has_is_refused(project):
    with project.online() as online:
        online.put_many([Put(FORM.nobody, FORM.nobody_row(Stamp(1, NOON)), b"unskew:{000}:l", None)])
    with pytest.raises(AnotherHistory, match="does not say of which history"):
        project.materialise()
    project.materialise(rebuild=True)
    assert project.read(7, NOON)["count_1d"] == 2


def test_while_a_rebuild_is_unfinished_an_absent_key_is_refused_and_not_taken_for_nobody(project):
    project.materialise()

    def look(done, total):
        if not done:
            with pytest.raises(NotMaterialised):
                project.read(7, NOON)

    project.materialise(rebuild=True, progress=look)
    assert project.read(7, NOON)["count_1d"] == 2


@pytest.mark.redis
def test_a_redis_that_is_killed_and_comes_back_empty_is_filled_whole(start_redis, tmp_path):
    server = start_redis()
    project = Project(tmp_path, server.url)
    project.import_baskets(BASKETS)

    def power_cut(done, total):
        if done == 2:
            server.kill()
            server.start()

    report = project.materialise(batch_rows=1, progress=power_cut)
    assert report.rows == 3
    assert [project.read(household, NOON)["count_1d"] for household in (7, 8, 9)] == [2, 0, 1]
    assert None not in [stored_pair(project, household)[0] for household in (7, 8, 9)]


def test_entity_keys_of_any_length_are_stored(project):
    shops = ["n" * 465, "n" * 466, "n" * 5_000, "ü" * 300, "nul\x00l", ""]
    project.import_baskets([(50 + i, 7, name, NOON - HOUR, 100 * (i + 1)) for i, name in enumerate(shops)])
    project.materialise(view=trade)
    sums = [project.read(name, NOON, trade)["value_sum_1d"] for name in [*shops, "n" * 479]]
    assert sums == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, None]
    with pytest.raises(EntityKeyError):
        project.read("\ud800", NOON, trade)
