"""What the online store holds now, beside what was logged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featurestore.definitions import FeatureView
from featurestore.foundation.clock import format_instant
from featurestore.online.base import OnlineStore
from featurestore.online.errors import RowFormatError
from featurestore.online.row_codec import DecodedRows, times
from featurestore.online.view_format import ViewFormat
from featurestore.semantics.finalise import apply_ttl
from lifecycle.monitoring.view_history import ViewAsked, ViewValues


class StoredRows:
    """Rows of one view in an online store."""

    def __init__(self, view: FeatureView, store: OnlineStore) -> None:
        self._view = view
        self._store = store
        self._format = ViewFormat(view)

    def explain(self, asked: ViewAsked, names: Sequence[str]) -> list[str | None]:
        """Say for each row whether the stored row of its stamp holds the logged values; ``None`` if it does not."""
        form = self._format
        wanted = [form.keys.row(form.encode_key(key)) for key in asked.keys.to_pylist()]
        stored = self._store.get_many(wanted) if wanted else []
        return [self._explained(asked, at, row, names) for at, row in enumerate(stored)]

    def _explained(self, asked: ViewAsked, at: int, row: bytes | None, names: Sequence[str]) -> str | None:
        decoded = None if row is None else self._decoded(row)
        if row is None or decoded is None or int(decoded.sequence[0]) != int(asked.sequences[at]):
            return None
        valid_from, next_change = times(row)
        t_us = int(asked.instants_us[at])
        if not valid_from <= t_us < next_change:
            return None
        if not asked.values.take(np.array([at])).agree(self._values(decoded, t_us), names)[0]:
            return None
        return (
            f"the row that {self._store.name} holds of this key since {format_instant(valid_from)}, at commit "
            f"{int(decoded.sequence[0])}, has these values"
        )

    def _decoded(self, row: bytes) -> DecodedRows | None:
        try:
            return self._format.rows.decode([row])
        except RowFormatError:
            return None

    def _values(self, decoded: DecodedRows, t_us: int) -> ViewValues:
        columns, statuses = {}, {}
        read = decoded.columns(decoded.statuses)
        for slot, (name, column) in enumerate(zip(self._format.rows.names, read, strict=True)):
            columns[name], statuses[name] = apply_ttl(
                (column, decoded.statuses[:, slot]),
                t_us,
                decoded.latest_event_us,
                decoded.has_latest,
                self._view.ttl_us,
            )
        return ViewValues(columns, statuses)
