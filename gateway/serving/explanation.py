"""What `options.explain` adds to an answer: each feature's value, status and age."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from featurestore.foundation.clock import SECOND
from featurestore.semantics.json_value import writer
from featurestore.semantics.model_input import InputFeature, InputSpec
from featurestore.semantics.status import Status
from featurestore.semantics.value import Column, Int64, null_column
from gateway.serving.feature_fetch import FeatureFrame

STATUS_NAMES = {status.value: status.name.lower() for status in Status}


def explain(spec: InputSpec, frame: FeatureFrame, values: Mapping[str, Column], rows: slice) -> list[dict[str, Any]]:
    """Return, for each row, the model's inputs by name in the model's order.

    Each has ``value`` (as read or computed, null where there is none), ``status``, ``age_seconds`` (from the latest
    event of its view to t; null for what is not read from a view, or has no event) and, where a null was filled,
    ``default``.
    """
    by_feature = [_explained(feature, frame, values[feature.name], rows) for feature in spec.features]
    names = [feature.name for feature in spec.features]
    return [dict(zip(names, row, strict=True)) for row in zip(*by_feature, strict=True)]


def _explained(feature: InputFeature, frame: FeatureFrame, of: Column, rows: slice) -> list[dict[str, Any]]:
    write = writer(feature.dtype)
    statuses = frame.statuses.get(feature.name, np.where(of.nulls, np.uint8(Status.NULL), np.uint8(Status.PRESENT)))
    ages_us = frame.ages_us.get(feature.name, null_column(Int64, len(of)))
    explained = []
    for value, status, age_us in zip(
        of.to_pylist()[rows], statuses[rows].tolist(), ages_us.to_pylist()[rows], strict=True
    ):
        entry: dict[str, Any] = {
            "value": None if value is None else write(value),
            "status": STATUS_NAMES[status],
            "age_seconds": None if age_us is None else age_us / SECOND,
        }
        if value is None and feature.default is not None:
            entry["default"] = write(feature.default)
        explained.append(entry)
    return explained
