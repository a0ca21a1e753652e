"""Law 1, offline: the engine's answer is the oracle's, bit for bit, whatever the history (acceptance 3)."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.offline.duckdb_store import open_offline_store
from featurestore.offline.point_in_time import join, timeline
from tests.property.engine import Figures, ask, check_against_oracle, check_same, take_in
from tests.property.histories import Drawn, History, Seeded, Setting, make_history, make_setting

COMMITS = 3
BATCH, LONG_BATCH, LONG_BATCHES = 20, 50, 120
LARGE_SPINE, SEVERAL_PIECES = 100_000, 300_000


def check_histories(setting: Setting, histories: list[History], figures: Figures, *, spine_rows: int = 0) -> None:
    """Import, then compare at every commit sequence, on one thread and on two; then a spine of so many rows."""
    questions = [question for history in histories for question in history.questions]
    with TemporaryDirectory() as folder:
        root = Path(folder)
        last = take_in(setting, histories, root)
        with closing(open_offline_store(root, threads=1)) as one, closing(open_offline_store(root, threads=2)) as two:
            for s in range(last + 1):
                frame = check_against_oracle(one, setting, histories, s, figures)
                check_same(frame, ask(two, setting, questions, s))
            if spine_rows:
                rows = np.random.default_rng(last).integers(0, len(questions), spine_rows)
                frame = ask(one, setting, questions, last)
                for store in (one, two):
                    check_same(frame, ask(store, setting, [questions[row] for row in rows], last), rows)
                figures.rows += 2 * spine_rows
    figures.histories += len(histories)


def batch(seed: int, size: int = BATCH) -> tuple[Setting, list[History]]:
    choose = Seeded(seed)
    setting = make_setting(choose)
    return setting, [make_history(choose, setting, number, COMMITS) for number in range(size)]


@st.composite
def single(draw: st.DrawFn) -> tuple[Setting, list[History]]:
    choose = Drawn(draw)
    setting = make_setting(choose)
    return setting, [make_history(choose, setting, 0, COMMITS)]


@given(single())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_one_history_at_a_time(case):
    setting, histories = case
    check_histories(setting, histories, Figures())


@given(single(), st.integers(0, 2**32))
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_one_row_at_a_time(case, seed):
    """A spine of one row gets what the same row gets in a longer one."""
    setting, histories = case
    with TemporaryDirectory() as folder:
        last = take_in(setting, histories, Path(folder))
        with closing(open_offline_store(Path(folder), threads=1)) as store:
            for question in histories[0].questions:
                one = History(histories[0].versions, questions=[question])
                check_against_oracle(store, setting, [one], last, Figures())


@given(st.integers(0, 2**32))
@settings(max_examples=12)
def test_many_histories_in_one_call(seed):
    setting, histories = batch(seed)
    check_histories(setting, histories, Figures())


@pytest.mark.parametrize(("seed", "spine_rows"), [(3, LARGE_SPINE), (9, LARGE_SPINE), (4, SEVERAL_PIECES)])
def test_a_long_spine_gets_what_a_short_one_gets(seed, spine_rows):
    setting, histories = batch(seed)
    check_histories(setting, histories, Figures(), spine_rows=spine_rows)


@pytest.mark.parametrize("piece_rows", [1, 7, 1_009])
def test_the_pieces_that_a_spine_is_cut_into_do_not_matter(monkeypatch, piece_rows):
    for module in (timeline, join):
        monkeypatch.setattr(module, "CHUNK_ROWS", piece_rows)
    setting, histories = batch(piece_rows)
    check_histories(setting, histories, Figures(), spine_rows=0 if piece_rows == 1 else 5_000)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_five_thousand_histories(capsys):
    figures = Figures()
    for seed in range(LONG_BATCHES):
        setting, histories = batch(10_000 + seed, LONG_BATCH)
        check_histories(setting, histories, figures, spine_rows=0 if seed % 20 else LARGE_SPINE)
    assert figures.histories >= 5_000
    with capsys.disabled():
        print(f"\npoint in time: {figures}")
