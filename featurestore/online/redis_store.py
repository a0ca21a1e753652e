"""``redis://``: the shared store. Writes and checks through redis-py; the prediction path reads by `redis_reader`."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from redis.backoff import ExponentialBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from featurestore.online.base import CommitWrite, Put, PutReport
from featurestore.online.keys import HISTORY, NOBODY, ViewKeys, bucket_of, view_pattern
from featurestore.online.redis_address import parse_redis_url
from featurestore.online.redis_client import redis_client
from featurestore.online.redis_commits import RedisCommits, refused
from featurestore.online.redis_reader import RedisReader

PIPELINE_PUTS = 2000
"""Pairs sent in one round trip."""
SCRIPT_PUTS = 200
"""Pairs that one run of the script stores, during which the server answers nobody else: under a millisecond."""
SCAN_KEYS = 1000
"""Keys that the server looks at in one step of a removal."""

T = TypeVar("T")
_SCRIPT = (Path(__file__).parent / "lua" / "put_rows.lua").read_bytes()
_SHA = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest()


class RedisStore:
    """Keep values in one Redis server of version 6.2 or newer.

    The server must not evict (``maxmemory-policy noeviction``, its default): a row whose log is gone cannot be read
    past its next change, a key whose row is gone counts as one without events, and a correction of an event whose entry
    of the index is gone counts as another event.

    Parameters
    ----------
    url
        See `featurestore.online.redis_address`.
    """

    def __init__(self, url: str) -> None:
        self._address = parse_redis_url(url)
        self.name = self._address.name
        self._client = redis_client(self._address, Retry(ExponentialBackoff(cap=0.2, base=0.05), 2))
        self._commits = RedisCommits(self._address)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of ``keys`` in order, as of one moment: one MGET."""
        if not keys:
            return []
        return cast("list[bytes | None]", self._guard(lambda: self._client.mget(list(keys))))

    def put_many(self, puts: Sequence[Put]) -> PutReport:
        """Store pairs; see `OnlineStore.put_many`. One round trip for each `PIPELINE_PUTS` of them."""
        written = 0
        for start in range(0, len(puts), PIPELINE_PUTS):
            written += self._guard(partial(self._put, puts[start : start + PIPELINE_PUTS]))
        return PutReport(written, len(puts) - written)

    def apply(self, write: CommitWrite) -> int:
        """Store a commit in up to four round trips; see `OnlineStore.apply` and `featurestore.online.redis_commits`."""
        return self._commits.apply(write)

    def raise_fence(self, source: str, epoch: int) -> None:
        """Let no lesser epoch write, in any bucket; see `OnlineStore.raise_fence`."""
        self._commits.raise_fence(source, epoch)

    def put_values(self, pairs: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Store values as they are, in their order; one round trip for each `PIPELINE_PUTS` of them."""
        for start in range(0, len(pairs), PIPELINE_PUTS):
            self._guard(partial(self._put_values, pairs[start : start + PIPELINE_PUTS]))

    def sweep(self, now_us: int, limit: int) -> int:  # noqa: ARG002
        """Return 0: Redis removes entries by itself, when they were kept for as long as was asked for."""
        return 0

    def remove_view(self, view_digest: str) -> None:
        """Remove all that is stored of a view; see `OnlineStore.remove_view`."""
        keys = ViewKeys(view_digest)
        self._guard(lambda: self._remove(view_pattern(view_digest), keys.row(NOBODY), keys.row(HISTORY)))

    def ping(self) -> None:
        """Return if the server answers."""
        self._guard(self._client.ping)

    def risk(self) -> str:
        """Tell of a policy by which the server evicts keys: entries of event indexes expire, all others do not."""
        told = self._guard(lambda: self._client.info("memory"))
        policy = str(told.get("maxmemory_policy", "noeviction"))
        if policy == "noeviction":
            return ""
        evicted = "rows" if "allkeys" in policy else "what is known of recent events"
        return f"it evicts {evicted} when its memory is full (maxmemory-policy {policy})"

    def reader(self) -> RedisReader:
        """Return a reader with a connection of its own."""
        return RedisReader(self._address)

    def close(self) -> None:
        """Close the connections; the next call would open one again."""
        self._client.close()
        self._commits.close()

    def _remove(self, pattern: bytes, first: bytes, last: bytes) -> None:
        self._client.unlink(first)
        cursor: int | None = None
        while cursor != 0:
            cursor, found = cast("tuple[int, list[bytes]]", self._client.scan(cursor or 0, pattern, SCAN_KEYS))
            keys = [key for key in found if key != last]
            if keys:
                self._client.unlink(*keys)
        self._client.unlink(last)

    def _put_values(self, pairs: Sequence[tuple[bytes, bytes | None]]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for key, value in pairs:
            if value is None:
                pipeline.delete(key)
            else:
                pipeline.set(key, value)
        pipeline.execute()

    def _put(self, puts: Sequence[Put]) -> int:
        calls = _script_calls(puts)
        answers = self._run(calls)
        refused = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if refused:
            self._client.script_load(_SCRIPT)
            for i, answer in zip(refused, self._run([calls[i] for i in refused]), strict=True):
                answers[i] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return sum(answers)

    def _run(self, calls: Sequence[list[bytes]]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(_SHA, len(call) // 2, *call)
        return pipeline.execute(raise_on_error=False)

    def _guard(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except RedisError as error:
            raise refused(error, self.name) from error


def _script_calls(puts: Sequence[Put]) -> list[list[bytes]]:
    """Return KEYS then ARGV of each run of the script: pairs of one bucket, in the order given."""
    buckets: dict[bytes, list[Put]] = defaultdict(list)
    for put in puts:
        buckets[bucket_of(put.row_key)].append(put)
    parts = [group[i : i + SCRIPT_PUTS] for group in buckets.values() for i in range(0, len(group), SCRIPT_PUTS)]
    return [
        [part for put in group for part in (put.row_key, put.log_key)]
        + [part for put in group for part in (put.row, put.log or b"")]
        for group in parts
    ]
