"""Request features are held to law 7 on the rows they are trained on: a row's result is its own, whatever its batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from featurestore.definitions import FeatureRef, Request, RequestFeature
from featurestore.semantics.value import Column

SAMPLE_ROWS = 64
"""Rows per request feature, spread evenly over those whose inputs are all there."""


def check_invariance(features: Iterable[RequestFeature], columns: Mapping[str, Column]) -> None:
    """Refuse a request feature whose result for a row changes with the rows beside it.

    Parameters
    ----------
    features
        Request features; those they take as inputs are checked too.
    columns
        The stored features and request values they are computed from, by name.

    Raises
    ------
    DefinitionError
        Naming the feature and a row whose result changes.
    """
    for feature in dict.fromkeys(part for given in features for part in _with_inputs(given)):
        sample = _sample(feature, columns)
        if sample is None:
            continue
        for part in feature.inputs:
            _add(part, sample)
        feature.check_batch_invariance(sample)


def leaves(part: FeatureRef | Request | RequestFeature) -> list[FeatureRef | Request]:
    """Return the stored features and request values that a feature is computed from, itself if it is one."""
    if isinstance(part, RequestFeature):
        return [leaf for given in part.inputs for leaf in leaves(given)]
    return [part]


def _with_inputs(part: FeatureRef | Request | RequestFeature) -> list[RequestFeature]:
    """Return a request feature after those it is computed from."""
    if not isinstance(part, RequestFeature):
        return []
    return [deeper for given in part.inputs for deeper in _with_inputs(given)] + [part]


def _sample(feature: RequestFeature, columns: Mapping[str, Column]) -> dict[str, Column] | None:
    """Return the rows to try it on, ``None`` if there are not two different ones to compare."""
    taken = {leaf.name: columns[leaf.name] for leaf in leaves(feature)}
    whole = np.flatnonzero(~np.logical_or.reduce([of.nulls for of in taken.values()]))
    if len(whole) < 2:
        return None
    spread = np.unique(np.linspace(0, len(whole) - 1, min(SAMPLE_ROWS, len(whole))).astype(np.int64))
    return {name: of.take(whole[spread]) for name, of in taken.items()}


def _add(part: FeatureRef | Request | RequestFeature, known: dict[str, Column]) -> None:
    """Evaluate a request feature that is an input of another."""
    if isinstance(part, RequestFeature) and part.name not in known:
        for given in part.inputs:
            _add(given, known)
        known[part.name] = part.evaluate(known, len(next(iter(known.values()))))
