"""Answers that wait for their records leave once those are synced, or fail to be, or after the limit."""

import asyncio
import os
import threading
import time

import pytest

from gateway.predictionlog.reader import PredictionReader
from gateway.predictionlog.settlement import Settlement
from gateway.predictionlog.writer import PredictionLog


def test_those_before_the_number_are_released_together():
    async def main():
        settlement = Settlement(10.0)
        waits = [settlement.wait_for(following, 1) for following in (1, 3, 5)]
        threading.Thread(target=settlement.tell, args=(3,), kwargs={"synced": True}).start()
        assert [await waits[0], await waits[1]] == [True, True]
        assert not waits[2].done()
        settlement.tell(5, synced=False)
        assert await waits[2] is False
        assert settlement.unsynced_rows == 1

    asyncio.run(main())


def test_nobody_waits_longer_than_the_limit():
    async def main():
        settlement = Settlement(0.02)
        assert await settlement.wait_for(4, 4) is False
        settlement.tell(4, synced=True)
        await asyncio.sleep(0)
        assert settlement.unsynced_rows == 4

    asyncio.run(main())


def test_telling_a_loop_that_is_over_is_harmless():
    settlement = Settlement(10.0)

    async def main():
        settlement.wait_for(1, 1)

    asyncio.run(main())
    settlement.tell(1, synced=True)


def test_an_answer_leaves_once_its_record_is_synced(make_batch, tmp_path, monkeypatch):
    synced: list[int] = []
    real = os.fdatasync

    def slow(descriptor):
        time.sleep(0.05)
        real(descriptor)
        synced.append(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)

    async def main():
        with PredictionLog(tmp_path, durability="sync", flush_interval_ms=60_000) as log:
            log.append(make_batch(0, 3))
            logged = log.settlement(3)
            assert logged is not None
            assert not synced
            assert await logged
            assert len(synced) == 1
            assert PredictionReader(tmp_path).to_arrow("spend").num_rows == 3
            assert log.counters().written == 3

    asyncio.run(main())


def test_those_who_come_during_a_sync_share_the_next(make_batch, tmp_path, monkeypatch):
    syncs: list[int] = []
    real = os.fdatasync

    def slow(descriptor):
        syncs.append(descriptor)
        time.sleep(0.05)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)

    async def main():
        log = PredictionLog(tmp_path, durability="sync", flush_interval_ms=60_000)

        async def ask(number):
            log.append(make_batch(number, 1))
            logged = log.settlement(1)
            assert logged is not None
            assert await logged

        first = asyncio.create_task(ask(0))
        await asyncio.sleep(0.02)
        await asyncio.gather(first, *(ask(number) for number in range(1, 40)))
        assert len(syncs) == 2
        await asyncio.to_thread(log.close)

    asyncio.run(main())


@pytest.mark.parametrize("failing", [True, False])
def test_a_sync_that_fails_or_hangs_fails_no_prediction_and_is_counted(make_batch, tmp_path, monkeypatch, failing):
    """The record is in the log once the disk is mended, once."""
    mended = threading.Event()
    real = os.fdatasync

    def broken(descriptor):
        if failing and not mended.is_set():
            raise OSError(5, "Input/output error")
        mended.wait(10)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", broken)

    async def main():
        log = PredictionLog(tmp_path, worker="w", durability="sync", flush_interval_ms=200, sync_limit_ms=50)
        log.append(make_batch(0, 2))
        logged = log.settlement(2)
        assert logged is not None
        assert await logged is False
        await asyncio.sleep(0.02)
        log.append(make_batch(2, 1))
        logged = log.settlement(1)
        assert (logged is None) is failing  # while it fails nobody waits; while it hangs, nobody longer than the limit
        if logged is not None:
            assert await logged is False
        assert (log.counters().unsynced, log.counters().errors > 0) == (3, failing)
        mended.set()
        await asyncio.to_thread(log.close)
        assert log.counters().written == 3

    asyncio.run(main())
    reader = PredictionReader(tmp_path)
    assert sorted(reader.to_arrow("spend")["sequence"].to_pylist()) == [0, 1, 2]
    assert [state.doubled for state in reader.workers()] == [0]


def test_dropped_rows_let_nobody_wait(make_batch, tmp_path):
    async def main():
        with PredictionLog(tmp_path, durability="sync", capacity_rows=1) as log:
            log.append(make_batch(0, 2))
            assert log.settlement(2) is None
            assert (log.counters().dropped, log.counters().unsynced) == (2, 2)

    asyncio.run(main())


def test_without_sync_nobody_waits(make_batch, tmp_path):
    with PredictionLog(tmp_path) as log:
        log.append(make_batch())
        assert log.settlement(1) is None
