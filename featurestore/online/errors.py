"""What can go wrong with current values.

::

    OnlineStoreError                 (foundation.errors)
    ├── OnlineUrlError               a URL that names no online store
    ├── OnlineStoreUnavailable       the store cannot be reached, or refused an operation
    ├── EntityKeyError               an entity key that cannot be looked up
    ├── RowFormatError               stored bytes that are not a whole row or log of the view
    ├── NotMaterialised              a view of which the store holds nothing
    ├── ReadBeforeRow                a read at an instant before the one the stored row is for
    ├── CommitConflict               a commit that meets other rows than it was made for
    └── OwnershipLost                a commit by an owner of a source that is not its owner any more
"""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.foundation.clock import format_instant
from featurestore.foundation.errors import OnlineStoreError


class OnlineUrlError(OnlineStoreError):
    """A URL names no online store."""

    code = "online-url"


class OnlineStoreUnavailable(OnlineStoreError):
    """The store cannot be reached, did not answer in time, or refused an operation."""

    code = "online-store-unavailable"


class EntityKeyError(OnlineStoreError):
    """An entity key cannot be looked up: wrong type, out of range, not Unicode, or absent from the request."""

    code = "entity-key-invalid"


class RowFormatError(OnlineStoreError):
    """Stored bytes are truncated, corrupt, foreign, of another view, or of a format this version does not read."""

    code = "online-row-format"


class NotMaterialised(OnlineStoreError):
    """A view has no completed materialisation in the store, so that nothing can be said of an absent key."""

    code = "not-materialised"


class ReadBeforeRow(OnlineStoreError):
    """A read asks for an instant before the first one at which the stored row is exact.

    Attributes
    ----------
    valid_from_us
        The earliest instant at which the same read would have succeeded, microseconds UTC.
    """

    code = "read-before-row"

    def __init__(self, view: str, read_us: int, valid_from_us: int) -> None:
        super().__init__(
            f"read at {format_instant(read_us)}, but the stored row is exact from {format_instant(valid_from_us)} on",
            where=f"feature view {view!r}",
            mend="read at a later instant; for `A clock that was ahead` see docs/operations.md",
        )
        self.valid_from_us = valid_from_us


class CommitConflict(OnlineStoreError):
    """A commit meets rows of another stamp than the one it was made for, so it would lose what they hold.

    Attributes
    ----------
    row_keys
        The keys of those rows, all of them where the store goes on after the first.
    """

    code = "commit-conflict"

    def __init__(self, source: str, row_keys: Sequence[bytes], where: str) -> None:
        super().__init__(
            f"{len(row_keys)} rows changed under a commit of source {source!r}, the first is {row_keys[0]!r}",
            where=where,
            mend="read them again and make the commit anew; see that only the ingest program writes views of a stream",
        )
        self.row_keys = row_keys


class OwnershipLost(OnlineStoreError):
    """A source has a newer owner: what the older one writes is refused, so that it can lose nothing of the newer's."""

    code = "ownership-lost"

    def __init__(self, source: str, epoch: int, where: str) -> None:
        super().__init__(
            f"source {source!r} was taken over: epoch {epoch} is not the newest",
            where=where,
            mend="let the newer owner go on; this one acquires the source again when it is free",
        )
