"""Commits and snapshots: which immutable files hold a source's history, and the digest that names them.

::

    <root>/sources/<source>/
        commits/000001.json            manifest of a commit, written last; its number is the commit sequence s
        data/000001/2017-03.parquet    rows by month of the event timestamp
        quarantine/000001.parquet      rows that were not taken in, with reasons

A commit exists when its manifest does. A snapshot at s is the commits 1 to s; s = 0 is nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from featurestore.foundation.canonical import digest
from featurestore.foundation.durable_file import file_digest
from featurestore.foundation.errors import OfflineStoreError


class Named(Protocol):
    """A source, of which only the name matters here."""

    @property
    def name(self) -> str:
        """The source's name."""
        ...


@dataclass(frozen=True, slots=True)
class DataFile:
    """An immutable file of a commit.

    Attributes
    ----------
    path
        Below the source's folder.
    min_event_us, max_event_us
        Range of its event timestamps; ``None`` for a quarantine file.
    """

    path: str
    sha256: str
    rows: int
    min_event_us: int | None = None
    max_event_us: int | None = None


@dataclass(frozen=True, slots=True)
class InputRecord:
    """A file that a commit took in; ``digest`` is the SHA-256 of its bytes."""

    name: str
    digest: str
    rows: int


@dataclass(frozen=True)
class Commit:
    """One import's manifest.

    Attributes
    ----------
    reading
        What makes the files' rows events: schema and the columns with a part to play, plain data.
    previous
        Content digest of the commit before, empty for the first.
    quarantined
        File of the rows that were not taken in, ``None`` if there were none.
    """

    source: str
    sequence: int
    reading: Mapping[str, Any]
    previous: str
    inputs: tuple[InputRecord, ...]
    files: tuple[DataFile, ...]
    quarantined: DataFile | None
    committed_at_us: int

    @property
    def rows(self) -> int:
        """Rows taken in, tombstones included."""
        return sum(file.rows for file in self.files)

    @cached_property
    def digest(self) -> str:
        """The digest of what the commit holds, and of all before it.

        Where the rows were read from, and when, is no part of it: the same data imported elsewhere has the same digest.
        """
        content = self.describe()
        for part in ("inputs", "committed_at_us", "quarantined"):
            del content[part]
        return digest(content)

    def describe(self) -> dict[str, Any]:
        """Return the manifest as plain data."""
        return {"format": 1, **asdict(self), "reading": dict(self.reading)}


@dataclass(frozen=True)
class Snapshot:
    """A source's history as of a commit sequence.

    Attributes
    ----------
    folder
        The source's folder.
    sequence
        The last commit it sees, 0 for none.
    """

    source: str
    folder: Path
    commits: tuple[Commit, ...]

    @property
    def sequence(self) -> int:
        """The last commit it sees, 0 for none."""
        return len(self.commits)

    @property
    def files(self) -> tuple[DataFile, ...]:
        """Its data files, in commit order."""
        return tuple(file for commit in self.commits for file in commit.files)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where its data files are, in commit order."""
        return tuple(self.folder / file.path for file in self.files)

    @property
    def rows(self) -> int:
        """Rows of all its data files, each version and tombstone counted."""
        return sum(commit.rows for commit in self.commits)

    @property
    def schema(self) -> dict[str, str]:
        """The source's columns and types over all commits; files before a column was added lack it."""
        return {name: kind for commit in self.commits for name, kind in commit.reading["schema"]}

    @property
    def digest(self) -> str:
        """The digest that names the data: that of its last commit, which holds all before; constant for none."""
        return self.commits[-1].digest if self.commits else digest({"source": self.source, "sequence": 0})

    def verify(self, files: Iterable[DataFile] | None = None) -> None:
        """Hash every data file again, or some of them.

        Raises
        ------
        OfflineStoreError
            Naming each file that is gone or has changed.
        """
        wrong = [
            f"{self.folder / file.path} {'has changed' if (self.folder / file.path).is_file() else 'is gone'}"
            for file in (self.files if files is None else files)
            if not _intact(self.folder / file.path, file.sha256)
        ]
        if wrong:
            raise OfflineStoreError(
                "; ".join(wrong),
                where=f"source {self.source}, snapshot {self.sequence}",
                mend="restore these files from a backup: committed files never change",
            )


def latest(root: Path, source: Named) -> Snapshot:
    """Return the newest snapshot of a source, of sequence 0 if nothing was imported."""
    return _snapshot(root, source.name, _last_sequence(source_folder(root, source.name)))


def at(root: Path, source: Named, sequence: int) -> Snapshot:
    """Return the snapshot of a source as of a commit sequence.

    Raises
    ------
    OfflineStoreError
        If there is no such commit yet.
    """
    last = _last_sequence(source_folder(root, source.name))
    if not 0 <= sequence <= last:
        raise OfflineStoreError(
            f"there is no commit {sequence}: the last one is {last}",
            where=f"source {source.name} in {root}",
            mend="read at an earlier sequence, or import the data first",
        )
    return _snapshot(root, source.name, sequence)


def source_folder(root: Path, source: str) -> Path:
    """Return the folder that holds a source's history."""
    return root / "sources" / source


def manifest_path(folder: Path, sequence: int) -> Path:
    """Return where a commit's manifest is."""
    return folder / "commits" / f"{sequence:06d}.json"


def _snapshot(root: Path, source: str, sequence: int) -> Snapshot:
    folder = source_folder(root, source)
    commits: list[Commit] = []
    for number in range(1, sequence + 1):
        path = manifest_path(folder, number)
        commits.append(_read_commit(path))
        before = commits[-2].digest if number > 1 else ""
        if (commits[-1].source, commits[-1].sequence, commits[-1].previous) != (source, number, before):
            raise OfflineStoreError(
                "the manifest does not continue the one before it: one of them was changed",
                where=str(path),
                mend="restore the folder commits/ from a backup",
            )
    return Snapshot(source, folder, tuple(commits))


def _last_sequence(folder: Path) -> int:
    return max((int(path.stem) for path in folder.glob("commits/*.json") if path.stem.isdigit()), default=0)


def _read_commit(path: Path) -> Commit:
    try:
        plain = json.loads(path.read_bytes())
        return Commit(
            source=plain["source"],
            sequence=plain["sequence"],
            reading=plain["reading"],
            previous=plain["previous"],
            inputs=tuple(InputRecord(**record) for record in plain["inputs"]),
            files=tuple(DataFile(**file) for file in plain["files"]),
            quarantined=None if plain["quarantined"] is None else DataFile(**plain["quarantined"]),
            committed_at_us=plain["committed_at_us"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OfflineStoreError(
            f"the manifest cannot be read: {error}", where=str(path), mend="restore it from a backup"
        ) from None


def _intact(path: Path, sha256: str) -> bool:
    return path.is_file() and file_digest(path) == sha256
