"""What a training set is rebuilt from: its record and its spine, kept under its digest."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore.foundation.canonical import canonical_bytes, digest
from featurestore.foundation.durable_file import create_durably, durable_path
from featurestore.foundation.errors import OfflineStoreError
from featurestore.retrieval.table_digest import table_digest

RECORD_FORMAT = 1
NOT_IDENTIFYING = ("engine",)
"""Parts of a record that say how it was made, not what it is."""


class TrainingRecordError(OfflineStoreError):
    """A training set's record is unknown, was changed, or no longer gives what it gave."""

    code = "training-set"


def record_digest(record: dict[str, Any]) -> str:
    """Return the digest that names the training set a record describes."""
    return digest({key: value for key, value in record.items() if key not in NOT_IDENTIFYING})


def keep_record(root: Path, record: dict[str, Any], spine: pa.Table) -> None:
    """Store a record and its spine under ``root``, durably; storing it again changes nothing."""
    path = _spine_path(root, record["spine_digest"])
    if not path.exists():
        with durable_path(path) as temporary, pa.OSFile(str(temporary), "wb") as file:
            _write_arrow(file, spine)
    with suppress(FileExistsError):
        create_durably(_record_path(root, record_digest(record)), canonical_bytes(record))


def load_record(root: Path, name: str) -> dict[str, Any]:
    """Return the record called ``name``; a unique beginning of at least 8 digits will do.

    Raises
    ------
    TrainingRecordError
        If there is none, several begin so, or its bytes were changed.
    """
    found = sorted((root / "records").glob(f"{name}*.json")) if len(name) >= 8 and name.isalnum() else []
    if len(found) != 1:
        short = "give its first 8 digits or more" if len(name) < 8 else "there is no such training set"
        state = "several begin so" if found else short
        raise TrainingRecordError(
            f"training set {name!r}: {state}", where=str(root), mend="list them with: unskew training-set list"
        )
    return _verified(found[0])


def load_spine(root: Path, spine_digest: str) -> pa.Table:
    """Return a kept spine, verified against its digest."""
    path = _spine_path(root, spine_digest)
    if not path.exists():
        raise TrainingRecordError("the spine is gone", where=str(path), mend="restore it from a backup")
    try:
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
    except (pa.ArrowException, OSError):
        table = None
    if table is None or table_digest(table) != spine_digest:
        raise TrainingRecordError("the spine was changed", where=str(path), mend="restore it from a backup")
    return table


def list_records(root: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return every kept record with its digest, ordered by digest.

    Raises
    ------
    TrainingRecordError
        If the bytes of one were changed.
    """
    return [(path.stem, _verified(path)) for path in sorted((root / "records").glob("*.json"))]


def _verified(path: Path) -> dict[str, Any]:
    """Read a record, and refuse one that is not what its name says."""
    try:
        record = json.loads(path.read_bytes())
    except ValueError:
        record = None
    if not isinstance(record, dict) or record_digest(record) != path.stem:
        raise TrainingRecordError("the record was changed", where=str(path), mend="restore it from a backup")
    return record


def _write_arrow(file: pa.NativeFile, table: pa.Table) -> None:
    """Write Arrow's own file format, which keeps every type exactly as it is; Parquet would change some."""
    with pa.ipc.new_file(file, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)


def _record_path(root: Path, name: str) -> Path:
    return root / "records" / f"{name}.json"


def _spine_path(root: Path, spine_digest: str) -> Path:
    return root / "spines" / f"{spine_digest}.arrow"
