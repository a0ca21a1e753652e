"""ONNX files named by their content: ``<root>/sha256/ab/abcdef....onnx``."""

from __future__ import annotations

import re
from pathlib import Path

from featurestore.foundation.canonical import bytes_digest
from featurestore.foundation.durable_file import sync_folder, write_durably
from gateway.errors import ArtifactChanged

_DIGEST = re.compile(r"[0-9a-f]{64}")


class ArtifactStore:
    """Keep model files, each under the SHA-256 of its bytes.

    Parameters
    ----------
    root
        The folder; made when the first file comes.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, digest: str) -> Path:
        """Return where the file of a digest stands or would stand."""
        if not _DIGEST.fullmatch(digest):
            raise ArtifactChanged(
                f"{digest!r} is not a SHA-256", mend="take the digest from the model's record: 64 hexadecimal digits"
            )
        return self._root / "sha256" / digest[:2] / f"{digest}.onnx"

    def save(self, data: bytes) -> str:
        """Keep ``data`` and return its digest; on the disk, name included, when this returns.

        Saving again what is there changes nothing, and mends a file whose bytes have changed.
        """
        digest = bytes_digest(data)
        path = self.path(digest)
        if path.exists() and bytes_digest(path.read_bytes()) == digest:
            sync_folder(path.parent)  # who wrote it may have been killed before its name was on the disk
        else:
            write_durably(path, data)
        return digest

    def load(self, digest: str) -> bytes:
        """Return the bytes of a digest, checked against it each time.

        Raises
        ------
        ArtifactChanged
            If the file is not there, or holds anything else.
        """
        path = self.path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise ArtifactChanged(
                "the model file is gone", where=str(path), mend="put it back from a backup, or train the model again"
            ) from None
        found = bytes_digest(data)
        if found != digest:
            raise ArtifactChanged(
                f"the model file has changed since it was registered: its SHA-256 is now {found}",
                where=str(path),
                mend="put it back from a backup, or train the model again",
            )
        return data
