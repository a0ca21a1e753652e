"""Rows that were not committed, kept until somebody has looked at them: a folder of JSON lines."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import FileIO
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Literal

import orjson

from featurestore.foundation.clock import Clock, SystemClock, format_instant, parse_instant
from featurestore.foundation.durable_file import make_folder, sync_folder, write_durably
from featurestore.ingestion.errors import DeadLettersUnavailable, DeadLetterUnknown

Kind = Literal["refused", "failed", "beyond-retention"]
LIMIT_BYTES = 2**28
_SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True)
class DeadRow:
    """A row to be kept.

    Attributes
    ----------
    kind
        ``refused``: it never was acknowledged. ``failed``: it was, but the row SQL cannot compute it.
        ``beyond-retention``: it was committed, so late that online values may lack it.
    reason, pointer, mend
        As in `featurestore.ingestion.accept.RefusedRow`.
    row
        The row as JSON has it.
    id
        A name of its own, if adding it may be repeated: of letters of one id there is one. Empty to have one made.
    """

    kind: Kind
    reason: str
    pointer: str
    mend: str
    row: object
    id: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetter(DeadRow):
    """A row that is kept.

    Attributes
    ----------
    instant_us
        When it was added, microseconds UTC.
    """

    source: str = ""
    instant_us: int = 0


Letters = list[DeadLetter]


class DeadLetters:
    """The dead letters of a project, of all sources; safe for threads and processes.

    Each process adds to a file of its own. Once the folder holds ``limit_bytes``, refused rows are not kept any more:
    a client that sends nothing but faulty rows does not fill the disk. Rows that were acknowledged are always kept.

    Parameters
    ----------
    folder
        Made with the first letter.
    clock
        Says when a letter is added; the system's by default.
    """

    def __init__(self, folder: Path, clock: Clock | None = None, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = folder
        self._clock = clock or SystemClock()
        self._limit_bytes = limit_bytes
        self._writer = secrets.token_hex(4)
        self._numbers = count(1)
        self._writing = Lock()

    def add(self, source: str, rows: Sequence[DeadRow]) -> list[str]:
        """Keep rows; they are on the disk when it returns. A crash before that leaves the first few of them.

        Returns
        -------
        list of str
            Their ids, in order; an empty one for a refused row that was not kept, the place being full.
        """
        instant_us = self._clock.now_us()
        with self._locked(fcntl.LOCK_SH):
            full = self._bytes() >= self._limit_bytes
            kept = [None if full and row.kind == "refused" else self._letter(source, row, instant_us) for row in rows]
            lines = [_line(letter) for letter in kept if letter is not None]
            if lines:
                self._append(b"".join(lines))
        return ["" if letter is None else letter.id for letter in kept]

    def list(self, source: str | None = None) -> Letters:
        """Return those of a source, or all, the oldest first."""
        with self._locked(fcntl.LOCK_SH):
            found = {letter.id: letter for path in self._files() for letter in _letters(path.read_bytes())}
        kept = [letter for letter in found.values() if source in (None, letter.source)]
        return sorted(kept, key=lambda letter: letter.instant_us)

    def get(self, letter_id: str) -> DeadLetter:
        """Return one.

        Raises
        ------
        DeadLetterUnknown
            If there is none of this id.
        """
        for letter in self.list():
            if letter.id == letter_id:
                return letter
        raise self._unknown(letter_id)

    def remove(self, letter_ids: Iterable[str]) -> int:
        """Remove those that are there; return how many. A crash leaves each of them whole or gone."""
        wanted = set(letter_ids)
        removed: set[str] = set()
        with self._locked(fcntl.LOCK_EX):
            for path in self._files():
                letters = list(_letters(path.read_bytes()))
                removed |= {letter.id for letter in letters} & wanted
                _rewrite(path, letters, [letter for letter in letters if letter.id not in wanted])
        return len(removed)

    def amend(self, letter_id: str, row: object) -> DeadLetter:
        """Put another row in a letter's place, and return it as it is now. A crash leaves the old row or the new.

        Raises
        ------
        DeadLetterUnknown
            If there is none of this id.
        """
        amended = None
        with self._locked(fcntl.LOCK_EX):
            for path in self._files():
                letters = list(_letters(path.read_bytes()))
                changed = [replace(letter, row=row) if letter.id == letter_id else letter for letter in letters]
                amended = next((letter for letter in changed if letter.id == letter_id), amended)
                _rewrite(path, letters, changed)
        if amended is None:
            raise self._unknown(letter_id)
        return amended

    def _unknown(self, letter_id: str) -> DeadLetterUnknown:
        mend = "list them: `unskew dead-letters list`"
        return DeadLetterUnknown(f"no dead letter is called {letter_id!r}", where=str(self.folder), mend=mend)

    def _letter(self, source: str, row: DeadRow, instant_us: int) -> DeadLetter:
        letter_id = row.id or f"{self._writer}-{next(self._numbers)}"
        return DeadLetter(row.kind, row.reason, row.pointer, row.mend, row.row, letter_id, source, instant_us)

    def _append(self, lines: bytes) -> None:
        path = self.folder / f"{self._writer}{_SUFFIX}"
        with self._writing, path.open("ab", buffering=0) as handle:
            end = handle.tell()
            try:
                _write_whole(handle, lines)
            except OSError:
                os.ftruncate(handle.fileno(), end)
                raise
            if end == 0:
                sync_folder(self.folder)

    def _files(self) -> Sequence[Path]:
        return sorted(self.folder.glob(f"*{_SUFFIX}"))

    def _bytes(self) -> int:
        return sum(path.stat().st_size for path in self._files())

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Keep away whoever removes; ``LOCK_EX`` everybody."""
        try:
            make_folder(self.folder)
            with (self.folder / "lock").open("a") as handle:
                fcntl.flock(handle, how)
                yield
        except OSError as error:
            mend = "check that the folder can be written and the disk is not full"
            raise DeadLettersUnavailable(f"the system says: {error}", where=str(self.folder), mend=mend) from error


def _write_whole(handle: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[handle.write(view) :]
    os.fsync(handle.fileno())


def _line(letter: DeadLetter) -> bytes:
    """Return a letter as a line; a row that JSON cannot say (only a program can have sent it) as its text."""
    told = {
        "id": letter.id,
        "source": letter.source,
        "instant": format_instant(letter.instant_us),
        "kind": letter.kind,
        "reason": letter.reason,
        "pointer": letter.pointer,
        "mend": letter.mend,
    }
    try:
        return orjson.dumps(told | {"row": letter.row}, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        return orjson.dumps(told | {"row": ascii(letter.row)}, option=orjson.OPT_APPEND_NEWLINE)


def _letters(data: bytes) -> Iterator[DeadLetter]:
    """Yield the letters of a file; what a killed process left of a last line is none."""
    for line in data.split(b"\n")[:-1]:
        told = orjson.loads(line)
        instant_us = parse_instant(told.pop("instant"))
        yield DeadLetter(**told, instant_us=instant_us)


def _rewrite(path: Path, before: Letters, after: Letters) -> None:
    """Replace the letters of a file, if they changed; a file without any is removed."""
    if not after:
        path.unlink()
        sync_folder(path.parent)
    elif after != before:
        write_durably(path, b"".join(map(_line, after)))
