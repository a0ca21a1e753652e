"""The mark that a source is streamed: its history is written by the ingest program alone, in commit order.

Imports and stream commits share one sequence. While events may be on their way to the ingest program, an import would
take a commit number that one of them is about to get; so an open stream is marked in the offline store itself, where
whoever imports must look.
"""

from __future__ import annotations

import json
from pathlib import Path

from featurestore.foundation.canonical import canonical_bytes
from featurestore.foundation.durable_file import exclusive_lock, sync_folder, write_durably
from featurestore.foundation.errors import ImportRefused, OfflineStoreError
from featurestore.offline.snapshot import Named, source_folder


class SourceStreamed(ImportRefused):
    """Files cannot be imported into a source while its event stream is open."""

    code = "source-streamed"


def open_stream_mark(root: Path, source: Named, by: str) -> None:
    """Mark a source as streamed, durably; harmless if it is marked: the first mark stands.

    Waits for an import under way to end. A crash leaves the mark or none.

    Parameters
    ----------
    by
        Who opens the stream and for what reason, for the one whose import is refused.
    """
    path = stream_mark_path(root, source)
    with exclusive_lock(path.parent / ".lock"):
        if not path.exists():
            write_durably(path, canonical_bytes({"by": by}))


def close_stream_mark(root: Path, source: Named) -> None:
    """Remove the mark, durably; harmless if there is none. All that was streamed must be in history by then."""
    path = stream_mark_path(root, source)
    if path.exists():
        path.unlink(missing_ok=True)
        sync_folder(path.parent)


def is_streamed(root: Path, source: Named) -> bool:
    """Tell whether a source's stream is open."""
    return stream_mark_path(root, source).exists()


def refuse_if_streamed(root: Path, source: Named) -> None:
    """Refuse an import into a streamed source.

    Raises
    ------
    SourceStreamed
        If its stream is open; it says who opened it.
    """
    if not is_streamed(root, source):
        return
    raise SourceStreamed(
        f"events of source {source.name!r} come by its stream, opened by {opened_by(root, source)}: an imported file "
        "would take commit numbers from them",
        where=f"source {source.name} in {root}",
        mend=f"send the file's rows as events instead: `unskew ingest {source.name} FILE`",
    )


def opened_by(root: Path, source: Named) -> str:
    """Return who opened a source's stream, empty if nobody did.

    Raises
    ------
    OfflineStoreError
        If the mark cannot be read.
    """
    path = stream_mark_path(root, source)
    try:
        return str(json.loads(path.read_bytes())["by"])
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OfflineStoreError(
            f"the mark of an open stream cannot be read: {error}", where=str(path), mend="restore it from a backup"
        ) from None


def stream_mark_path(root: Path, source: Named) -> Path:
    """Return where a source's mark is while its stream is open."""
    return source_folder(root, source.name) / "streamed.json"
