"""What one variant is asked in one request, and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from gateway.serving.target import Target

Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Ask:
    """The rows of one request that one variant answers.

    Attributes
    ----------
    keys, inputs
        A tuple per row, in the order of the service's join keys and requests.
    """

    target: Target
    keys: Rows
    inputs: Rows
    explain: bool = False
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an `Ask`, one entry per row; ``as_of``, ``outputs`` and ``features`` as JSON has them.

    ``logged`` is what the answer waits for before it leaves, if the prediction log is synced first; shared with others.
    """

    target: Target
    as_of: str
    degraded: bool
    prediction_ids: list[str]
    outputs: dict[str, list[Any]]
    features: list[dict[str, Any]] | None
    arrays: Sequence[NDArray[Any]]
    logged: asyncio.Future[bool] | None = None
