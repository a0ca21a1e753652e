"""Journals for tests, and what is in their folders."""

from featurestore.ingestion.stream.journal import Journal

HEAD, RECORD = 32, 32
"""Bytes of the heads of a segment and of a record."""


def open_journal(folder, **given):
    return Journal(folder, "sales", **{"backlog_limit_rows": 10**9, **given})


def payloads(journal, after=""):
    found = []
    while step := journal.read(after, 3, 0):
        found += [entry.payload for entry in step]
        after = step[-1].position
    return found


def segments(folder):
    return sorted(folder.glob("*.events"))


def after_a_power_cut(folder):
    """The state is not synced: at worst it is gone."""
    (folder / "state").unlink()
