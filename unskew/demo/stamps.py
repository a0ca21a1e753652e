"""What earlier runs of the demo did: a step whose inputs have the same digest need not be done again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from featurestore.foundation.canonical import canonical_bytes, digest
from featurestore.foundation.durable_file import file_digest, write_durably


class Stamps:
    """A small file of (step, digest of its inputs, its result); a file that cannot be read counts as none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._steps: dict[str, dict[str, Any]] = _read(path)

    def result(self, step: str, inputs: Any) -> Any:
        """Return what the step gave when it last ran, ``None`` if its inputs were others or it never ran."""
        noted = self._steps.get(step)
        return noted["result"] if noted is not None and noted["inputs"] == digest(inputs) else None

    def last(self, step: str) -> Any:
        """Return what the step gave when it last ran, whatever its inputs; ``None`` if it never ran."""
        noted = self._steps.get(step)
        return None if noted is None else noted["result"]

    def note(self, step: str, inputs: Any, result: Any) -> None:
        """Remember what a step gave; on the disk when the call returns."""
        self._steps[step] = {"inputs": digest(inputs), "result": result}
        write_durably(self._path, canonical_bytes(self._steps))


def file_digests(*paths: Path) -> dict[str, str]:
    """Return the SHA-256 of files by name; a file that is not there has an empty one."""
    return {path.name: file_digest(path) if path.is_file() else "" for path in paths}


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        steps = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return steps if isinstance(steps, dict) else {}
