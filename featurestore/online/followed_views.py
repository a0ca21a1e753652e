"""Which views of a source follow its events, as the ingest program says in the online store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.definitions.feature_view import FeatureView
from featurestore.online.base import OnlineStore
from featurestore.online.keys import SourceKeys


@dataclass(frozen=True, slots=True)
class FollowedViews:
    """What the last commit of a source was made for.

    Attributes
    ----------
    s
        The last commit in the online store.
    views
        First 16 digits of the row digests of the views that have every commit so far.
    """

    s: int
    views: frozenset[str]

    def has(self, view: FeatureView) -> bool:
        """Return whether the rows of a view, as it is defined here, have every commit."""
        return view.row_digest[:16] in self.views


def read_followed(store: OnlineStore, sources: Sequence[str]) -> dict[str, FollowedViews]:
    """Return what is said of those of the sources, by name, that have had a commit in this store; one fetch."""
    found = store.get_many([SourceKeys(source).applied for source in sources])
    said = {source: json.loads(stored) for source, stored in zip(sources, found, strict=True) if stored is not None}
    return {source: FollowedViews(told["s"], frozenset(told["views"])) for source, told in said.items()}
