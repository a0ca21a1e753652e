"""Where a model's traffic goes: variants with relative weights, and the slot table that shares the keys out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from featurestore.foundation.canonical import digest

VariantName = Literal["champion", "challenger"]


@dataclass(frozen=True, slots=True)
class Variant:
    """A version with a role and a relative integer weight; weight 0 gets no traffic."""

    name: VariantName
    version: int
    weight: int


@dataclass(frozen=True, slots=True)
class Route:
    """One revision of a model's route.

    Attributes
    ----------
    model
        The model's name.
    revision
        1 for the model's first route, one more with each change; 0 stands for "no route yet".
    variants
        The champion, then the challenger if there is one.
    salt
        Mixed into the hash of every routing key, so that two models share their keys out independently.
    runs
        The slot table, run-length encoded: pairs ``(index into variants, number of slots)`` that add up to
        `gateway.registry.slots.SLOTS`.
    """

    model: str
    revision: int
    variants: tuple[Variant, ...]
    salt: str
    runs: tuple[tuple[int, int], ...]

    def variant(self, name: str) -> Variant | None:
        """Return the variant in a role, ``None`` if nobody has it."""
        return next((variant for variant in self.variants if variant.name == name), None)

    @property
    def champion(self) -> Variant:
        """The variant that answers unless a challenger does."""
        return self.variants[0]

    @property
    def challenger(self) -> Variant | None:
        """The variant on trial, if there is one."""
        return self.variant("challenger")

    def shares(self) -> dict[str, float]:
        """Return the fraction of the slots that each variant holds, by role."""
        total = sum(length for _, length in self.runs)
        held = [sum(length for index, length in self.runs if index == at) for at in range(len(self.variants))]
        return {variant.name: count / total for variant, count in zip(self.variants, held, strict=True)}

    def describe(self) -> dict[str, Any]:
        """Return it as plain data, the inverse of `route_from_description`."""
        return {
            "model": self.model,
            "revision": self.revision,
            "variants": [
                {"name": variant.name, "version": variant.version, "weight": variant.weight}
                for variant in self.variants
            ],
            "salt": self.salt,
            "runs": [list(run) for run in self.runs],
        }

    @property
    def etag(self) -> str:
        """A strong validator: equal for equal routes only."""
        return digest(self.describe())[:32]


def route_from_description(description: Mapping[str, Any]) -> Route:
    """Make a route from its plain data, the inverse of `Route.describe`."""
    return Route(
        model=description["model"],
        revision=description["revision"],
        variants=tuple(Variant(**variant) for variant in description["variants"]),
        salt=description["salt"],
        runs=tuple((index, length) for index, length in description["runs"]),
    )
