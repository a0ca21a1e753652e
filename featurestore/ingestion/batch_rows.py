"""A batch's rows in every view: by the views' SQL, with the rows it fails on set aside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurestore.definitions import FeatureView, Source
from featurestore.ingestion.accept import EventForm
from featurestore.ingestion.dead_letter import DeadLetters, DeadRow
from featurestore.ingestion.micro_batch import MicroBatch
from featurestore.offline.row_engine import RowEngine, RowsOfView
from featurestore.offline.row_sql import RowSqlFailed

EXPLAINED = 20
"""Rows of one batch that fail in a view and are evaluated once more, to say why in the engine's words."""
LATE_LETTERS = 10
"""Dead letters of one commit about rows that come beyond retention; the others are counted."""
FAILED_MEND = "correct the row (`unskew dead-letters fix`), or let derive and where hold for it, as by TRY_CAST or CASE"
LATE_MEND = "none is needed unless it corrects an event; then `unskew backfill --rebuild` writes online values anew"


class ViewRowsReader:
    """Evaluate the rows of batches in views; for one thread.

    Parameters
    ----------
    source, form
        The source, and how its rows are written.
    dead_letters
        Where rows go that fail.
    """

    def __init__(self, source: Source, form: EventForm, dead_letters: DeadLetters) -> None:
        self._source, self._form, self._dead_letters = source, form, dead_letters
        self._engine = RowEngine()

    def rows(self, views: Sequence[FeatureView], table: pa.Table) -> list[RowsOfView]:
        """Return the rows of each view; raises `RowSqlFailed`."""
        return [self._engine.rows(view, table) for view in views]

    def failing(self, view: FeatureView, table: pa.Table) -> dict[int, str]:
        """Return the rows on which the view's SQL fails, and how: asked for all at once, what is left by halving.

        Halving costs k log n evaluations for k of n rows, so it is for expressions that the engine cannot try alone.
        Of many rows only the first are evaluated for what the engine says of them.
        """
        parts = self._engine.failing(view, table)
        told = list(parts)[:EXPLAINED]
        found = {i: f"{part} of feature view {view.name} fails on this row" for i, part in parts.items()}
        found |= {i: reason for each in told for i, reason in self._halved(view, table, np.array([each])).items()}
        left = np.setdiff1d(np.arange(len(table)), np.fromiter(parts, np.int64, len(parts)))
        return found | self._halved(view, table, left)

    def _halved(self, view: FeatureView, table: pa.Table, among: NDArray[np.int64]) -> dict[int, str]:
        """Return the rows among some on which the view's SQL fails, and what the engine says of each."""
        found: dict[int, str] = {}
        rows = table.take(pa.array(among))
        parts = [(0, len(rows))]
        while parts:
            start, end = parts.pop()
            try:
                self._engine.rows(view, rows.slice(start, end - start))
            except RowSqlFailed as error:
                if end - start == 1:
                    found[int(among[start])] = str(error.what)
                    continue
                middle = (start + end) // 2
                parts += [(start, middle), (middle, end)]
        return found

    def set_aside(self, batch: MicroBatch, failed: dict[int, str], after: str) -> None:
        """Keep rows that fail as dead letters, durably; a repeat adds none.

        Parameters
        ----------
        after
            The position in the stream at which the batch begins.
        """
        self._keep("failed", batch, failed, FAILED_MEND, after)

    def note_late(self, batch: MicroBatch, late: NDArray[np.int64], after: str) -> None:
        """Keep the first of the rows that come beyond retention as dead letters, durably; they are committed too."""
        reason = "its event is so old that online values may lack a correction by it"
        self._keep("beyond-retention", batch, dict.fromkeys(late[:LATE_LETTERS].tolist(), reason), LATE_MEND, after)

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def _keep(self, kind: str, batch: MicroBatch, reasons: dict[int, str], mend: str, after: str) -> None:
        rows = [
            DeadRow(kind, reason, "", mend, self._form.written(batch.columns, i), f"{self._source.name}:{after}:{i}")  # type: ignore[arg-type]
            for i, reason in sorted(reasons.items())
        ]
        if rows:
            self._dead_letters.add(self._source.name, rows)
