"""What an ingest program is told about how to work."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

from featurestore.foundation.clock import DAY, SECOND

READ_SLACK_US = 60 * SECOND
"""How far a reader's clock may be behind a commit and still be answered exactly, from the log."""


def _owner() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """How an ingest program works.

    Attributes
    ----------
    commit_rows
        Most events in one commit, but for a single append of more.
    history_interval_s
        Time after which commits are written to history, seconds.
    lateness_us
        How long after the longest window of its source an event can still be corrected exactly online, microseconds.
    cache_bytes
        Memory that decoded logs may fill, per source.
    lease_ttl_s
        Time after which another program takes a source over from one that died, seconds.
    unflushed_rows
        Rows held in memory for history, at which they are written before their time.
    owner
        The name that leases and marks tell of.
    """

    commit_rows: int = 4_096
    history_interval_s: float = 30.0
    lateness_us: int = 7 * DAY
    cache_bytes: int = 256 * 2**20
    lease_ttl_s: float = 5.0
    unflushed_rows: int = 1_000_000
    owner: str = field(default_factory=_owner)
