"""Whether the views that this gateway reads still get every commit of their sources.

The ingest program notes beside each commit which views have it. A view that is not among them stands still: another
revision of it is in force, which this gateway, started before, does not know. Its rows are exact as of the last commit
that it has, and from the next one on they are not those of the present: predictions that need them are refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from featurestore.definitions import FeatureService, FeatureView
from featurestore.foundation.errors import OnlineStoreError
from featurestore.online.base import OnlineStore
from featurestore.online.followed_views import FollowedViews, read_followed
from gateway.errors import ViewNotFollowed

_logger = logging.getLogger(__name__)


class ViewWatch:
    """Look, now and then, whether the views of some services follow the events of their sources.

    A view that was seen to follow them stands still from the first commit on that it lacks: while the ingest program
    writes views anew, it makes none. The same holds of one whose source had no commit yet when it was first looked at:
    while its stream is opened, the views are written, and none is noted. Of other views, one that was never seen to
    follow is refused at once.
    """

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self._views: Mapping[str, FeatureView] = {}
        self._seen_at: dict[str, int] = {}
        self._unopened: set[str] = set()
        self._still: frozenset[str] = frozenset()

    def add(self, service: FeatureService) -> None:
        """Watch the views of a service too, from now on; blocks for one fetch."""
        self._views = {**self._views, **{view.row_digest: view for view in service.views}}
        self.refresh()

    def refresh(self) -> None:
        """Look once; blocks. A store that does not answer leaves everything as it is."""
        views = self._views
        sources = sorted({view.source.name for view in views.values()})
        try:
            said = read_followed(self._store, sources)
        except OnlineStoreError:
            return
        still = frozenset(
            digest for digest, view in views.items() if self._stands_still(view, said.get(view.source.name))
        )
        for digest in still - self._still:
            _logger.error("%s", _refusal(views[digest]))
        self._still = still

    def refuse(self, service: FeatureService) -> None:
        """Raise `ViewNotFollowed` if a view of the service stands still; costs nothing while none does."""
        if self._still:
            for view in service.views:
                if view.row_digest in self._still:
                    raise _refusal(view)

    async def run(self, interval_s: float) -> None:
        """Look for ever, waiting ``interval_s`` between; ends when it is cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await asyncio.to_thread(self.refresh)

    def _stands_still(self, view: FeatureView, said: FollowedViews | None) -> bool:
        if said is None:
            self._unopened.add(view.row_digest)
            return False
        if said.has(view) or view.row_digest in self._unopened:
            self._unopened.discard(view.row_digest)
            self._seen_at[view.row_digest] = said.s
        return said.s > self._seen_at.get(view.row_digest, -1)


def _refusal(view: FeatureView) -> ViewNotFollowed:
    return ViewNotFollowed(
        f"its rows, as it is defined here, do not follow the events of source {view.source.name!r} any more: the "
        "ingest program keeps another revision of it",
        where=f"feature view {view.name!r} ({view.row_digest[:16]})",
        mend="restart the gateway (`unskew serve`), which then reads what is in force; if it has just been started, "
        "wait until the ingest program has written the view, or run `unskew backfill`",
    )
