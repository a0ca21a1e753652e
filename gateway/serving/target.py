"""Who answers: a variant of a route, at one revision, with its model loaded."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.inference.model_pool import LoadedModel


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A variant of one revision of a route."""

    variant: str
    revision: int
    model: LoadedModel
