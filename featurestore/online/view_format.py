"""How one feature view is stored: its keys, its rows, its logs, and a row computed from a log."""

from __future__ import annotations

import numpy as np

from featurestore.definitions.feature_view import FeatureView
from featurestore.online.envelope import STAMP, Stamp
from featurestore.online.event_log import LogCodec
from featurestore.online.keys import NOBODY, ViewKeys, key_encoder
from featurestore.online.row_codec import FinalisedRows, RowCodec, times
from featurestore.semantics.aggregate import EventLog, latest_event_us, next_change_us, state_at
from featurestore.semantics.finalise import finalise
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import null_column


class ViewFormat:
    """Keys and codecs of one view, and what they need of it.

    Attributes
    ----------
    encode_key
        Writes an entity key as bytes; raises `EntityKeyError`.
    keys
        Where an encoded key's row and log are.
    rows, logs
        The view's codecs.
    nobody
        Where the row is that stands for every key without one of its own: the features of a key without events.
        It is written last of a materialisation, so that a store without it has not completed any.
    """

    def __init__(self, view: FeatureView) -> None:
        digest = view.row_digest
        self.view = view
        self.encode_key = key_encoder(view.entity.dtype, view.entity.name)
        self.keys = ViewKeys(digest)
        self.rows = RowCodec(view.name, digest, [(feature.name, feature.dtype) for feature in view.features])
        columns = [(name, view.column_dtype(name)) for name in view.columns]
        self.logs = LogCodec(view.name, digest, columns, [feature.aggregate for feature in view.features])
        self.nobody = self.keys.row(NOBODY)
        none = np.empty(0, dtype=np.int64)
        self._no_events = EventLog(none, none, none, {name: null_column(dtype, 0) for name, dtype in columns})

    def whole_stamp(self, row: bytes | None, log: bytes | None, oldest: bytes) -> bytes | None:
        """Return the packed stamp of a stored row that is whole, with its log if it needs one, and no older."""
        if row is None or not self.rows.whole(row, oldest):
            return None
        needs_log = times(row)[1] != NEVER_US
        return row[STAMP] if not needs_log or self.logs.whole(log, row[STAMP]) else None

    def row_at(self, log: EventLog, stamp: Stamp, t_us: int) -> bytes:
        """Compute the row that is exact from ``t_us`` until the log's next change, stamped as the log is."""
        finalised = [
            finalise(feature.aggregate, state_at(log, feature.aggregate, t_us)) for feature in self.view.features
        ]
        latest = latest_event_us(log, t_us)
        rows = FinalisedRows(
            columns=[values for values, _ in finalised],
            statuses=[statuses for _, statuses in finalised],
            latest_event_us=np.array([latest or 0], dtype=np.int64),
            has_latest=np.array([latest is not None]),
            valid_from_us=np.array([t_us], dtype=np.int64),
            next_change_us=np.array([self.next_change_us(log, t_us)], dtype=np.int64),
        )
        return self.rows.encode(rows, stamp)[0]

    def next_change_us(self, log: EventLog, t_us: int) -> int:
        """Return the first instant after ``t_us`` at which a feature, or the latest event, may change."""
        return next_change_us(log, self.view.windows, t_us)

    def nobody_row(self, stamp: Stamp) -> bytes:
        """Return the row of a key without events, exact from the stamp's instant on."""
        return self.row_at(self._no_events, stamp, stamp.as_of_us)
