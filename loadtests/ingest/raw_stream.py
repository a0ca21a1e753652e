"""The peer: the same events through a Redis stream by redis-py, one entry each, read by a consumer group and dropped.

It does nothing with them: no check, no feature, no history. What a stream costs is what any design on it must pay.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from typing import Any

import orjson
from redis import Redis

from loadtests.ingest.workload import Body

STREAM, GROUP = "raw", "readers"


def run(url: str, bodies: list[Body]) -> dict[str, float]:
    """Send and consume all events by two processes; return events, seconds, and CPU seconds of these two."""
    Redis.from_url(url).xgroup_create(STREAM, GROUP, "0", mkstream=True)
    total = sum(body.events for body in bodies)
    context = multiprocessing.get_context("fork")
    told: Any = context.Queue()
    began = time.perf_counter()
    workers = [
        context.Process(target=_produce, args=(url, bodies, told)),
        context.Process(target=_consume, args=(url, total, told)),
    ]
    for worker in workers:
        worker.start()
    cpu = sum(told.get() for _ in workers)
    for worker in workers:
        worker.join()
    return {"events": total, "seconds": time.perf_counter() - began, "cpu_seconds": cpu}


def _produce(url: str, bodies: list[Body], told: Any) -> None:
    client = Redis.from_url(url)
    for body in bodies:
        pipeline = client.pipeline(transaction=False)
        for line in body.content.splitlines():
            pipeline.xadd(STREAM, {"d": line})
        pipeline.execute()
    told.put(_own_cpu())


def _consume(url: str, total: int, told: Any) -> None:
    client = Redis.from_url(url)
    done = 0
    while done < total:
        found: Any = client.xreadgroup(GROUP, "one", {STREAM: ">"}, count=500, block=1_000)
        for _, entries in found:
            for _, fields in entries:
                orjson.loads(fields[b"d"])
            client.xack(STREAM, GROUP, *[position for position, _ in entries])
            done += len(entries)
    told.put(_own_cpu())


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
