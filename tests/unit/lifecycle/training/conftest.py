"""A small training set with numbers, texts, nulls and a label that can be learnt."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from featurestore.catalog.catalog import Catalog, catalog_of
from featurestore.definitions import (
    Count,
    Decimal,
    Delay,
    Entity,
    EventSource,
    FeatureService,
    FeatureView,
    Float64,
    Int64,
    Label,
    Request,
    String,
    Sum,
    Timestamp,
)
from featurestore.foundation.clock import DAY, FixedClock, parse_instant
from featurestore.retrieval.training_set import TrainingSet
from gateway.registry.registry import Registry, open_registry

START_US = parse_instant("2024-01-01T00:00:00Z")

person = Entity("person", join_key="person_id", dtype=Int64)
visits = EventSource(
    "visits",
    schema={"visit_id": Int64, "person_id": Int64, "at": Timestamp, "paid": Decimal(2)},
    event_timestamp="at",
    event_id="visit_id",
    available_at=Delay("0s"),
    path="visits.parquet",
)
spending = FeatureView("spending", person, visits, [Count(over="7d")])
height, weight, town = Request("height", Float64), Request("weight", Float64), Request("town", String)
mixed = FeatureService("mixed", [height, weight, town])
numbers = FeatureService("numbers", [height, weight])
comes = Label("comes", Count(), spending, over="7d", lateness="1d", exceeds=spending["count_7d"])
pays = Label("pays", Sum("paid"), spending, over="7d", lateness="1d")


def training_set(service: FeatureService = mixed, label: Label | None = comes, rows: int = 400) -> TrainingSet:
    """One row an hour; the last ten labels have not matured."""
    random = np.random.default_rng(7)
    tall = random.normal(size=rows)
    place = random.choice(["east", "west", "north"], size=rows)
    instants = START_US + np.arange(rows) * 3_600_000_000
    table = pa.table(
        {
            "person_id": pa.array(np.arange(rows) % 50),
            "timestamp": pa.array(instants, pa.timestamp("us", "UTC")),
            "height": pa.array([None if at % 17 == 0 else value for at, value in enumerate(tall.tolist())]),
            "weight": pa.array(random.normal(size=rows)),
            "town": pa.array([None if at % 23 == 0 else name for at, name in enumerate(place.tolist())]),
        }
    )
    score = tall + (place == "east") + random.normal(scale=0.3, size=rows)
    learnt = (score > 0.4).tolist() if label is comes else (score * 10).tolist()
    if label is not None:
        answers = [None if at >= rows - 10 else value for at, value in enumerate(learnt)]
        table = table.append_column(label.name, pa.array(answers))
    return TrainingSet(table, "d" * 64, {"timestamp_column": "timestamp"}, service, label)


@pytest.fixture
def catalog() -> Catalog:
    return catalog_of([mixed, numbers, comes, pays])


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    opened = open_registry(
        f"sqlite:{tmp_path / 'registry.db'}", tmp_path / "artifacts", FixedClock(START_US + 99 * DAY)
    )
    yield opened
    opened.close()


@pytest.fixture
def make_set() -> Callable[..., TrainingSet]:
    return training_set
