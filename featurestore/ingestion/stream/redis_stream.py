"""The event stream on a Redis server: a Redis stream, read-modify-writes as scripts."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from redis.backoff import ConstantBackoff
from redis.commands.core import Script
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from featurestore.foundation.clock import Clock, SystemClock
from featurestore.ingestion.errors import BacklogFull, StreamDamaged, StreamReplaced, StreamUnavailable
from featurestore.ingestion.stream.base import Backlog, Entry
from featurestore.online.keys import SourceKeys
from featurestore.online.redis_address import parse_redis_url
from featurestore.online.redis_client import redis_client

LONGEST_WAIT_S = 1.0
"""Longest time that one command waits for entries."""

T = TypeVar("T")
_LUA = Path(__file__).parent / "lua"


class RedisStream:
    """Keep a source's events in one Redis server of version 6.2 or newer.

    All that is kept of a source lies in one slot: ``unskew:{s:<source>}:events``, the stream, whose consumer group
    ``unskew`` stands where the commits do, and beside it ``:meta`` with the counts and ``:lease``. An append is as
    durable as the server is configured (`risk`). If its connection breaks, it is unknown whether it took place, and it
    may have been sent twice.

    Parameters
    ----------
    url
        See `featurestore.online.redis_address`.
    source
        The source's name.
    backlog_limit_rows
        Rows that may wait to be committed.
    clock
        Says when entries are appended.
    """

    def __init__(self, url: str, source: str, *, backlog_limit_rows: int, clock: Clock | None = None) -> None:
        address = parse_redis_url(url)
        self.name = f"event stream of {source!r} at {address.name}"
        self._limit_rows = backlog_limit_rows
        self._clock = clock or SystemClock()
        self._longest_wait_s = min(LONGEST_WAIT_S, address.socket_timeout / 2)
        self._client = redis_client(address, Retry(ConstantBackoff(0.05), 1, (RedisConnectionError,)))
        tag = b"unskew:{s:" + SourceKeys(source).short_name + b"}:"
        self._events, self._meta, self._lease = tag + b"events", tag + b"meta", tag + b"lease"
        self._append = self._script("append_entries")
        self._move = self._script("move_cursor")
        self._take = self._script("take_lease")
        self._renew = self._script("renew_lease")

    def append(self, payloads: Sequence[tuple[bytes, int]]) -> None:
        """Append payloads by one script; see `EventStream.append`."""
        given = [(payload, rows) for payload, rows in payloads if rows]
        if not given:
            return
        flat = [part for payload, rows in given for part in (rows, payload)]
        arguments = [self._limit_rows, secrets.token_hex(4), self._clock.now_us(), *flat]
        done, waiting = self._guard(lambda: self._append([self._events, self._meta], arguments))
        if not done:
            raise BacklogFull(self.name, sum(rows for _, rows in given), waiting, self._limit_rows)

    def read(self, after: str, rows_limit: int, wait_s: float) -> list[Entry]:
        """Return entries; see `EventStream.read`. One round trip when there are some."""
        total = self._total(after) if after else 0
        until = time.monotonic() + wait_s
        while True:
            found = self._guard(lambda: self._entries(after, total, rows_limit))
            left_s = until - time.monotonic()
            if found or left_s <= 0:
                return found
            self._guard(partial(self._wait, total, min(left_s, self._longest_wait_s)))

    def commit(self, position: str) -> None:
        """Count entries up to ``position`` as committed, and move the consumer group there."""
        self._moved(position, "commit")

    def trim(self, position: str) -> None:
        """Remove the entries up to ``position``."""
        self._moved(position, "trim")

    def backlog(self) -> Backlog:
        """Return how many rows wait."""
        appended, committed = map(int, (number or 0 for number in self._fields("appended", "committed")))
        return Backlog(appended - committed, appended, committed)

    def acquire(self, owner: str, ttl_s: float, *, above: int = 0) -> RedisLease | None:
        """Take the lease, which is free when its time is over; see `EventStream.acquire`."""
        ttl_ms = max(1, int(ttl_s * 1_000))
        epoch = self._guard(lambda: self._take([self._lease, self._meta], [owner, ttl_ms, above]))
        return RedisLease(self, epoch, ttl_ms) if epoch else None

    def risk(self) -> str:
        """Tell what in the server's configuration may lose events that it acknowledged."""
        try:
            told = self._guard(self._configuration)
        except StreamUnavailable as error:
            if isinstance(error.__cause__, ResponseError):
                return f"whether it syncs events before it acknowledges them cannot be seen ({error.__cause__})"
            raise
        return "; ".join(_risks(told))

    def close(self) -> None:
        """Close the connections; the next call would open one again."""
        self._client.close()

    def hold(self, epoch: int, ttl_ms: int) -> bool:
        """Renew a lease, or with 0 release it; false if it is lost."""
        return bool(self._guard(lambda: self._renew([self._lease, self._meta], [epoch, ttl_ms])))

    def _entries(self, after: str, total: int, rows_limit: int) -> list[Entry]:
        """Return entries by their ids, which count rows: those within the limit, or the one that exceeds it."""
        generation, appended, committed, found = self._fetch(total, f"{total + rows_limit}-0")
        if not found and appended > total:
            generation, appended, committed, found = self._fetch(total, "+", 1)
        if after:
            self._check(after, generation, appended)
        if (found and generation is None) or (not found and appended > max(total, committed)):
            raise self._incomplete()
        return [_entry(identifier, fields, generation or b"") for identifier, fields in found]

    def _configuration(self) -> dict[str, str]:
        """Ask for each setting alone: servers before 7.0 take one name at a time."""
        told: dict[str, str] = {}
        for name in ("appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy"):
            told |= cast("dict[str, str]", self._client.config_get(name))
        return told

    def _fetch(self, total: int, last: str, count: int | None = None) -> tuple[bytes | None, int, int, list[Any]]:
        """Return generation, counts of rows, and entries as of one moment."""
        with self._client.pipeline(transaction=True) as pipeline:
            pipeline.hmget(self._meta, ["generation", "appended", "committed"])
            pipeline.xrange(self._events, f"({total}-0", last, count)
            (generation, appended, committed), found = pipeline.execute()
        return generation, int(appended or 0), int(committed or 0), found

    def _check(self, after: str, generation: bytes | None, appended: int) -> None:
        if after.partition(".")[2].encode() != generation:
            raise self._replaced(after)
        if self._total(after) > appended:
            raise self._beyond(after)

    def _wait(self, total: int, wait_s: float) -> None:
        self._client.xread({self._events: f"{total}-0"}, count=1, block=max(1, int(wait_s * 1_000)))

    def _moved(self, position: str, how: str) -> None:
        arguments = [position.partition(".")[2], self._total(position), how]
        outcome = self._guard(lambda: self._move([self._events, self._meta], arguments))
        if outcome == 0:
            raise self._replaced(position)
        if outcome < 0:
            raise self._beyond(position)

    def _total(self, position: str) -> int:
        parts = position.split(".")
        if [len(part) for part in parts] != [16, 8]:
            raise self._replaced(position)
        return int(parts[0], 16)

    def _replaced(self, position: str) -> StreamReplaced:
        return StreamReplaced(
            f"position {position} is of another stream, which was removed or lost",
            where=self.name,
            mend="bring the former stream back, or begin the source anew: `unskew backfill --rebuild`",
        )

    def _beyond(self, position: str) -> StreamDamaged:
        return StreamDamaged(
            f"position {position} lies beyond its end: the server lost entries that were read",
            where=self.name,
            mend="send again what came since the server was last saved, and set appendonly yes, appendfsync always",
        )

    def _incomplete(self) -> StreamDamaged:
        mend = "set maxmemory-policy noeviction, send again what waited, and begin the source anew"
        return StreamDamaged("some of its keys are gone: evicted or removed", where=self.name, mend=mend)

    def _fields(self, *names: str) -> list[bytes | None]:
        return self._guard(lambda: cast("list[bytes | None]", self._client.hmget(self._meta, list(names))))

    def _script(self, name: str) -> Callable[[Sequence[bytes], Sequence[Any]], Any]:
        script: Script = self._client.register_script((_LUA / f"{name}.lua").read_bytes())
        return script

    def _guard(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except RedisError as error:
            if "command not allowed when used memory > 'maxmemory'" in str(error):
                mend = "raise its maxmemory, or remove what is not needed"
                raise StreamUnavailable("Redis is out of memory", where=self.name, mend=mend) from error
            mend = "check that the server runs and the URL is right"
            raise StreamUnavailable(f"Redis says: {error}", where=self.name, mend=mend) from error


class RedisLease:
    """A lease on a source; see `featurestore.ingestion.stream.base.Lease`.

    Attributes
    ----------
    epoch
        Greater than that of every earlier lease.
    """

    def __init__(self, stream: RedisStream, epoch: int, ttl_ms: int) -> None:
        self.epoch = epoch
        self._stream = stream
        self._ttl_ms = ttl_ms
        self._lost = False

    def renew(self) -> bool:
        """Hold it for another ``ttl_s``; false if another took it or it was released."""
        self._lost = self._lost or not self._stream.hold(self.epoch, self._ttl_ms)
        return not self._lost

    def release(self) -> None:
        """Give it up; harmless when it is lost or released."""
        if not self._lost:
            self._stream.hold(self.epoch, 0)
            self._lost = True


def _entry(identifier: bytes, fields: dict[bytes, bytes], generation: bytes) -> Entry:
    total = int(identifier.partition(b"-")[0])
    return Entry(f"{total:016x}.{generation.decode()}", int(fields[b"r"]), fields[b"p"], int(fields[b"t"]))


def _risks(told: dict[str, str]) -> list[str]:
    risks = []
    if told.get("appendonly") != "yes":
        risks.append("a restart loses events (appendonly no)")
    elif told.get("appendfsync") != "always":
        risks.append(f"a power cut loses events of the last second or more (appendfsync {told.get('appendfsync')})")
    elif told.get("no-appendfsync-on-rewrite") == "yes":
        risks.append("a power cut while the log is rewritten loses events (no-appendfsync-on-rewrite yes)")
    if "allkeys" in told.get("maxmemory-policy", ""):
        risks.append(f"it evicts events when its memory is full (maxmemory-policy {told['maxmemory-policy']})")
    return risks
