"""Write stream commits into a source's history: a run of them is one manifest, whole or absent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from featurestore.definitions.source import Source
from featurestore.foundation.canonical import canonical_bytes
from featurestore.foundation.clock import Clock
from featurestore.foundation.durable_file import create_durably, exclusive_lock, make_folder, sync_folder
from featurestore.foundation.errors import OfflineStoreError
from featurestore.offline import snapshot
from featurestore.offline.commit_files import check_reading, described, reading, remove_orphans, writable
from featurestore.offline.month_files import MonthFiles
from featurestore.offline.row_check import COMMIT, ROW, stored_schema
from featurestore.offline.snapshot import Commit, DataFile, InputRecord


class SequenceTaken(OfflineStoreError):
    """History does not end just before the commits to be written: someone else wrote there."""

    code = "sequence-taken"


def append_commits(
    source: Source,
    root: Path,
    table: pa.Table,
    *,
    first: int,
    last: int,
    clock: Clock,
    inputs: Sequence[InputRecord] = (),
) -> Commit:
    """Write the commits ``first`` to ``last`` of a source's stream as the next manifest of its history.

    When it returns, they are on the disk. A crash before leaves history as it was, and files that no manifest names,
    which the next commit removes. To call it again for commits that are in history raises `SequenceTaken` and changes
    nothing: who is not sure whether a call ended asks for the latest sequence first.

    Parameters
    ----------
    table
        Rows in `stored_schema`, in commit order and within a commit ascending by their ``__row``, which tells them
        apart; none is fine.
    first, last
        ``first`` is one beyond the latest sequence.
    clock
        For the manifest's time of writing, which is no part of its digest.
    inputs
        Where the rows were read from, no part of the digest either.

    Raises
    ------
    SequenceTaken
        If history does not end at ``first - 1``.
    OfflineStoreError
        If the rows are not of these commits or not of the stored schema, the source's definition has changed, or the
        folder cannot be written.
    """
    _check_rows(source, table, first, last)
    folder = snapshot.source_folder(root, source.name)
    with writable(folder), exclusive_lock(folder / ".lock"):
        before = snapshot.latest(root, source)
        if before.sequence != first - 1:
            raise _taken(source, root, before.sequence, first, last)
        check_reading(source, before)
        remove_orphans(before)
        for part in ("data", "commits"):
            make_folder(folder / part)
        commit = Commit(
            source=source.name,
            sequence=last,
            reading=reading(source),
            previous=before.commits[-1].digest if before.commits else "",
            inputs=tuple(inputs),
            files=_data_files(source, folder, table, last),
            quarantined=None,
            committed_at_us=clock.now_us(),
            first_sequence=first,
        )
        create_durably(snapshot.manifest_path(folder, last), canonical_bytes(commit.describe()))
        return commit


def _data_files(source: Source, folder: Path, table: pa.Table, last: int) -> tuple[DataFile, ...]:
    """Write the rows by month into a partial folder, synced, and give it its name."""
    if not table.num_rows:
        return ()
    placed = folder / "data" / f"{last:06d}"
    partial = placed.with_suffix(".partial")
    months = MonthFiles(partial, stored_schema(source))
    try:
        months.add(table)
        files = tuple(described(path, placed / path.name, folder) for path in months.finish())
    finally:
        months.close()
    os.replace(partial, placed)
    sync_folder(placed.parent)
    return files


def _check_rows(source: Source, table: pa.Table, first: int, last: int) -> None:
    where = f"source {source.name}, commits {first} to {last}"
    mend = "this is a defect of the ingest program: report it"
    if not 1 <= first <= last:
        raise OfflineStoreError("this is no range of commits", where=where, mend=mend)
    if not table.schema.equals(stored_schema(source)):
        raise OfflineStoreError(f"the rows have columns {table.schema.names}", where=where, mend=mend)
    commits, rows = (np.asarray(table.column(name).to_numpy()) for name in (COMMIT, ROW))
    steps = np.diff(commits)
    ascending = not ((steps < 0) | ((steps == 0) & (np.diff(rows) <= 0))).any()
    if not ascending or (len(commits) and (commits[0] < first or commits[-1] > last)):
        raise OfflineStoreError("the rows are not of these commits in their order", where=where, mend=mend)


def _taken(source: Source, where: Path, latest: int, first: int, last: int) -> SequenceTaken:
    return SequenceTaken(
        f"commits {first} to {last} cannot be written after commit {latest}",
        where=f"source {source.name} in {where}",
        mend="let one ingest program at a time write this source: the one that wrote last goes on",
    )
