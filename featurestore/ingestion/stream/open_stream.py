"""Open the event stream of a source: the one place that knows both kinds."""

from __future__ import annotations

from pathlib import Path

from featurestore.foundation.clock import Clock
from featurestore.ingestion.stream.base import EventStream
from featurestore.ingestion.stream.journal import Journal


def open_stream(
    online_url: str, folder: Path, source: str, *, backlog_limit_rows: int, clock: Clock | None = None
) -> EventStream:
    """Open a source's stream, made if absent.

    With ``redis://``, ``rediss://`` or ``unix://`` it is kept in the same server as current values, and ``folder`` is
    not used; with any other online URL in a journal, ``folder/<source>/``. The Redis driver is imported only for a
    Redis URL, and no connection is made before the first call.

    Parameters
    ----------
    backlog_limit_rows
        Rows that may wait to be committed; beyond them `EventStream.append` refuses.

    clock
        Says when an entry is appended; the system's by default.

    Raises
    ------
    OnlineUrlError
        If a Redis URL cannot be read.
    """
    if online_url.partition(":")[0] in ("redis", "rediss", "unix"):
        from featurestore.ingestion.stream.redis_stream import RedisStream

        return RedisStream(online_url, source, backlog_limit_rows=backlog_limit_rows, clock=clock)
    return Journal(folder / source, source, backlog_limit_rows=backlog_limit_rows, clock=clock)
