"""Of which history the stored rows of a view are.

Commit sequences count from 1 in every history: of two rows, the one of the greater s is newer only if both histories
are one. So a store keeps, beside the rows of a view, a mark: the greatest stamp it was given, noted before the first
row of it, and the digest of the snapshot at its s, which covers all commits before. A history that has this very
snapshot continues the stored rows; any other is refused, until someone asks to rebuild.
"""

from __future__ import annotations

from featurestore.definitions.feature_view import FeatureView
from featurestore.foundation.errors import MaterialisationError
from featurestore.offline.base import OfflineStore
from featurestore.online.base import OnlineStore, Put
from featurestore.online.envelope import (
    HEAD_BYTES,
    HISTORY,
    OLDEST,
    STAMP,
    TAIL_BYTES,
    Stamp,
    head,
    refusal,
    seal,
    stored_stamp,
    unpack_stamp,
)
from featurestore.online.keys import HISTORY as HISTORY_KEY
from featurestore.online.keys import NOBODY, ViewKeys


class AnotherHistory(MaterialisationError):
    """The online store holds rows of another history than the offline store's, or of one that is further on."""

    code = "another-history"


def stored_run(view: FeatureView, online: OnlineStore) -> Stamp | None:
    """Return the stamp of the newest completed run of a view in a store; ``None`` if readers would find none."""
    (nobody,) = online.get_many([ViewKeys(view.row_digest).row(NOBODY)])
    packed = stored_stamp(nobody)
    return None if packed == OLDEST else unpack_stamp(packed)


class HistoryMark:
    """What a store says of a view's history, held against an offline store.

    Parameters
    ----------
    view, offline, online
        The view, its history, and the store of its rows.
    """

    def __init__(self, view: FeatureView, offline: OfflineStore, online: OnlineStore) -> None:
        self._view, self._offline, self._online = view, offline, online
        self._keys = ViewKeys(view.row_digest)

    def claim(self, stamp: Stamp) -> Stamp:
        """Check the stored mark, note that rows of this history and of ``stamp`` follow; return the greatest so far.

        Raises
        ------
        AnotherHistory
            If the stored rows are not of this history.
        """
        stored = self.check()
        if stored is not None and stored >= stamp:
            return stored
        self._online.put_many([Put(self._keys.row(HISTORY_KEY), self._mark(stamp), self._keys.log(HISTORY_KEY), None)])
        return stamp

    def check(self) -> Stamp | None:
        """Return the stored mark's stamp, ``None`` if nothing is stored of the view; raise as `claim` does."""
        stored, nobody = self._online.get_many([self._keys.row(HISTORY_KEY), self._keys.row(NOBODY)])
        if stored is None:
            if nobody is not None:
                raise self._another("it does not say of which history its rows are")
            return None
        if refusal(stored, HISTORY, bytes.fromhex(self._view.row_digest[:16]), self._online.name) is not None:
            raise self._another("what it says of the history of its rows is damaged")
        stamp = unpack_stamp(stored[STAMP])
        self._compare(stamp.sequence, stored[HEAD_BYTES:-TAIL_BYTES].hex())
        return stamp

    def _compare(self, sequence: int, digest: str) -> None:
        source = self._view.source
        last = self._offline.latest_sequence(source)
        if sequence > last:
            raise self._another(
                f"it holds rows up to commit {sequence} of source {source.name!r}, which has {last} here"
            )
        if self._offline.snapshot_digest(source, sequence) != digest:
            raise self._another(f"its rows are of another history: commit {sequence} of source {source.name!r} differs")

    def _mark(self, stamp: Stamp) -> bytes:
        body = bytes.fromhex(self._offline.snapshot_digest(self._view.source, stamp.sequence))
        length = HEAD_BYTES + len(body) + TAIL_BYTES
        return seal(head(HISTORY, 0, length, bytes.fromhex(self._view.row_digest[:16]), stamp) + body)

    def _another(self, what: str) -> AnotherHistory:
        return AnotherHistory(
            what,
            where=f"feature view {self._view.name!r} in the online store {self._online.name}",
            mend="bring back the history it was materialised from, give this project an online store of its own, or "
            f"replace what is stored: `unskew materialise {self._view.name} --rebuild`",
        )
