"""What can go wrong with current values.

::

    OnlineStoreError                 (foundation.errors)
    ├── OnlineUrlError               a URL that names no online store
    ├── OnlineStoreUnavailable       the store cannot be reached, or refused an operation
    ├── EntityKeyError               an entity key that cannot be looked up
    ├── RowFormatError               stored bytes that are not a whole row or log of the view
    ├── NotMaterialised              a view of which the store holds nothing
    └── ReadBeforeRow                a read at an instant before the one the stored row is for
"""

from __future__ import annotations

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
            mend=f"read at a later instant; after a run by a wrong clock: `unskew materialise {view} --rebuild`",
        )
        self.valid_from_us = valid_from_us
