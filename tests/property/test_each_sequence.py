"""Law 1 per row: at each (key, t, s) the engine's answer is the oracle's, whatever s each row is asked at."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.foundation.clock import FixedClock
from featurestore.offline import audit_rows, snapshot
from featurestore.offline.base import AuditRows, OfflineStore
from featurestore.offline.duckdb_store import open_offline_store
from featurestore.offline.row_check import stored_schema
from featurestore.offline.stream_commit import append_commits
from featurestore.semantics.finalise import apply_ttl
from featurestore.semantics.value import column
from tests.oracle import point_in_time as oracle
from tests.property.engine import Figures, answers_of, ask, check_same, take_in
from tests.property.histories import Drawn, History, Seeded, Setting, make_history, make_setting

COMMITS = 4
BATCH, LONG_BATCH, LONG_BATCHES = 15, 40, 100


def check_each(
    store: OfflineStore | AuditRows, setting: Setting, histories: list[History], last: int, figures: Figures
):
    """Ask every question at every commit sequence in one call, and compare each answer with the oracle's."""
    asked = [(history, key, t, s) for s in range(last + 1) for history in histories for key, t in history.questions]
    keys = column(setting.view.entity.dtype, [key for _, key, _, _ in asked])
    instants = np.array([t for _, _, t, _ in asked], dtype=np.int64)
    sequences = np.array([s for *_, s in asked], dtype=np.int64)
    order = np.random.default_rng(last).permutation(len(asked))
    asked_at = keys.take(order), instants[order], sequences[order]
    if isinstance(store, AuditRows):
        frame = store.features_at_each(*asked_at)
    else:
        frame = store.features_at_each(setting.view, *asked_at)
    frame = frame.take(np.argsort(order))
    for name, values in frame.columns.items():
        frame.columns[name], frame.statuses[name] = apply_ttl(
            (values, frame.statuses[name]), instants, frame.latest_event_us, frame.has_latest, setting.view.ttl_us
        )
    answers = {name: answers_of(frame, name) for name in frame.columns}
    for row, (history, key, t, s) in enumerate(asked):
        for name, wanted in oracle.answers(history.versions, setting.oracle, key, t, s).items():
            assert answers[name][row] == (oracle.bits(wanted.value), wanted.status), f"{name} of {key!r} at {t}, s {s}"
        latest = oracle.latest_event(history.versions, setting.oracle, key, t, s)
        assert (int(frame.latest_event_us[row]) if frame.has_latest[row] else None) == latest
    figures.rows += len(asked)
    figures.values += len(asked) * len(answers)
    return frame


def check_histories(setting: Setting, histories: list[History], figures: Figures) -> None:
    with TemporaryDirectory() as folder:
        last = take_in(setting, histories, Path(folder))
        with closing(open_offline_store(Path(folder), 1)) as one, closing(open_offline_store(Path(folder), 2)) as two:
            frame = check_each(one, setting, histories, last, figures)
            rows = two.audit_rows(setting.view)
            for _ in range(2):
                check_same(frame, check_each(rows, setting, histories, last, figures))
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
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_one_history_at_a_time(case):
    setting, histories = case
    check_histories(setting, histories, Figures())


@given(st.integers(0, 2**32))
@settings(max_examples=10)
def test_many_histories_in_one_call(seed):
    check_histories(*batch(seed), Figures())


@given(st.integers(0, 2**32), st.integers(1, 7))
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pieces_make_no_difference(monkeypatch, seed, rows):
    monkeypatch.setattr(audit_rows, "SEEN_ROWS", rows)
    check_histories(*batch(seed, 5), Figures())


def streamed_anew(setting: Setting, imported: Path, streamed: Path, last: int, cut: int) -> None:
    """Write what was imported as stream commits: one manifest up to ``cut``, one of the rest."""
    paths = snapshot.latest(imported, setting.source).paths
    whole = pa.concat_tables(pq.ParquetFile(path).read() for path in paths)
    whole = whole.sort_by([("__commit", "ascending"), ("__row", "ascending")]).cast(stored_schema(setting.source))
    commits = whole.column("__commit").to_numpy()
    for first, end in ((1, cut), (cut + 1, last)):
        if first <= end:
            part = whole.filter(pa.array((commits >= first) & (commits <= end)))
            append_commits(setting.source, streamed, part, first=first, last=end, clock=FixedClock(0))


@given(st.integers(0, 2**32), st.integers(0, COMMITS))
@settings(max_examples=8)
def test_commits_written_in_runs_read_as_they_do_one_by_one(seed, cut):
    setting, histories = batch(seed)
    questions = [question for history in histories for question in history.questions]
    with TemporaryDirectory() as imported, TemporaryDirectory() as streamed:
        last = take_in(setting, histories, Path(imported))
        streamed_anew(setting, Path(imported), Path(streamed), last, min(cut, last))
        with closing(open_offline_store(Path(streamed), 1)) as runs, closing(open_offline_store(Path(imported))) as one:
            check_each(runs, setting, histories, last, Figures())
            for s in range(last + 1):
                check_same(ask(runs, setting, questions, s), ask(one, setting, questions, s))
                assert runs.keys(setting.view, s).to_pylist() == one.keys(setting.view, s).to_pylist()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_long_run():
    figures = Figures()
    for seed in range(LONG_BATCHES):
        check_histories(*batch(seed, LONG_BATCH), figures)
    print(figures)
