"""What the manifest of a stream's commits says of the stream: how far it was read, and when.

It is for the day on which the online store is lost, which else remembers that: entries that are in history already
must not be read again, and no later commit may be stamped with an earlier instant.
"""

from __future__ import annotations

import re
from pathlib import Path

from featurestore.definitions import Source
from featurestore.foundation.canonical import bytes_digest
from featurestore.ingestion.commit_record import CommitRecord
from featurestore.offline import snapshot
from featurestore.offline.snapshot import InputRecord

_NAME = re.compile(r"stream up to (.*) at (-?\d+) us")


def stream_input(commits: tuple[CommitRecord, ...]) -> InputRecord:
    """Return what a manifest says of commits that were made one after the other."""
    name = f"stream up to {commits[-1].to} at {commits[-1].a_us} us"
    return InputRecord(name, bytes_digest(name.encode()), sum(commit.rows for commit in commits))


def last_stream_input(root: Path, source: Source) -> tuple[str, int] | None:
    """Return the position and the instant of the last commit that history has of the stream, None if it has none."""
    for manifest in reversed(snapshot.latest(root, source).commits):
        for record in manifest.inputs:
            said = _NAME.fullmatch(record.name)
            if said is not None:
                return said[1], int(said[2])
    return None
