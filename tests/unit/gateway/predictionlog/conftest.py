"""Batches with every type a feature can have."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from featurestore.semantics.value import Bool, Decimal, Float32, Float64, Int64, String, Timestamp, column
from gateway.predictionlog.record import PredictionBatch

MakeBatch = Callable[..., PredictionBatch]
INSTANT_US = 1_514_678_400_000_000
"""2017-12-31T00:00:00Z."""


@pytest.fixture
def make_batch() -> MakeBatch:
    def make(start: int = 0, rows: int = 1, **changes: Any) -> PredictionBatch:
        numbers = range(start, start + rows)
        fields: dict[str, Any] = {
            "model": "spend",
            "version": 3,
            "record_hash": "9" * 64,
            "variant": "champion",
            "route_revision": 5,
            "instant_us": INSTANT_US,
            "prediction_ids": [f"id-{number}" for number in numbers],
            "keys": {"household": column(Int64, list(numbers)), "store": column(String, ["ä"] * rows)},
            "requests": {"basket": column(Float64, [1.5] * rows)},
            "features": {
                "spending.sum": column(Float64, [0.1 + 0.2] * rows),
                "spending.nan": column(Float64, [float("nan")] * rows),
                "spending.none": column(Float64, [None] * rows),
                "spending.zero": column(Float64, [-0.0] * rows),
                "spending.narrow": column(Float32, [np.float32(0.1)] * rows),
                "spending.big": column(Int64, [2**53 + 1] * rows),
                "spending.some": column(Int64, [None if number % 2 else number for number in numbers]),
                "profile.flag": column(Bool, [True] * rows),
                "profile.name": column(String, ["", *["x"] * rows][:rows]),
                "profile.since": column(Timestamp, [INSTANT_US - 1] * rows),
                "profile.price": column(Decimal(2), [-12345] * rows),
            },
            "statuses": {"spending.sum": np.zeros(rows, np.uint8), "spending.none": np.full(rows, 2, np.uint8)},
            "sequences": {"spending": np.arange(start, start + rows), "profile": np.full(rows, -1)},
            "outputs": {
                "label": np.ones(rows, np.int64),
                "probabilities": np.tile(np.array([[0.25, 0.75]], np.float32), (rows, 1)),
                "name": np.array(["big"] * rows, dtype=object),
            },
            "request_id": "r-1",
        }
        return PredictionBatch(**(fields | changes))

    return make
