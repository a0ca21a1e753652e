"""Write commits of events to Redis: phases in order, each only when all of the one before is stored.

A phase is one pipeline of script calls, each of one hash tag, so that they can be sent to the nodes of a cluster too. A
pipeline could hold all phases, but its calls are independent: what follows one that failed (a server that was full or
read-only for a moment) would still be done, and the source's ``applied`` would tell of changes that are not there.
Calls go in transactions only to be synced together.

**Connections have numbers.** When a connection is lost or an answer is late, what was sent by it may still be done, and
after what the next one sends: an old record over a new one. So the fences hold, beside the epoch, the number of the
writer's connection, and the first thing a writer does after such a loss is to raise them all. Numbers are counted here,
so an epoch is for one store object: another one of the same epoch is refused after a loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import hiredis

from featurestore.online.base import CommitWrite
from featurestore.online.errors import CommitConflict, OnlineStoreUnavailable, OwnershipLost
from featurestore.online.keys import SourceKeys
from featurestore.online.redis_address import RedisAddress
from featurestore.online.redis_commit_calls import SCRIPTS, change_calls, entry_calls, fence_calls, value_calls
from featurestore.online.redis_connection import RedisConnection, packed

_LOADING = [packed(b"SCRIPT", b"LOAD", script.text) for script in SCRIPTS]


class RedisCommits:
    """Write commits, by a connection for each source; safe for threads, and sources do not wait for each other.

    Parameters
    ----------
    address
        Where the server is.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._lock = Lock()
        self._writers: dict[str, _Writer] = {}

    def apply(self, write: CommitWrite) -> int:
        """Store a commit; see `featurestore.online.base.OnlineStore.apply`."""
        return self._writer(write.source).apply(write)

    def raise_fence(self, source: str, epoch: int) -> None:
        """Let no lesser epoch write; see `featurestore.online.base.OnlineStore.raise_fence`."""
        self._writer(source).raise_fence(epoch)

    def close(self) -> None:
        """Close the connections; the next call would open one again."""
        with self._lock:
            for writer in self._writers.values():
                writer.close()

    def _writer(self, source: str) -> _Writer:
        with self._lock:
            return self._writers.setdefault(source, _Writer(self._address, source))


class _Writer:
    """Write the commits of one source over a connection that is opened when first needed and again when lost."""

    def __init__(self, address: RedisAddress, source: str) -> None:
        self._address = address
        self._source = source
        self._keys = SourceKeys(source)
        self._lock = Lock()
        self._connection: RedisConnection | None = None
        self._number = 0
        self._is_doubtful = False

    def apply(self, write: CommitWrite) -> int:
        with self._lock:
            if self._is_doubtful:
                self._raise_fence(write.epoch)
            keys, name = self._keys, self._name(write.epoch)
            self._send(write.epoch, value_calls(keys, name, write.before))
            made = self._send(write.epoch, change_calls(keys, name, write))
            conflicts = [row_key for answer in made if isinstance(answer, list) for row_key in answer]
            if conflicts:
                raise CommitConflict(self._source, conflicts, self._address.name)
            self._send(write.epoch, entry_calls(keys, name, write.index))
            self._send(write.epoch, value_calls(keys, name, write.after))
            return sum(made)

    def raise_fence(self, epoch: int) -> None:
        with self._lock:
            self._raise_fence(epoch)

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _name(self, epoch: int) -> bytes:
        """Return what the writer says of itself to fences."""
        return b"%d %d" % (epoch, self._number)

    def _raise_fence(self, epoch: int) -> None:
        """Raise all fences, above what may still come by a connection that was lost."""
        if self._is_doubtful:
            self._number += 1
        self._send(epoch, fence_calls(self._keys, self._name(epoch)))
        self._is_doubtful = False

    def _send(self, epoch: int, calls: Sequence[bytes]) -> list[Any]:
        """Send a phase and return its answers, if all of it is stored or in conflict."""
        if not calls:
            return []
        connection = self._connection = self._connection or RedisConnection(self._address)
        try:
            answers = _ask(connection, calls)
        except BaseException:
            connection.close()
            self._is_doubtful, self._connection = True, None
            raise
        errors = [answer for answer in answers if isinstance(answer, hiredis.ReplyError)]
        if any(str(error).startswith("FENCED") for error in errors):
            raise OwnershipLost(self._source, epoch, self._address.name)
        if errors:
            raise refused(errors[0], self._address.name)
        return answers


def refused(error: Exception, where: str) -> OnlineStoreUnavailable:
    """Return the error for what a server refuses."""
    if "command not allowed when used memory > 'maxmemory'" in str(error):
        mend = "raise its maxmemory, or remove what is not needed"
        return OnlineStoreUnavailable("Redis is out of memory", where=where, mend=mend)
    return OnlineStoreUnavailable(
        f"Redis says: {error}", where=where, mend="check that the server runs and the URL is right"
    )


def _is_unknown_script(answer: Any) -> bool:
    return isinstance(answer, hiredis.ReplyError) and str(answer).startswith("NOSCRIPT")


def _ask(connection: RedisConnection, calls: Sequence[bytes]) -> list[Any]:
    """Send calls; those whose script the server does not have are sent again behind the scripts."""
    answers = connection.ask_together(calls)
    unknown = [i for i, answer in enumerate(answers) if _is_unknown_script(answer)]
    if unknown:
        connection.ask(_LOADING)
        for i, answer in zip(unknown, connection.ask_together([calls[i] for i in unknown]), strict=True):
            answers[i] = answer
    return answers
