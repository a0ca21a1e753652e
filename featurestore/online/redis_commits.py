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
    """Write commits over one connection, opened when first needed and again when lost; safe for threads.

    Parameters
    ----------
    address
        Where the server is.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._lock = Lock()
        self._connection: RedisConnection | None = None
        self._sources: dict[str, _Writer] = {}

    def apply(self, write: CommitWrite) -> int:
        """Store a commit; see `featurestore.online.base.OnlineStore.apply`."""
        with self._lock:
            writer = self._writer(write.source)
            if writer.doubtful:
                self._raise(writer, write.epoch)
            name, keys = writer.name(write.epoch), writer.keys
            self._send(writer, write.epoch, value_calls(keys, name, write.before))
            made = self._send(writer, write.epoch, change_calls(keys, name, write))
            conflicts = [row_key for answer in made if isinstance(answer, list) for row_key in answer]
            if conflicts:
                raise CommitConflict(write.source, conflicts, self._address.name)
            self._send(writer, write.epoch, entry_calls(keys, name, write.index))
            self._send(writer, write.epoch, value_calls(keys, name, write.after))
            return sum(made)

    def raise_fence(self, source: str, epoch: int) -> None:
        """Let no lesser epoch write; see `featurestore.online.base.OnlineStore.raise_fence`."""
        with self._lock:
            self._raise(self._writer(source), epoch)

    def close(self) -> None:
        """Close the connection; the next call would open one again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _writer(self, source: str) -> _Writer:
        return self._sources.setdefault(source, _Writer(source))

    def _raise(self, writer: _Writer, epoch: int) -> None:
        """Raise all fences, above what may still come by a connection that was lost."""
        if writer.doubtful:
            writer.connection += 1
        self._send(writer, epoch, fence_calls(writer.keys, writer.name(epoch)))
        writer.doubtful = False

    def _send(self, writer: _Writer, epoch: int, calls: Sequence[bytes]) -> list[Any]:
        """Send a phase and return its answers, if all of it is stored or in conflict."""
        if not calls:
            return []
        connection = self._connection = self._connection or RedisConnection(self._address)
        try:
            answers = _ask(connection, calls)
        except BaseException:
            connection.close()
            writer.doubtful, self._connection = True, None
            raise
        errors = [answer for answer in answers if isinstance(answer, hiredis.ReplyError)]
        if any(str(error).startswith("FENCED") for error in errors):
            raise OwnershipLost(writer.source, epoch, self._address.name)
        if errors:
            raise refused(errors[0], self._address.name)
        return answers


class _Writer:
    """What this process is to one source: the number of its connection, and whether one was lost since."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.keys = SourceKeys(source)
        self.connection = 0
        self.doubtful = False

    def name(self, epoch: int) -> bytes:
        """Return what it says of itself to fences."""
        return b"%d %d" % (epoch, self.connection)


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
