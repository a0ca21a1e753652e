"""Which files were sent into a source: one small file for each, named by the SHA-256 of its bytes.

Sending a file a second time would put its rows over the corrections that came since, so it is done only when asked for.
"""

from __future__ import annotations

import json
from pathlib import Path

from featurestore.foundation.durable_file import create_durably


class SentFiles:
    """Remember files that were sent completely. Safe for threads and processes.

    Parameters
    ----------
    folder
        Where; made at the first file. What is there is on the disk; a crash leaves a file remembered or not.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def holds(self, source: str, digest: str) -> bool:
        """Return whether a file of these bytes was sent into a source."""
        return self._path(source, digest).exists()

    def add(self, source: str, digest: str, name: str, rows: int) -> None:
        """Remember a file, under the name it had; once, however often it is sent."""
        try:
            create_durably(self._path(source, digest), json.dumps({"name": name, "rows": rows}).encode())
        except FileExistsError:
            return

    def _path(self, source: str, digest: str) -> Path:
        return self._folder / source / f"{digest}.json"
