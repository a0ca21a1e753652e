"""What a move of a route leads to: pure functions from the route before to the route after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.errors import RouteRefused
from gateway.registry.history import HistoryEntry
from gateway.registry.route import Route, Variant, route_from_description
from gateway.registry.slots import decode_runs, encode_runs, evolve, trial_start


def with_champion(before: Route | None, version: int) -> tuple[Variant, ...]:
    """Return the variants once ``version`` is champion; a challenger stays unless it is the one promoted."""
    challenger = None if before is None else before.challenger
    if before is None or challenger is None or challenger.version == version:
        return (Variant("champion", version, 1),)
    return (replace(before.champion, version=version), challenger)


def with_challenger(before: Route | None, version: int, weights: tuple[int, int]) -> tuple[Variant, ...]:
    """Return the variants once ``version`` challenges the champion at ``weights`` (champion, challenger)."""
    if before is None:
        raise RouteRefused("there is no champion to challenge", mend="promote a version first")
    if before.champion.version == version:
        raise RouteRefused(
            f"version {version} is the champion, so it cannot challenge itself", mend="name another version"
        )
    return (Variant("champion", before.champion.version, weights[0]), Variant("challenger", version, weights[1]))


def without_challenger(before: Route | None) -> tuple[Variant, ...]:
    """Return the variants once the champion is alone."""
    if before is None or before.challenger is None:
        raise RouteRefused("there is no challenger to withdraw", mend="look at the route: `unskew routes show`")
    return (replace(before.champion, weight=1),)


def next_route(model: str, before: Route | None, variants: tuple[Variant, ...]) -> Route:
    """Return the next revision, with the fewest slots moved; ``before`` itself if its variants are these."""
    if before is not None and before.variants == variants:
        return before
    revision, salt = (1, model) if before is None else (before.revision + 1, before.salt)
    weights = {variant.version: variant.weight for variant in variants}
    table = evolve(owners(before), weights, trial_start(salt, revision))
    position = {variant.version: index for index, variant in enumerate(variants)}
    return Route(model, revision, variants, salt, encode_runs([position[version] for version in table]))


def owners(route: Route | None) -> list[int]:
    """Return the version that holds each slot; empty without a route."""
    return [] if route is None else [route.variants[index].version for index in decode_runs(route.runs)]


def route_before(moves: Sequence[HistoryEntry]) -> Route:
    """Return the route that a rollback goes back to: what was before the last move not rolled back yet.

    A second rollback goes one further back, never forth again.

    Parameters
    ----------
    moves
        The model's entries that moved its route, oldest first.
    """
    standing: list[HistoryEntry] = []
    for move in moves:
        if move.kind == "rollback":
            standing.pop()
        else:
            standing.append(move)
    if len(standing) < 2:
        raise RouteRefused("there is no earlier route to go back to", mend="promote another version instead")
    return route_from_description(standing[-2].after)
