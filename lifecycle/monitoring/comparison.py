"""Some records of one model version beside what history gives for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.semantics.json_value import writer
from featurestore.semantics.status import Status
from featurestore.semantics.value import Column, identical
from gateway.registry.record import ModelRecord
from lifecycle.monitoring.audit_report import Example
from lifecycle.monitoring.logged_rows import UNLOGGED, LoggedRows

Masks = dict[str, NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Logged records and the same values from history, by feature.

    Attributes
    ----------
    columns, statuses
        From history; request features have no statuses.
    wrong
        Where a feature differs, for those that differ anywhere.
    """

    record: ModelRecord
    rows: LoggedRows
    columns: Mapping[str, Column]
    statuses: Mapping[str, NDArray[np.uint8]]
    wrong: Masks = field(default_factory=dict)

    def same(self, name: str) -> NDArray[np.bool_]:
        """Tell per record whether a feature is the same bit for bit, status included where one was logged."""
        same = identical(self.rows.features[name], self.columns[name])
        logged, found = self.rows.statuses.get(name), self.statuses.get(name)
        if logged is None or found is None:
            return same
        return np.asarray(same & ((logged == found) | (logged == UNLOGGED)))

    def example(self, at: int, name: str, **told: Any) -> Example:
        """Return one record's value of a feature as a report shows it."""
        rows = self.rows
        return Example(
            prediction_id=rows.prediction_ids[at].as_py(),
            model=self.record.model,
            version=self.record.version,
            feature=name,
            keys={entity: _plain(of, at) for entity, of in rows.keys.items()},
            instant_us=int(rows.instants_us[at]),
            sequences={view: int(of[at]) for view, of in rows.sequences.items()},
            logged=(_plain(rows.features[name], at), _status(rows.statuses.get(name), at)),
            recomputed=(_plain(self.columns[name], at), _status(self.statuses.get(name), at)),
            **told,
        )


def _plain(of: Column, at: int) -> Any:
    return None if of.nulls[at] else writer(of.dtype)(of.values[at : at + 1].tolist()[0])


def _status(statuses: NDArray[np.uint8] | None, at: int) -> str | None:
    return None if statuses is None or statuses[at] == UNLOGGED else Status(int(statuses[at])).name.lower()
