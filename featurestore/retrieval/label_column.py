"""The label of a training set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import FeatureRef, Label, RequestFeature
from featurestore.offline.base import OfflineStore
from featurestore.retrieval.spine import Spine
from featurestore.semantics.finalise import exact_quotient
from featurestore.semantics.status import Status
from featurestore.semantics.value import Bool, Column, Int64, column


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a label is read: the store, the commit sequence of its source, and the instant it must have matured by."""

    offline: OfflineStore
    s: int
    as_of_us: int


def label_column(label: Label, spine: Spine, reading: Reading, features: Mapping[str, Column]) -> Column:
    """Return the label per spine row; null where it has not matured by the reading's ``as_of_us``.

    It is read at the instant it matures, over the events of ``(t, t + over]`` known by then.

    Parameters
    ----------
    features
        What ``label.exceeds`` needs at t, by name.
    """
    matured_us = spine.instants_us + label.matures_us
    frame = reading.offline.aggregates_at(
        label.of,
        {label.name: label.aggregate},
        spine.keys[label.entity.name],
        matured_us,
        reading.s,
        lag_us=label.lateness_us,
    )
    value = _with_empty(label, frame.columns[label.name], frame.statuses[label.name])
    if label.exceeds is not None:
        value = _greater(value, _compared(label.exceeds, features, len(spine)))
    return Column(value.dtype, value.values, value.nulls | (matured_us > reading.as_of_us))


def _with_empty(label: Label, value: Column, statuses: NDArray[np.uint8]) -> Column:
    if label.stored_empty is None:
        return value
    empty = statuses == Status.MISSING
    filler = column(value.dtype, [label.stored_empty]).values[0]
    filled = np.where(empty, filler, value.values).astype(value.values.dtype)
    return Column(value.dtype, filled, value.nulls & ~empty)


def _compared(part: FeatureRef | RequestFeature, features: Mapping[str, Column], length: int) -> Column:
    return _evaluate(part, features, length) if isinstance(part, RequestFeature) else features[part.name]


def _evaluate(part: RequestFeature, features: Mapping[str, Column], length: int) -> Column:
    """Compute a request feature and those it takes as inputs."""
    known = dict(features)
    for given in part.inputs:
        if isinstance(given, RequestFeature):
            known[given.name] = _evaluate(given, known, length)
    return part.evaluate(known, length)


def _greater(left: Column, right: Column) -> Column:
    """Compare as integers if both are, else as doubles; null where either is null."""
    numbers = (left.values, right.values) if left.dtype == right.dtype == Int64 else (_double(left), _double(right))
    return Column(Bool, np.asarray(numbers[0] > numbers[1]), left.nulls | right.nulls)


def _double(of: Column) -> NDArray[np.float64]:
    if of.dtype.scale is None:
        return of.values.astype(np.float64)
    return exact_quotient(of.values, np.full(len(of), 10**of.dtype.scale, dtype=np.int64))
