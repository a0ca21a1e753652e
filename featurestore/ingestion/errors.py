"""What can go wrong while events are taken in, kept, and committed.

::

    IngestionError                   (foundation.errors)
    ├── StreamUnavailable            the stream cannot be reached, read or written
    │   └── StreamDamaged            bytes that were synced are not what was written
    ├── BacklogFull                  more rows wait than may
    ├── StreamReplaced               a position of a stream that is not this one
    ├── EventsUnreadable             kept events that the source's schema cannot hold
    ├── EntriesGone                  entries of a commit that history lacks are not in the stream
    ├── HistoryBehind                history lacks commits that nothing remembers any more
    ├── OnlineAhead                  rows in the online store are newer than the commits that are known
    ├── CommitterOvertaken           the online store is not as this committer left it
    ├── SourceBusy                   another program commits the events of a source
    ├── DeadLetterUnknown            no dead letter has this id
    └── DeadLettersUnavailable       the dead letters cannot be read or written
"""

from __future__ import annotations

from featurestore.foundation.errors import IngestionError


class StreamUnavailable(IngestionError):
    """The event stream cannot be reached, did not answer in time, or cannot be written; what was sent may be there."""

    code = "event-stream-unavailable"


class StreamDamaged(StreamUnavailable):
    """Bytes of the event stream that were synced are gone or changed."""

    code = "event-stream-damaged"


class BacklogFull(IngestionError):
    """More rows wait to be committed than may: nothing was appended.

    Attributes
    ----------
    rows
        Rows that wait.
    limit_rows
        Rows that may wait.
    """

    code = "backlog-full"

    def __init__(self, stream: str, given: int, rows: int, limit_rows: int) -> None:
        mend = "send them again later; if it lasts, look whether the ingest program runs (`unskew doctor`)"
        if given > limit_rows:
            mend = f"send at most {limit_rows} at once, or raise [ingestion] backlog_limit_rows"
        super().__init__(
            f"{rows} rows wait to be committed, and {given} more would exceed {limit_rows}", where=stream, mend=mend
        )
        self.rows = rows
        self.limit_rows = limit_rows


class StreamReplaced(IngestionError):
    """A position is of another stream than the one that stands in its place now, so events may be missing between."""

    code = "event-stream-replaced"


class EventsUnreadable(IngestionError):
    """Events in the stream were taken in under a schema that the source's present one cannot read."""

    code = "events-unreadable"


class DeadLetterUnknown(IngestionError):
    """No dead letter has this id."""

    code = "dead-letter-unknown"


class EntriesGone(IngestionError):
    """A commit has to be read from the stream again, and the stream has not all of it."""

    code = "event-entries-gone"

    def __init__(self, stream: str, s: int, rows: int, found: int) -> None:
        super().__init__(
            f"commit {s} was made of {rows} rows, of which the stream has {found}",
            where=stream,
            mend="bring the stream back as it was; or give the rows up: remove what the online store holds of the "
            "source by `unskew backfill --rebuild`",
        )


class HistoryBehind(IngestionError):
    """History ends before commits of which the online store has forgotten how they were made."""

    code = "history-behind"

    def __init__(self, source: str, store: str, s: int, history: int) -> None:
        super().__init__(
            f"it holds commits up to {s}, history ends at {history}, and what is between was forgotten as written",
            where=f"source {source!r} in the online store {store}",
            mend="bring history back as it was; or give these commits up: `unskew backfill --rebuild`",
        )


class OnlineAhead(IngestionError):
    """The online store has rows of a later commit than any that is known of."""

    code = "online-ahead"

    def __init__(self, view: str, store: str, s: int) -> None:
        super().__init__(
            f"a row is of a later commit than {s}, which is being made",
            where=f"feature view {view!r} in the online store {store}",
            mend="history or stream were replaced by older ones: bring them back, or `unskew backfill --rebuild`",
        )


class CommitterOvertaken(IngestionError):
    """The online store does not hold the commit that this committer made last: it was restarted, or someone else's."""

    code = "committer-overtaken"


class SourceBusy(IngestionError):
    """Another program holds the lease of a source."""

    code = "source-busy"


class DeadLettersUnavailable(IngestionError):
    """The dead letters cannot be read or written."""

    code = "dead-letters-unavailable"
