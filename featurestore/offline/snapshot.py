"""Commits and snapshots: which immutable files hold a source's history, and the digest that names them.

::

    <root>/sources/<source>/
        commits/000001.json            manifest, written last, of an import: its number is the commit sequence s
        commits/000907.json            manifest of the stream commits after the manifest before it, up to s = 907
        data/000001/2017-03.parquet    rows by month of the event timestamp
        quarantine/000001.parquet      rows that were not taken in, with reasons

A commit exists when a manifest covers it. A snapshot at s is the commits 1 to s; s = 0 is nothing. Where s lies inside
a manifest, its files hold later commits too: readers keep the rows whose ``__commit`` is at most s.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

from featurestore.foundation.canonical import digest
from featurestore.foundation.durable_file import file_digest
from featurestore.foundation.errors import OfflineStoreError

PARSED_MANIFESTS = 65_536
"""Manifests kept parsed; immutable files, so one that was parsed need not be again."""


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
    """A manifest: one import, or a run of stream commits.

    Attributes
    ----------
    sequence
        The commit, the last one of a run.
    first_sequence
        The first commit of a run; an import's own.
    reading
        What makes the files' rows events: schema and the columns with a part to play, plain data.
    previous
        Content digest of the manifest before, empty for the first.
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
    first_sequence: int = 0

    def __post_init__(self) -> None:
        if not self.first_sequence:
            object.__setattr__(self, "first_sequence", self.sequence)

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
        """Return the manifest as plain data; one of a single commit does not say where it begins."""
        plain = {"format": 1, **asdict(self), "reading": dict(self.reading)}
        if self.first_sequence == self.sequence:
            del plain["first_sequence"]
        return plain


@dataclass(frozen=True)
class Snapshot:
    """A source's history as of a commit sequence.

    Attributes
    ----------
    folder
        The source's folder.
    commits
        The manifests of its commits, in order.
    sequence
        The last commit it sees, 0 for none.
    """

    source: str
    folder: Path
    commits: tuple[Commit, ...]
    sequence: int

    @property
    def cut(self) -> bool:
        """Whether its last manifest holds commits beyond its sequence, whose rows are none of its own."""
        return bool(self.commits) and self.commits[-1].sequence > self.sequence

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
        """Rows of all its data files, each version and tombstone counted, those beyond a cut too."""
        return sum(commit.rows for commit in self.commits)

    @property
    def schema(self) -> dict[str, str]:
        """The source's columns and types over all commits; files before a column was added lack it."""
        return {name: kind for commit in self.commits for name, kind in commit.reading["schema"]}

    @property
    def digest(self) -> str:
        """The digest that names the data: that of its last manifest, which holds all before; constant for none.

        Raises
        ------
        OfflineStoreError
            If its sequence lies inside a manifest: only what whole manifests hold has a name.
        """
        if self.cut:
            last = self.commits[-1]
            raise OfflineStoreError(
                f"commit {self.sequence} has no digest: it lies among the commits {last.first_sequence} to "
                f"{last.sequence}, which were written as one",
                where=f"source {self.source} in {self.folder}",
                mend=f"ask for the digest at {last.first_sequence - 1} or at {last.sequence}",
            )
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
    numbers = _manifest_numbers(source_folder(root, source.name))
    return _snapshot(root, source.name, numbers, numbers[-1] if numbers else 0)


def at(root: Path, source: Named, sequence: int) -> Snapshot:
    """Return the snapshot of a source as of a commit sequence.

    Raises
    ------
    OfflineStoreError
        If there is no such commit yet.
    """
    numbers = _manifest_numbers(source_folder(root, source.name))
    last = numbers[-1] if numbers else 0
    if not 0 <= sequence <= last:
        raise OfflineStoreError(
            f"there is no commit {sequence}: the last one is {last}",
            where=f"source {source.name} in {root}",
            mend="read at an earlier sequence, or import the data first",
        )
    return _snapshot(root, source.name, numbers, sequence)


def source_folder(root: Path, source: str) -> Path:
    """Return the folder that holds a source's history."""
    return root / "sources" / source


def manifest_path(folder: Path, sequence: int) -> Path:
    """Return where the manifest that ends with a commit is."""
    return folder / "commits" / f"{sequence:06d}.json"


def _snapshot(root: Path, source: str, numbers: list[int], sequence: int) -> Snapshot:
    folder = source_folder(root, source)
    commits: list[Commit] = []
    last, digest_before = 0, ""
    for number in numbers:
        if last >= sequence:
            break
        path = f"{folder}/commits/{number:06d}.json"
        commit = _stored_commit(path)
        if (commit.source, commit.sequence, commit.first_sequence, commit.previous) != (
            source,
            number,
            last + 1,
            digest_before,
        ):
            raise OfflineStoreError(
                "the manifest does not continue the one before it: one of them was changed, or one between is gone",
                where=path,
                mend="restore the folder commits/ from a backup",
            )
        commits.append(commit)
        last, digest_before = commit.sequence, commit.digest
    return Snapshot(source, folder, tuple(commits), sequence)


def _manifest_numbers(folder: Path) -> list[int]:
    """Return the numbers of a source's manifests, ascending; there may be very many, so no path is made of them."""
    try:
        with os.scandir(folder / "commits") as entries:
            names = [entry.name for entry in entries]
    except FileNotFoundError:
        return []
    stems = [name.removesuffix(".json") for name in names if name.endswith(".json")]
    return sorted(int(stem) for stem in stems if stem.isdigit())


def _stored_commit(path: str) -> Commit:
    """Return a manifest, parsed once for as long as its file looks untouched."""
    try:
        status = Path(path).stat()
        return _parsed(path, status.st_mtime_ns, status.st_size)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OfflineStoreError(
            f"the manifest cannot be read: {error}", where=path, mend="restore it from a backup"
        ) from None


@lru_cache(maxsize=PARSED_MANIFESTS)
def _parsed(path: str, _mtime_ns: int, _bytes: int) -> Commit:
    plain = json.loads(Path(path).read_bytes())
    return Commit(
        source=plain["source"],
        sequence=plain["sequence"],
        reading=plain["reading"],
        previous=plain["previous"],
        inputs=tuple(InputRecord(**record) for record in plain["inputs"]),
        files=tuple(DataFile(**file) for file in plain["files"]),
        quarantined=None if plain["quarantined"] is None else DataFile(**plain["quarantined"]),
        committed_at_us=plain["committed_at_us"],
        first_sequence=plain.get("first_sequence", 0),
    )


def _intact(path: Path, sha256: str) -> bool:
    return path.is_file() and file_digest(path) == sha256
