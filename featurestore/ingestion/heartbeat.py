"""Who commits a source's events, for people to see: kept in the online store, beside the commits."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from featurestore.foundation.canonical import canonical_bytes
from featurestore.online.base import OnlineStore
from featurestore.online.keys import SourceKeys

HEARTBEAT_S = 15.0
"""Time between two heartbeats of a source whose owner does not change, seconds."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What the owner of a source said last.

    Attributes
    ----------
    source, owner
        The source's name; host and process of the program.
    since_us, at_us
        Since when it has the source, 0 while it never had it, and when it said so, microseconds UTC.
    s, a_us
        The last commit in the online store, and its instant.
    flushed_s
        The last commit in history.
    error
        Why it cannot commit at present; empty while it can.
    """

    source: str
    owner: str
    since_us: int
    at_us: int
    s: int = 0
    a_us: int = 0
    flushed_s: int = 0
    error: str = ""


def write_heartbeat(store: OnlineStore, heartbeat: Heartbeat) -> None:
    """Replace what was said last of the source."""
    store.put_values([(SourceKeys(heartbeat.source).holder, canonical_bytes(asdict(heartbeat)))])


def remove_heartbeat(store: OnlineStore, source: str) -> None:
    """Say that nobody has the source; harmless when nobody had."""
    store.put_values([(SourceKeys(source).holder, None)])


def read_heartbeats(store: OnlineStore, sources: Iterable[str]) -> list[Heartbeat]:
    """Return the heartbeats of those of the sources that somebody has, or had when he was killed."""
    found = store.get_many([SourceKeys(source).holder for source in sources])
    return [Heartbeat(**json.loads(stored)) for stored in found if stored is not None]


def is_alive(heartbeat: Heartbeat, now_us: int) -> bool:
    """Tell whether a program runs: of this machine by its process, of another by the age of its heartbeat."""
    host, _, process = heartbeat.owner.rpartition(":")
    if host != socket.gethostname() or not process.isdigit():
        return now_us - heartbeat.at_us <= 3 * HEARTBEAT_S * 1_000_000
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
