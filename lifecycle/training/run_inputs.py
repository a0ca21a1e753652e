"""What a run was made from: code, versions, and the hashes of every file it read, before and after (law 12)."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from featurestore.foundation.durable_file import file_digest
from lifecycle.errors import InputsChanged

LIBRARIES = (
    "unskew",
    "numpy",
    "pandas",
    "scikit-learn",
    "skl2onnx",
    "onnx",
    "onnxruntime",
    "duckdb",
    "pyarrow",
)
GIT_TIMEOUT_S = 20


@dataclass(frozen=True)
class CodeState:
    """Which commit the project's code is at; ``commit`` is None outside a repository (or without git)."""

    commit: str | None
    dirty: bool


def code_state(folder: Path) -> CodeState:
    """Ask git for the commit, and whether anything under ``folder`` differs from it."""
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    changes = None if commit is None else _git(folder, "status", "--porcelain", "--", ".")
    return CodeState(commit, bool(changes))


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that shape a model, those that are installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def code_files(folder: Path) -> list[Path]:
    """Return the project's Python files: those in ``folder`` and below, not in folders that begin with a dot."""
    found = (path for path in folder.rglob("*.py") if not _hidden(path.relative_to(folder)))
    return sorted(path for path in found if path.is_file())


def hash_files(paths: Iterable[Path]) -> dict[Path, str]:
    """Return the SHA-256 of each file; one that is not there has none, and is then a change if it comes."""
    return {path: file_digest(path) if path.is_file() else "absent" for path in sorted(set(paths))}


def refuse_changes(before: Mapping[Path, str], after: Mapping[Path, str], where: str) -> None:
    """Raise `InputsChanged`, naming the files, unless both hashes are the same."""
    changed = sorted(str(path) for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    if changed:
        raise InputsChanged(
            f"{', '.join(changed)} changed while the run was under way",
            where=where,
            mend="run it again, and leave its inputs alone until it ends",
        )


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "__pycache__")) for part in path.parts)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
