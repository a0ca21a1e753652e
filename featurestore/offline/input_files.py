"""Find what an import is to read, and hold its columns against the source's schema."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from featurestore.foundation.errors import ImportRefused
from featurestore.offline.csv_input import CsvInput
from featurestore.offline.input_file import ArrowInput, InputFile, ParquetInput, TableInput

READERS: dict[str, Callable[[Path], InputFile]] = {
    ".parquet": ParquetInput,
    ".pq": ParquetInput,
    ".csv": CsvInput,
    ".arrow": ArrowInput,
    ".feather": ArrowInput,
}


def open_inputs(data: str | Path | pa.Table) -> list[InputFile]:
    """Return the inputs that ``data`` names: a table, a file, or all files under a folder in order of their paths.

    Hidden files, and those whose names begin with an underscore, are passed over in a folder.

    Raises
    ------
    ImportRefused
        If nothing is there, or something is there that no reader knows.
    """
    if isinstance(data, pa.Table):
        return [TableInput(data)]
    path = Path(data)
    if path.is_dir():
        return _open_folder(path)
    if not path.is_file():
        raise ImportRefused("there is no such file or folder", where=str(path), mend="check the path")
    return [_open_file(path)]


def check_columns(file: InputFile, schema: Sequence[str]) -> list[str]:
    """Return the columns of the file that the schema does not name, which are not read.

    Raises
    ------
    ImportRefused
        If a column of the schema is not in the file, or is there twice.
    """
    names = file.names()
    missing = [name for name in schema if name not in names]
    extra = [name for name in names if name not in set(schema)]
    if missing:
        raise ImportRefused(
            f"column {missing[0]!r} is not in the file" + _and_others(missing),
            where=file.name,
            mend=_nearest(missing[0], extra, names),
        )
    twice = [name for name, count in Counter(names).items() if count > 1 and name in set(schema)]
    if twice:
        raise ImportRefused(f"the file has two columns {twice[0]!r}", where=file.name, mend="rename one of them")
    return extra


def _open_folder(folder: Path) -> list[InputFile]:
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder)))
    if not found:
        raise ImportRefused("the folder has no files", where=str(folder), mend=f"put {_accepted()} files there")
    return [_open_file(path) for path in found]


def _open_file(path: Path) -> InputFile:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ImportRefused(
            f"files named *{path.suffix} cannot be read" if path.suffix else "the file's name has no ending",
            where=str(path),
            mend=f"import {_accepted()} files, or move this one away",
        )
    return reader(path)


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _accepted() -> str:
    return ", ".join(READERS)


def _and_others(missing: Sequence[str]) -> str:
    return f", nor {', '.join(map(repr, missing[1:]))}" if len(missing) > 1 else ""


def _nearest(name: str, extra: Sequence[str], names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, extra, n=1) or [
        other for other in extra if other.lower().strip() == name.lower()
    ]
    if close:
        return f"did you mean {close[0]!r}? Rename it in the file or in the source's schema"
    return f"the file has {', '.join(names[:20]) or 'no columns'}"
