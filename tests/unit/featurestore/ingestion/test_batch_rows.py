"""Rows on which a view's SQL fails: found by few evaluations, however many they are."""

from contextlib import closing

import pytest

from featurestore.definitions import Derived, FeatureView, Int64, Sum
from featurestore.offline.row_engine import RowEngine
from tests.unit.featurestore.ingestion.baskets_stream import T0
from tests.unit.featurestore.retrieval.household import baskets, household


def strict(expression):
    return FeatureView("strict", household, baskets, [Sum("n", "1d")], derive={"n": Derived(expression, Int64)})


@pytest.fixture
def evaluations(monkeypatch):
    evaluated, rows = [], RowEngine.rows

    def counted(engine, view, table):
        evaluated.append(len(table))
        return rows(engine, view, table)

    monkeypatch.setattr(RowEngine, "rows", counted)
    return evaluated


def test_many_failing_rows_cost_few_evaluations(stream, evaluations):
    stream.views = (strict("CAST(shop_id AS BIGINT)"),)
    with closing(stream.opened()) as committer:
        stream.send(*((basket, 7, "bad" if basket % 2 else "1", T0, 100) for basket in range(600)))
        committer.step(0.0)
        assert (committer.applied.rows, committer.applied.failed) == (300, 300)
        assert len(evaluations) < 40
        assert stream.read(7, view=stream.views[0])["n_sum_1d"] == 300
    letters = stream.dead_letters.list("baskets")
    assert len(letters) == 300
    reasons = [letter.reason for letter in sorted(letters, key=lambda letter: letter.row["basket_id"])]
    assert "Could not convert string 'bad'" in reasons[0]
    assert reasons[-1] == "derive 'n' of feature view strict fails on this row"


def test_what_the_engine_cannot_try_is_found_by_halving(stream, monkeypatch):
    monkeypatch.setattr(RowEngine, "failing", lambda *_: {})
    stream.views = (strict("CAST(shop_id AS BIGINT)"),)
    with closing(stream.opened()) as committer:
        stream.send(*((basket, 7, "bad" if basket in (3, 40) else "1", T0, 100) for basket in range(64)))
        committer.step(0.0)
        assert (committer.applied.rows, committer.applied.failed) == (62, 2)
    assert all("'bad'" in letter.reason for letter in stream.dead_letters.list("baskets"))
