"""What an import did, or why it did nothing."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.foundation.errors import ImportRefused
from featurestore.offline.row_check import BadCell

SHOWN_BAD_ROWS = 10
"""Bad rows that a report or an error tells in full; all are counted."""


class RowsRefused(ImportRefused):
    """Rows do not fit the source; nothing of the import was written.

    Attributes
    ----------
    first
        What is wrong with the first of them.
    total
        How many there are.
    """

    def __init__(self, source: str, first: tuple[BadCell, ...], total: int, rows: int) -> None:
        lines = "".join(f"\n  {cell}" for cell in first)
        more = f"\n  and {total - SHOWN_BAD_ROWS} rows more" if total > SHOWN_BAD_ROWS else ""
        super().__init__(
            f"{total} of {rows} rows cannot be taken in, and nothing was written:{lines}{more}\n",
            where=f"source {source}: {first[0].place}",
            mend='correct them, or set them aside: --on-bad quarantine (in Python on_bad="quarantine")',
        )
        self.first = first
        self.total = total


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes
    ----------
    sequence
        The commit made, or the one that had already taken in the same bytes.
    rows, quarantined
        Rows taken in, and rows set aside.
    already_imported
        Whether every input had been imported before and nothing was written.
    skipped
        Inputs of the same bytes as one that had been imported before.
    unread_columns
        Columns of the inputs that the schema does not name.
    bad
        What is wrong with the first rows set aside.
    min_event_us, max_event_us
        Range of event timestamps taken in; ``None`` if there are no rows.
    """

    source: str
    sequence: int
    rows: int
    quarantined: int = 0
    already_imported: bool = False
    inputs: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    unread_columns: tuple[str, ...] = ()
    bad: tuple[BadCell, ...] = ()
    min_event_us: int | None = None
    max_event_us: int | None = None
