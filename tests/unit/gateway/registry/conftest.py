"""A registry of its own for each test, and records to put into it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from featurestore.foundation.clock import FixedClock
from gateway.registry.record import ModelRecord, Threshold
from gateway.registry.registry import Registry, open_registry

MakeRecord = Callable[..., ModelRecord]


@pytest.fixture
def make_record() -> MakeRecord:
    def make(**changes: Any) -> ModelRecord:
        fields: dict[str, Any] = {
            "model": "spend",
            "owner": "team@example.org",
            "service": "spend_inputs",
            "service_digest": "5" * 64,
            "catalog_digest": "c" * 64,
            "input_spec": [{"name": "spending.net_sum_30d", "dtype": "float64", "default": None}],
            "outputs": ("label", "probabilities"),
            "missing": "null",
            "label": "spends_more",
            "label_digest": "1" * 64,
            "training_set_digest": "7" * 64,
            "training_rows": 100_000,
            "holdout_rows": 20_000,
            "metrics": {"roc_auc": 0.81, "log_loss": 0.5},
            "thresholds": (Threshold("roc_auc", at_least=0.7), Threshold("log_loss", at_most=0.6)),
            "parameters": {"depth": 3, "rate": 0.1, "seeds": [1, 2]},
            "code_commit": "abc123",
            "code_dirty": True,
            "libraries": {"scikit-learn": "1.9.1"},
        }
        return ModelRecord(**(fields | changes))

    return make


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(1_514_678_400_000_000)


@pytest.fixture
def registry(tmp_path: Path, clock: FixedClock) -> Iterator[Registry]:
    with open_registry(f"sqlite:{tmp_path}/registry.db", tmp_path / "artifacts", clock) as opened:
        yield opened


@pytest.fixture
def three_versions(registry: Registry, make_record: MakeRecord) -> Registry:
    """A registry with versions 1, 2 and 3 of the model ``spend``, none promoted."""
    for onnx in (b"one", b"two", b"three"):
        registry.register(make_record(), onnx)
    return registry
