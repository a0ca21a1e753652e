"""A round's predictions as the prediction log takes them: references to the round's arrays, nothing copied twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import FeatureService
from featurestore.semantics.value import Column
from gateway.predictionlog.record import PredictionBatch, ServiceDigests
from gateway.serving.ask import Answer, Ask
from gateway.serving.feature_fetch import FeatureFrame
from gateway.serving.target import Target


def log_batch(
    target: Target,
    members: Sequence[tuple[Ask, Answer]],
    frame: FeatureFrame,
    values: Mapping[str, Column],
    *,
    rows: slice,
    definitions: ServiceDigests,
) -> PredictionBatch:
    """Return the log's batch of some neighbouring requests of a round that one target answered.

    Parameters
    ----------
    members
        The requests and their answers.
    frame, values
        What was read for the whole round, and the service's outputs.
    rows
        Where the members' rows are in them.
    definitions
        `service_digests` of the service that was read.
    """
    record = target.model.record
    return PredictionBatch(
        model=record.model,
        version=record.version,
        record_hash=record.record_hash,
        variant=target.variant,
        route_revision=target.revision,
        instant_us=frame.instant_us,
        prediction_ids=[each for _, answer in members for each in answer.prediction_ids],
        keys=_columns(frame.keys, rows),
        requests=_columns(frame.requests, rows),
        features=_columns(_used(frame, values), rows),
        statuses=_arrays(frame.statuses, rows),
        sequences=_arrays(frame.sequences, rows),
        outputs={
            name: np.concatenate([answer.arrays[at] for _, answer in members])
            for at, name in enumerate(target.model.session.outputs)
        },
        request_id=[ask.request_id for ask, _ in members for _ in ask.keys],
        degraded=frame.degraded,
        definitions=definitions,
    )


def service_digests(service: FeatureService) -> ServiceDigests:
    """Return the digests of what a service is made of, as this process has it."""
    return ServiceDigests(
        service.name,
        service.digest,
        tuple((view.name, view.digest) for view in service.views),
        tuple((feature.name, feature.digest) for feature in service.request_features),
    )


def _used(frame: FeatureFrame, values: Mapping[str, Column]) -> dict[str, Column]:
    """Return what was read, also where only a request feature takes it, and what was computed from it."""
    return {**frame.features, **{name: of for name, of in values.items() if name not in frame.requests}}


def _columns(columns: Mapping[str, Column], rows: slice) -> Mapping[str, Column]:
    if _whole(columns, rows):
        return columns
    return {name: Column(of.dtype, of.values[rows], of.nulls[rows]) for name, of in columns.items()}


def _arrays(arrays: Mapping[str, NDArray[Any]], rows: slice) -> Mapping[str, NDArray[Any]]:
    if _whole(arrays, rows):
        return arrays
    return {name: array[rows] for name, array in arrays.items()}


def _whole(parts: Mapping[str, Sized], rows: slice) -> bool:
    """Tell whether the rows are all that the parts, of one length, have."""
    return bool(rows.start == 0 and rows.stop == len(next(iter(parts.values()), ())))
