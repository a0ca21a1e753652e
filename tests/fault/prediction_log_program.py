"""A gateway's worker, reduced to its log: appends predictions from an event loop as fast as it may, tells of each.

``python -m tests.fault.prediction_log_program ROOT DURABILITY [CALLERS [RLIMIT_FSIZE]]`` prints the worker's name, then
a line per prediction: its number once it is acknowledged (*sync*: synced; *batched*: handed over), and the monotonic
time in seconds.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from pathlib import Path
from typing import Literal, cast

import numpy as np

from featurestore.semantics.value import Float64, Int64, column
from gateway.predictionlog.record import PredictionBatch
from gateway.predictionlog.writer import PredictionLog

FLUSH_INTERVAL_MS = 40
SEGMENT_BYTES = 30_000


def batch(number: int, model: str) -> PredictionBatch:
    return PredictionBatch(
        model=model,
        version=1,
        record_hash="9" * 64,
        variant="champion",
        route_revision=1,
        instant_us=1_514_678_400_000_000 + number,
        prediction_ids=[f"{number:012d}"],
        keys={"household": column(Int64, [number])},
        requests={},
        features={f"spending.f{at}": column(Float64, [number + at]) for at in range(4)},
        statuses={"spending.f0": np.zeros(1, np.uint8)},
        sequences={"spending": np.array([7])},
        outputs={"score": np.array([number / 2])},
    )


async def ask(log: PredictionLog, numbers: list[int], model: str, *, waits: bool) -> None:
    """Answer one request after the other, as one connection asks for them."""
    while True:
        number = numbers[0]
        numbers[0] += 1
        log.append(batch(number, model))
        settled = log.settlement(1)
        synced = await asyncio.shield(settled) if settled is not None else False
        if synced or not waits:
            sys.stdout.write(f"{number} {time.monotonic():.6f}\n")
            sys.stdout.flush()
        if not synced:
            await asyncio.sleep(0.0005)


async def main(root: Path, durability: str, callers: int = 4) -> None:
    chosen = cast(Literal["batched", "sync"], durability)
    log = PredictionLog(
        root, durability=chosen, flush_interval_ms=FLUSH_INTERVAL_MS, segment_bytes=SEGMENT_BYTES, sync_limit_ms=10_000
    )
    sys.stdout.write(f"{log.worker}\n")
    sys.stdout.flush()
    numbers = [0]
    await asyncio.gather(*(ask(log, numbers, "ab"[caller % 2], waits=chosen == "sync") for caller in range(callers)))


if __name__ == "__main__":
    place, chosen, *more = sys.argv[1:]
    if len(more) > 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(more[1]), int(more[1])))
    asyncio.run(main(Path(place), chosen, *map(int, more[:1])))
