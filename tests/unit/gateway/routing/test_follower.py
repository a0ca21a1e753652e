from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from featurestore.foundation.clock import FixedClock
from gateway.errors import ModelLoadError
from gateway.registry.record import ModelRecord, Threshold
from gateway.registry.registry import Registry, open_registry
from gateway.routing.follower import RouteFollower
from gateway.routing.slot_table import routing_key


class CountingRegistry:
    """The real registry behind counters, to see what a poll costs."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return getattr(self._registry, name)


class Loader:
    """Loads the bytes of a record as its model, unless told to fail."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.loaded: list[int] = []
        self.broken: set[int] = set()

    def __call__(self, record: ModelRecord) -> bytes:
        if record.version in self.broken:
            raise ModelLoadError(f"version {record.version} does not load")
        self.loaded.append(record.version)
        return self._registry.artifacts.load(record.artifact_digest)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with open_registry(f"sqlite:{tmp_path}/r.db", tmp_path / "artifacts", FixedClock(0)) as opened:
        for model in ("spend", "churn"):
            for onnx in (b"one", b"two", b"three"):
                opened.register(_record(model), onnx)
        yield opened


def _record(model: str) -> ModelRecord:
    return ModelRecord(
        model=model,
        owner="ann",
        service="s",
        service_digest="s",
        catalog_digest="c",
        input_spec=[],
        outputs=("y",),
        missing="null",
        label="l",
        label_digest="l",
        training_set_digest="t",
        training_rows=1,
        holdout_rows=1,
        metrics={"auc": 1.0},
        thresholds=(Threshold("auc", at_least=0.5),),
    )


@pytest.fixture
def loader(registry: Registry) -> Loader:
    return Loader(registry)


def test_follows_promotions_of_every_model(registry, loader):
    follower = RouteFollower(registry, loader)
    assert follower.poll() == ()
    assert follower.live == {}
    registry.promote("spend", 1, actor="ann")
    registry.promote("churn", 2, actor="ann")
    assert follower.poll() == ("churn", "spend")
    variant, model = follower.live["spend"].choose(routing_key([7]))
    assert (variant.version, model) == (1, b"one")
    registry.promote("spend", 3, actor="ann")
    assert follower.poll() == ("spend",)
    assert follower.live["spend"].choose(b"i7;")[1] == b"three"
    assert follower.live["spend"].records[0].version == 3


def test_both_variants_answer_for_their_keys(registry, loader):
    registry.promote("spend", 1, actor="ann")
    registry.challenge("spend", 2, weights=(1, 1), actor="ann")
    follower = RouteFollower(registry, loader)
    follower.poll()
    chosen = {follower.live["spend"].choose(routing_key([key])) for key in range(100)}
    assert {(variant.name, model) for variant, model in chosen} == {("champion", b"one"), ("challenger", b"two")}


def test_a_quiet_poll_costs_one_read(registry, loader):
    registry.promote("spend", 1, actor="ann")
    counting = CountingRegistry(registry)
    follower = RouteFollower(counting, loader)
    follower.poll()
    counting.calls.clear()
    assert follower.poll() == ()
    assert counting.calls == ["head"]


def test_a_model_is_loaded_once_while_a_route_names_it(registry, loader):
    follower = RouteFollower(registry, loader)
    registry.promote("spend", 1, actor="ann")
    follower.poll()
    registry.challenge("spend", 2, weights=(9, 1), actor="ann")
    follower.poll()
    registry.challenge("spend", 2, weights=(1, 1), actor="ann")
    follower.poll()
    registry.promote("spend", 2, actor="ann")
    follower.poll()
    assert loader.loaded == [1, 2]
    assert follower.live["spend"].route == registry.route("spend")


def test_a_failed_load_keeps_the_old_route_and_the_other_models(registry, loader):
    registry.promote("spend", 1, actor="ann")
    follower = RouteFollower(registry, loader, retry_after_s=0.0)
    follower.poll()
    loader.broken = {2}
    failing = registry.promote("spend", 2, actor="ann").route
    registry.promote("churn", 1, actor="ann")
    assert follower.poll() == ("churn",)
    assert follower.live["spend"].route.revision == 1
    assert follower.live["spend"].choose(b"i7;")[1] == b"one"
    assert follower.failures["spend"].route == failing
    assert "version 2 does not load" in str(follower.failures["spend"].error)
    loader.broken = set()
    assert follower.poll() == ("spend",)
    assert follower.live["spend"].route == failing
    assert follower.failures == {}


def test_a_failed_load_waits_before_it_is_tried_again(registry, loader):
    loader.broken = {1}
    registry.promote("spend", 1, actor="ann")
    counting = CountingRegistry(registry)
    follower = RouteFollower(counting, loader, retry_after_s=3_600)
    follower.poll()
    assert follower.live == {}
    assert set(follower.failures) == {"spend"}
    counting.calls.clear()
    follower.poll()
    assert counting.calls == ["head"]


def test_a_failed_load_is_tried_again_at_the_next_change(registry, loader):
    loader.broken = {1}
    registry.promote("spend", 1, actor="ann")
    follower = RouteFollower(registry, loader, retry_after_s=3_600)
    follower.poll()
    loader.broken = set()
    registry.promote("churn", 1, actor="ann")
    assert follower.poll() == ("churn", "spend")


def test_a_holder_of_the_old_route_keeps_it_whole(registry, loader):
    registry.promote("spend", 1, actor="ann")
    follower = RouteFollower(registry, loader)
    follower.poll()
    held, lives = follower.live["spend"], follower.live
    registry.promote("spend", 2, actor="ann")
    follower.poll()
    assert held.choose(b"i7;")[1] == b"one"
    assert lives["spend"] is held


def test_a_changed_model_file_keeps_the_old_route(registry, loader):
    registry.promote("spend", 1, actor="ann")
    follower = RouteFollower(registry, loader)
    follower.poll()
    registry.artifacts.path(registry.get("spend", 2).artifact_digest).write_bytes(b"tampered")
    registry.promote("spend", 2, actor="ann")
    assert follower.poll() == ()
    assert "has changed since it was registered" in str(follower.failures["spend"].error)
    assert follower.live["spend"].route.revision == 1
