"""Law 1, online: what a store gives at (t, s) is what the oracle says, bit for bit, on every backend (acceptance 4).

The histories are those that the offline engine is judged by: ties, late and future-dated rows, corrections, tombstones,
nulls, NaN, window and TTL edges hit exactly, and every aggregate over every type. Reads are at the materialised instant
and at every later edge, so most are past the interval of the stored row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.definitions import FeatureService
from featurestore.foundation.clock import LATEST_US
from featurestore.materialisation.ledger import Ledger
from featurestore.materialisation.materialise import materialise
from featurestore.offline.duckdb_store import open_offline_store
from featurestore.online.base import OnlineStore
from featurestore.online.errors import ReadBeforeRow
from featurestore.online.memory_store import MemoryStore
from featurestore.online.open_store import open_store
from featurestore.retrieval.online_features import OnlineFeatures, ServiceRead
from featurestore.semantics.status import Status
from featurestore.semantics.value import Column
from tests.oracle import point_in_time as oracle
from tests.property.engine import take_in
from tests.property.histories import Chooser, Drawn, History, Seeded, Setting, make_history, make_setting

COMMITS = 3
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@contextmanager
def opened(backend: str, folder: Path, redis_url: str | None = None) -> Iterator[OnlineStore]:
    if backend == "memory":
        yield MemoryStore()
        return
    with closing(open_store(redis_url or f"lmdb:{folder}/online")) as store:
        yield store


def check(
    choose: Chooser, setting: Setting, histories: list[History], backend: str, redis_url: str | None = None
) -> int:
    """Materialise at two instants in turn, and after each read every later question; return how many were read."""
    service = FeatureService("inputs", [setting.view])
    reads = 0
    with TemporaryDirectory() as name:
        folder = Path(name)
        last = take_in(setting, histories, folder)
        asked = sorted({t for history in histories for _, t in history.questions})
        if last == 0:
            return 0
        with closing(open_offline_store(folder, threads=1)) as offline, opened(backend, folder, redis_url) as online:
            features = OnlineFeatures(service)
            for as_of_us in sorted({choose.one(asked), choose.one(asked)}):
                ledger = Ledger(folder / "ledger")
                materialise(setting.view, offline, online, as_of_us, ledger, batch_rows=choose.integer(1, 40))
                reads += check_reads(features, online, setting, histories, as_of_us, last)
    return reads


def check_reads(
    features: OnlineFeatures, online: OnlineStore, setting: Setting, histories: list[History], as_of_us: int, last: int
) -> int:
    """Read each key at the materialised instant and at each later question of its history, twice, as one batch each."""
    compared = 0
    for history in histories:
        later = {t for _, t in history.questions if t > as_of_us}
        for t in (as_of_us, *sorted(later), min(LATEST_US, as_of_us + 10**12), *sorted(later)):
            read = features.read_blocking(online, {"thing": history.keys}, t)
            compare(read, setting, history, t, last)
            compared += len(history.keys)
    return compared


def compare(read: ServiceRead, setting: Setting, history: History, t: int, last: int) -> None:
    told = {
        name: list(zip(bits_of(values), read.statuses[name].tolist(), strict=True))
        for name, values in read.columns.items()
    }
    assert read.sequences["view"].tolist() == [last] * len(history.keys)
    for row, key in enumerate(history.keys):
        right = oracle.answers(history.versions, setting.oracle, key, t, last)
        assert [f"view.{name}" for name in right] == list(told)
        for name, wanted in right.items():
            found, status = told[f"view.{name}"][row]
            assert (found, Status(status).name.lower()) == (oracle.bits(wanted.value), wanted.status), (name, key, t)
        latest = oracle.latest_event(history.versions, setting.oracle, key, t, last)
        for age in read.ages_us.values():
            assert age.to_pylist()[row] == (None if latest is None else t - latest)


def bits_of(values: Column) -> list[Any]:
    """Return values as the oracle compares them: a decimal as the number it is, a double by its bits."""
    if values.dtype.scale is None:
        return [oracle.bits(value) for value in values.to_pylist()]
    return [None if cents is None else Fraction(cents, 10**values.dtype.scale) for cents in values.to_pylist()]


def batch(seed: int) -> tuple[Seeded, Setting, list[History]]:
    choose = Seeded(seed)
    setting = make_setting(choose)
    return choose, setting, [make_history(choose, setting, number, COMMITS) for number in range(10)]


@st.composite
def single(draw: st.DrawFn) -> tuple[Chooser, Setting, list[History]]:
    choose = Drawn(draw)
    setting = make_setting(choose)
    return choose, setting, [make_history(choose, setting, 0, COMMITS)]


@given(single())
@settings(max_examples=15, suppress_health_check=SLOW)
def test_one_history_at_a_time_in_memory(case):
    choose, setting, histories = case
    check(choose, setting, histories, "memory")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("backend", ["memory", "lmdb"])
def test_an_online_read_is_the_oracles_answer(backend, seed):
    choose, setting, histories = batch(seed)
    assert check(choose, setting, histories, backend) > 0


@pytest.mark.redis
@pytest.mark.parametrize("seed", range(4))
def test_an_online_read_is_the_oracles_answer_on_redis(start_redis, seed):
    choose, setting, histories = batch(seed)
    assert check(choose, setting, histories, "redis", start_redis().url) > 0


@pytest.mark.parametrize("seed", [1, 2])
def test_the_asynchronous_read_and_single_rows_give_the_same(seed):
    _, setting, histories = batch(seed)
    with TemporaryDirectory() as name:
        last = take_in(setting, histories, Path(name))
        online, at = MemoryStore(), max(t for history in histories for _, t in history.questions)
        with closing(open_offline_store(Path(name), threads=1)) as offline:
            materialise(setting.view, offline, online, at - 7, Ledger(Path(name) / "ledger"))
        features, reader = OnlineFeatures(FeatureService("inputs", [setting.view])), online.reader()
        for history in histories:
            compare(asyncio.run(features.read(reader, {"thing": history.keys}, at)), setting, history, at, last)
            for key in history.keys:
                one = History(history.versions, keys=[key])
                compare(asyncio.run(features.read(reader, {"thing": [key]}, at)), setting, one, at, last)
        with pytest.raises(ReadBeforeRow):
            asyncio.run(features.read(reader, {"thing": histories[0].keys}, at - 8))


@pytest.mark.long
def test_a_thousand_histories(capsys):
    reads = 0
    for seed in range(1000, 1100):
        choose, setting, histories = batch(seed)
        reads += check(choose, setting, histories, "memory")
    with capsys.disabled():
        print(f"\n1000 histories, {reads} online rows equal the oracle's")
