"""Take files into a source's history: checked row by row, written as immutable Parquet, committed at once.

An import is one commit, all or nothing. Its rows are versions: of rows with one identity the last imported counts, and
within an import the later row. Imports into one source wait for one another. A process killed on the way leaves files
that no manifest names; the next import removes them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from featurestore.definitions.source import Source
from featurestore.foundation.canonical import canonical_bytes
from featurestore.foundation.clock import Clock
from featurestore.foundation.durable_file import create_durably, exclusive_lock, make_folder, sync_folder
from featurestore.foundation.errors import ImportRefused
from featurestore.offline import snapshot
from featurestore.offline.commit_files import check_reading, described, reading, remove_orphans, writable
from featurestore.offline.import_report import SHOWN_BAD_ROWS, ImportReport, RowsRefused
from featurestore.offline.input_file import InputFile, RawBatch
from featurestore.offline.input_files import check_columns, open_inputs
from featurestore.offline.month_files import MonthFiles
from featurestore.offline.quarantine import Quarantine
from featurestore.offline.row_check import BadCell, BadRow, Faults, check_batch, stored_schema
from featurestore.offline.snapshot import Commit, InputRecord, Snapshot
from featurestore.offline.stream_mark import refuse_if_streamed

OnBad = Literal["refuse", "quarantine"]
Progress = Callable[[int], None]


def import_file(
    source: Source,
    data: str | Path | pa.Table,
    root: Path,
    clock: Clock,
    *,
    on_bad: OnBad = "refuse",
    progress: Progress | None = None,
) -> ImportReport:
    """Take a Parquet, CSV or Arrow file, a folder of them, or an Arrow table into a source's history.

    When it returns, the commit is on the disk. An input whose bytes were imported before under the same reading of the
    source is not imported again, whatever its name.

    Parameters
    ----------
    on_bad
        ``"refuse"``: a row that does not fit refuses the whole import. ``"quarantine"``: such rows are set aside in the
        source's quarantine folder, with reasons, and counted.
    progress
        Called with the number of rows read so far.

    Raises
    ------
    ImportRefused
        If the import is refused; nothing was written. `RowsRefused` if rows are the reason, `SourceStreamed` if the
        source's rows come as events.
    """
    inputs = open_inputs(data)
    folder = snapshot.source_folder(root, source.name)
    with writable(folder), exclusive_lock(folder / ".lock"):
        refuse_if_streamed(root, source)
        before = snapshot.latest(root, source)
        remove_orphans(before)
        check_reading(source, before)
        return _Import(source, before, on_bad, progress).run(inputs, clock)


def _unordered(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return a reading in which the order of the schema's columns says nothing."""
    return {**described, "schema": sorted(described["schema"])}


@dataclass
class _Import:
    """One import under the source's lock: reads, checks, writes, and commits or leaves nothing."""

    source: Source
    before: Snapshot
    on_bad: OnBad
    progress: Progress | None
    read_rows: int = 0
    bad_rows: int = 0
    bad: list[BadRow] = field(default_factory=list)
    unread: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sequence = self.before.sequence + 1
        self.partial = self.before.folder / "data" / f"{self.sequence:06d}.partial"
        self.months = MonthFiles(self.partial, stored_schema(self.source))
        path = self.before.folder / "quarantine" / f"{self.sequence:06d}.parquet"
        self.quarantine = Quarantine(path, list(self.source.schema))

    def run(self, inputs: list[InputFile], clock: Clock) -> ImportReport:
        fresh, skipped, sequence = self._unknown(inputs)
        if not fresh:
            return ImportReport(self.source.name, sequence, 0, already_imported=True, skipped=skipped)
        for part in ("data", "commits"):
            make_folder(self.before.folder / part)
        with self._nothing_left_behind():
            records = tuple(self._take(file, digest) for file, digest in fresh)
            if self._refused():
                raise RowsRefused(self.source.name, self._shown(), self.bad_rows, self.read_rows)
            commit = self._commit(records, clock.now_us())
        return self._report(commit, skipped)

    def _unknown(self, inputs: list[InputFile]) -> tuple[list[tuple[InputFile, str]], tuple[str, ...], int]:
        """Return the inputs not imported yet with their digests, the others' names, and the others' last commit.

        Inputs that were imported under another reading, such as before a column was added, come first and in the order
        of those commits: a correction stays the later version of what it corrects.
        """
        now = _unordered(reading(self.source))
        taken = [
            (record.digest, commit.sequence, _unordered(commit.reading) == now)
            for commit in self.before.commits
            for record in commit.inputs
        ]
        known = {digest: sequence for digest, sequence, same in taken if same}
        fresh: dict[str, InputFile] = {}
        skipped: list[str] = []
        last = 0
        for file in inputs:
            with _readable(file):
                digest = file.digest()
            if digest in known or digest in fresh:
                skipped.append(file.name)
                last = max(last, known.get(digest, 0))
            else:
                fresh[digest] = file
        in_turn = {digest: turn for turn, (digest, _, _) in enumerate(taken)}
        ordered = sorted(fresh.items(), key=lambda item: in_turn.get(item[0], len(taken)))
        return [(file, digest) for digest, file in ordered], tuple(skipped), last

    def _take(self, file: InputFile, digest: str) -> InputRecord:
        first = self.read_rows
        with _readable(file):
            self.unread.update(dict.fromkeys(check_columns(file, list(self.source.schema))))
        for batch in _batches(file, list(self.source.schema)):
            checked = check_batch(self.source, file.name, batch, self.sequence, self.read_rows)
            self.read_rows += len(batch.rows) + len(batch.malformed)
            self._set_aside(checked.faults)
            if checked.good.num_rows and not self._refused():
                self.months.add(checked.good)
            if self.progress is not None:
                self.progress(self.read_rows)
        with _readable(file):
            if file.digest() != digest:
                raise ImportRefused("the file changed while it was read", where=file.name, mend="import it again")
        return InputRecord(file.name, digest, self.read_rows - first)

    def _set_aside(self, faults: Faults) -> None:
        self.bad_rows += len(faults)
        self.bad += faults.rows(SHOWN_BAD_ROWS - len(self.bad))
        if self.on_bad == "quarantine":
            self.quarantine.add(faults.rows())

    def _refused(self) -> bool:
        return self.bad_rows > 0 and self.on_bad == "refuse"

    def _shown(self) -> tuple[BadCell, ...]:
        return tuple(cell for row in self.bad for cell in row.cells)

    def _commit(self, records: tuple[InputRecord, ...], now_us: int) -> Commit:
        folder = self.before.folder
        placed = self.partial.with_suffix("")
        files = tuple(described(path, placed / path.name, folder) for path in self.months.finish())
        if files:
            os.replace(self.partial, placed)
            sync_folder(placed.parent)
        aside = self.quarantine.finish()
        sync_folder(folder)
        commit = Commit(
            source=self.source.name,
            sequence=self.sequence,
            reading=reading(self.source),
            previous=self.before.commits[-1].digest if self.before.commits else "",
            inputs=records,
            files=files,
            quarantined=None if aside is None else described(aside, aside, folder),
            committed_at_us=now_us,
        )
        create_durably(snapshot.manifest_path(folder, self.sequence), canonical_bytes(commit.describe()))
        return commit

    @contextmanager
    def _nothing_left_behind(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.months.close()
            self.quarantine.close()
            remove_orphans(self.before)
            raise

    def _report(self, commit: Commit, skipped: tuple[str, ...]) -> ImportReport:
        edges = [(file.min_event_us, file.max_event_us) for file in commit.files]
        return ImportReport(
            self.source.name,
            commit.sequence,
            commit.rows,
            quarantined=self.quarantine.rows,
            inputs=tuple(record.name for record in commit.inputs),
            skipped=skipped,
            unread_columns=tuple(self.unread),
            bad=self._shown(),
            min_event_us=min((low for low, _ in edges if low is not None), default=None),
            max_event_us=max((high for _, high in edges if high is not None), default=None),
        )


def _batches(file: InputFile, wanted: list[str]) -> Iterator[RawBatch]:
    with _readable(file):
        yield from file.batches(wanted)


@contextmanager
def _readable(file: InputFile) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        first = str(error).partition("\n")[0]
        raise ImportRefused(
            f"the file cannot be read: {first}", where=file.name, mend="check that it is whole, and what its name says"
        ) from error
