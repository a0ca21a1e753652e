"""The root of every error unskew raises on purpose.

::

    UnskewError                      what, where, mend
    ├── ClockError                   a clock, instant or duration that cannot be read
    ├── DefinitionError              a definition that does not hold together
    ├── CatalogError                 a definition set that cannot be loaded, planned or applied
    ├── OfflineStoreError            history: files, snapshots
    │   ├── ImportRefused            a file or row that was not taken in
    │   └── SpineError               a spine that cannot be joined
    ├── OnlineStoreError             current values: URL, connection, row format
    ├── MaterialisationError         a run that cannot start or go on
    ├── IngestionError               events that cannot be taken in, or committed
    ├── SemanticsError               a value that no type, window or model input can hold
    ├── GatewayError                 (gateway.errors) requests, routes, registry, prediction log
    └── LifecycleError               (lifecycle.errors) training and the gate

Each leaf has a stable ``code``; ``docs/errors.md`` lists them all and a test holds it to the code.
"""

from __future__ import annotations

from typing import ClassVar


class UnskewError(Exception):
    """Say what is wrong, where, and how to mend it.

    Parameters
    ----------
    what
        One sentence naming the offending thing and the offending value.
    where
        The place: a file and row, an object, a request field. ``None`` if ``what`` says it.
    mend
        One imperative sentence: what the reader can do now.
    """

    code: ClassVar[str] = "unskew-error"

    def __init__(self, what: str, *, where: str | None = None, mend: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        mend = f" ({self.mend})" if self.mend else ""
        return f"{place}{self.what}{mend}"


class ClockError(UnskewError):
    """A clock specification, an instant or a duration cannot be read."""

    code = "clock-invalid"


class SemanticsError(UnskewError):
    """A value does not fit its type, or a state its aggregate."""

    code = "value-invalid"


class DefinitionError(UnskewError):
    """A definition does not hold together."""

    code = "definition-invalid"


class CatalogError(UnskewError):
    """A definition set cannot be loaded, planned or applied."""

    code = "catalog-invalid"


class OfflineStoreError(UnskewError):
    """History cannot be read or written."""

    code = "offline-store"


class ImportRefused(OfflineStoreError):
    """A file or some of its rows were not taken in; nothing of it was written."""

    code = "import-refused"


class SpineError(OfflineStoreError):
    """A spine cannot be joined."""

    code = "spine-invalid"


class OnlineStoreError(UnskewError):
    """Current values cannot be read or written."""

    code = "online-store"


class MaterialisationError(UnskewError):
    """A materialisation run cannot start or go on."""

    code = "materialisation"


class IngestionError(UnskewError):
    """Events cannot be taken in, kept or committed."""

    code = "ingestion"
