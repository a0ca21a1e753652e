"""What every commit does with a source's folder, whether its rows were imported or streamed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from featurestore.definitions.source import Source
from featurestore.foundation.durable_file import file_digest, make_folder
from featurestore.foundation.errors import ImportRefused, OfflineStoreError
from featurestore.offline.row_check import EVENT_US
from featurestore.offline.snapshot import DataFile, Snapshot


def reading(source: Source) -> dict[str, Any]:
    """Return what makes a file's rows this source's events, as plain data."""
    described = source.describe()
    kept = ("schema", "event_timestamp", "identity", "available_at", "tombstone", "timezone")
    return {part: described[part] for part in kept}


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Make a source's folder; say of an operating system's error that history cannot be written."""
    try:
        make_folder(folder)
        yield
    except OSError as error:
        raise OfflineStoreError(
            f"history cannot be written: {error}", where=str(folder), mend="check the disk's space and permissions"
        ) from error


def remove_orphans(before: Snapshot) -> None:
    """Remove what commits that did not end have left; the caller holds the source's lock."""
    for path in [*before.folder.glob("data/*"), *before.folder.glob("quarantine/*")]:
        number = path.name.partition(".")[0]
        if path.name.endswith(".partial") or not number.isdigit() or int(number) > before.sequence:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in before.folder.glob("commits/.*.tmp"):
        path.unlink()


def check_reading(source: Source, before: Snapshot) -> None:
    """Refuse to go on where the new rows would not be versions of the same events.

    Raises
    ------
    ImportRefused
        If identity, event timestamp or a column's type has changed since the last commit.
    """
    if not before.commits:
        return
    old, new = before.commits[-1].reading, reading(source)
    changed = [
        f"{part} was {old[part]!r} and is {new[part]!r}"
        for part in ("identity", "event_timestamp")
        if old[part] != new[part]
    ]
    kinds = before.schema
    changed += [
        f"column {name} was {kinds[name]} and is {kind}"
        for name, kind in new["schema"]
        if kinds.get(name, kind) != kind
    ]
    if changed:
        raise ImportRefused(
            f"the source has changed since commit {before.sequence}: {'; '.join(changed)}",
            where=f"source {source.name}",
            mend="give the changed source a new name and import its files anew",
        )


def described(path: Path, final: Path, folder: Path) -> DataFile:
    """Hash a written file that will stand at ``final``, and read its row count and range from its footer."""
    footer = pq.read_metadata(path)
    names = footer.schema.to_arrow_schema().names
    edges: list[int] = []
    if EVENT_US in names:
        groups = [footer.row_group(i).column(names.index(EVENT_US)).statistics for i in range(footer.num_row_groups)]
        edges = [edge for group in groups for edge in (group.min, group.max)]
    return DataFile(
        str(final.relative_to(folder)),
        file_digest(path),
        footer.num_rows,
        min(edges, default=None),
        max(edges, default=None),
    )
