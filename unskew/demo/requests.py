"""Ask the served model as an application would, and hold what it used against the point-in-time join."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from featurestore.semantics.json_value import writer
from unskew.demo.stages import MODEL
from unskew.errors import DemoFailed
from unskew.project.project import Project

Ask = tuple[int, float]
BATCH: tuple[Ask, ...] = ((1, 42.5), (2, 7.99), (900, 120.0), (1228, 15.25), (2500, 63.1))
"""Household and value of the basket in hand: the first has demographics, the last two do not."""
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Answers:
    """What came back.

    Attributes
    ----------
    single
        The explained answer to the first of `BATCH`, asked alone.
    batch
        The explained answers to all of `BATCH`, asked together.
    values, identical
        Feature values the gateway used for `BATCH`, and how many of them equal the point-in-time join's exactly.
    """

    single: dict[str, Any]
    batch: list[dict[str, Any]]
    values: int
    identical: int


def ask(project: Project, url: str) -> Answers:
    """Send a single request and a batch, both explained.

    Raises
    ------
    DemoFailed
        If an answer is an error, or a value that was used is not the point-in-time one.
    """
    options = {"options": {"explain": True}}
    with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
        single = _post(client, {**_row(BATCH[0]), **options})
        batch = _post(client, {"rows": [_row(each) for each in BATCH], **options})["predictions"]
    expected = point_in_time(project)
    used = [{name: part["value"] for name, part in answer["features"].items()} for answer in batch]
    pairs = [(row[name], wanted[name]) for row, wanted in zip(used, expected, strict=True) for name in wanted]
    identical = sum(found == wanted for found, wanted in pairs)
    if identical != len(pairs) or single["outputs"] != batch[0]["outputs"]:
        raise DemoFailed(
            f"{len(pairs) - identical} of {len(pairs)} feature values differ from the point-in-time join, or an "
            f"answer depends on its batch: {single['outputs']}, {batch[0]['outputs']}",
            mend="this is a bug of unskew: please report it with the demo's folder",
        )
    return Answers(single, batch, len(pairs), identical)


def point_in_time(project: Project) -> list[dict[str, Any]]:
    """Return the features of `BATCH` at the project's instant from history, as JSON values, never from the store."""
    from featurestore.retrieval.training_set import build_training_set

    service = project.applied_catalog.service(project.model(MODEL).service_name)
    now_us = project.clock.now_us()
    spine = pa.table(
        {
            "household_id": pa.array([household for household, _ in BATCH], pa.int64()),
            "timestamp": pa.array([now_us] * len(BATCH), pa.timestamp("us", "UTC")),
            "basket_value": pa.array([value for _, value in BATCH], pa.float64()),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        rows = build_training_set(service, spine, project.offline, as_of_us=now_us, root=Path(folder))
    columns = {
        name: [None if value is None else writer(part.dtype)(value) for value in part.to_pylist()]
        for name, part in rows.columns.items()
    }
    return [{name: values[at] for name, values in columns.items()} for at in range(len(BATCH))]


def _row(asked: Ask) -> dict[str, Any]:
    household, basket_value = asked
    return {"keys": {"household_id": household}, "inputs": {"basket_value": basket_value}}


def _post(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    path = f"/v1/models/{MODEL}/predict"
    answer = client.post(path, json=body)
    if answer.status_code != httpx.codes.OK:
        raise DemoFailed(
            f"the gateway answered {answer.status_code}: {answer.text[:500]}",
            where=path,
            mend="see docs/operations.md, by symptom",
        )
    found: dict[str, Any] = answer.json()
    return found
