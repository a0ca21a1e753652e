"""How one feature view is stored: its keys, its rows, its logs, and a row computed from a log."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions.feature_view import FeatureView
from featurestore.online.envelope import STAMP, Stamp
from featurestore.online.event_log import LogCodec, LogLimits, StoredLogs
from featurestore.online.hot_log import SeenLog
from featurestore.online.key_log import KeyLog
from featurestore.online.keys import NOBODY, ViewKeys, key_encoder
from featurestore.online.row_codec import FinalisedRows, RowCodec, times
from featurestore.online.versions import Versions, Words, joined
from featurestore.semantics.aggregate import EventLog, next_change_us
from featurestore.semantics.finalise import finalise
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.log_states import LogBatch, LogsAt
from featurestore.semantics.value import null_column


class ViewFormat:
    """Keys and codecs of one view, and what they need of it.

    Parameters
    ----------
    view
        The view.
    limits
        When logs are written anew; no reader depends on it.

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

    def __init__(self, view: FeatureView, limits: LogLimits | None = None) -> None:
        digest = view.row_digest
        self.view = view
        self.encode_key = key_encoder(view.entity.dtype, view.entity.name)
        self.keys = ViewKeys(digest)
        self.rows = RowCodec(view.name, digest, [(feature.name, feature.dtype) for feature in view.features])
        columns = [(name, view.column_dtype(name)) for name in view.columns]
        self.logs = LogCodec(view.name, digest, columns, [feature.aggregate for feature in view.features], limits)
        self.nobody = self.keys.row(NOBODY)
        none = np.empty(0, dtype=np.int64)
        self._no_events = EventLog(none, none, none, {name: null_column(dtype, 0) for name, dtype in columns})

    def whole_stamp(self, row: bytes | None, log: bytes | None, oldest: bytes) -> bytes | None:
        """Return the packed stamp of a stored row that is whole, with its log if it needs one, and no older."""
        if row is None or not self.rows.whole(row, oldest):
            return None
        needs_log = times(row)[1] != NEVER_US
        return row[STAMP] if not needs_log or self.logs.whole(log, row[STAMP]) else None

    def rows_at(
        self, logs: Sequence[EventLog | KeyLog], stamps: Sequence[Stamp], t_us: int | NDArray[np.int64]
    ) -> list[bytes]:
        """Compute the rows of many keys, each exact from its instant until its log's next change.

        Parameters
        ----------
        logs
            The keys' logs.
        stamps
            What each row is stamped with: its log's stamp.
        t_us
            One instant for all, or one for each, microseconds UTC; at or after the log's floor.
        """
        hot = {i: log for i, log in enumerate(logs) if isinstance(log, KeyLog) and log.hot}
        if not hot:
            return self.rows.encode(self._rows_of(self._batch(logs), t_us), stamps) if logs else []
        instants = np.broadcast_to(np.asarray(t_us, dtype=np.int64), len(logs))
        plain = [i for i in range(len(logs)) if i not in hot]
        computed = self.rows_at([logs[i] for i in plain], [stamps[i] for i in plain], instants[plain])
        rows = dict(zip(plain, computed, strict=True))
        for i, log in hot.items():
            rows[i] = self.rows.encode(self._finalised(log.seen_at(int(instants[i])), instants[i : i + 1]), stamps[i])[
                0
            ]
        return [rows[i] for i in range(len(logs))]

    def row_of(self, seen: SeenLog, stamp: bytes, t_us: int) -> bytes:
        """Compute the row of what a hot log comes to at an instant; neither it nor `rows_of` adds a checksum."""
        return self.rows.pack(self._finalised(seen, np.array([t_us], dtype=np.int64)), [stamp])[0]

    def rows_of(self, logs: StoredLogs, t_us: int, steps: int = 1) -> list[list[bytes]]:
        """Compute per log, as it was read, the row of an instant and those of the next intervals, stamped as the log.

        There are ``steps`` rows of a log, less where nothing changes any more.
        """
        in_order = all(log.chunks == 1 for log in logs.logs)
        versions = logs.versions if in_order else logs.versions.in_order(logs.bounds)
        batch = LogBatch(self.logs.layout.unpack(versions), logs.bounds)
        stamps = [log.stamp for log in logs.logs]
        if steps == 1:
            return [[row] for row in self.rows.pack(self._rows_of(batch, t_us), stamps)]
        instants = LogsAt(batch, t_us).next_instants_us(self.view.windows, steps)
        rows = self.rows.pack(self._rows_of(batch.repeated(steps), instants.ravel()), stamps * steps)
        there, n = (instants != NEVER_US).sum(axis=0).tolist(), len(batch)
        return [rows[i : n * there[i] : n] for i in range(n)]

    def row_at(self, log: EventLog, stamp: Stamp, t_us: int) -> bytes:
        """Compute one such row."""
        return self.rows_at([log], [stamp], t_us)[0]

    def next_change_us(self, log: EventLog, t_us: int) -> int:
        """Return the first instant after ``t_us`` at which a feature, or the latest event, may change."""
        return next_change_us(log, self.view.windows, t_us)

    def _batch(self, logs: Sequence[EventLog | KeyLog]) -> LogBatch:
        """Put the logs together: matrices side by side, where there are some."""
        plain = [log for log in logs if isinstance(log, EventLog)]
        if len(plain) == len(logs):
            return LogBatch.of(plain)
        layout = self.logs.layout
        if not plain and not layout.text_rows:
            return self._batch_of_words([log.words() for log in logs])  # type: ignore[union-attr]
        return self._batch_of([layout.pack(log) if isinstance(log, EventLog) else log.versions() for log in logs])

    def _batch_of_words(self, parts: Sequence[Words]) -> LogBatch:
        bounds = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum(list(map(len, parts)), out=bounds[1:])
        words = np.ascontiguousarray(np.concatenate(parts).T)
        return LogBatch(self.logs.layout.unpack(Versions(words, (), True)), bounds)

    def _batch_of(self, parts: Sequence[Versions]) -> LogBatch:
        bounds = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum([len(part) for part in parts], out=bounds[1:])
        return LogBatch(self.logs.layout.unpack(joined(parts)), bounds)

    def _rows_of(self, logs: LogBatch, t_us: int | NDArray[np.int64]) -> FinalisedRows:
        at = LogsAt(logs, t_us)
        states = [at.state(feature.aggregate) for feature in self.view.features]
        seen = SeenLog(states, *at.latest(), at.next_changes_us(self.view.windows))
        return self._finalised(seen, np.full(len(logs), t_us, dtype=np.int64))

    def _finalised(self, seen: SeenLog, valid_from_us: NDArray[np.int64]) -> FinalisedRows:
        finalised = [
            finalise(feature.aggregate, state) for feature, state in zip(self.view.features, seen.states, strict=True)
        ]
        return FinalisedRows(
            columns=[values for values, _ in finalised],
            statuses=[statuses for _, statuses in finalised],
            latest_event_us=seen.latest_us,
            has_latest=seen.has_latest,
            valid_from_us=valid_from_us,
            next_change_us=seen.next_change_us,
        )

    def nobody_row(self, stamp: Stamp) -> bytes:
        """Return the row of a key without events, exact from the stamp's instant on."""
        return self.row_at(self._no_events, stamp, stamp.as_of_us)
