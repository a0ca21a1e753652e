"""What can go wrong at the front doors, beside what the storeys below report.

::

    FrontDoorError
    ├── CommandRefused               a command that makes no sense here and now
    ├── UsageError                   a command line that cannot be read
    ├── ProjectExists                `unskew init` would write over files
    └── DemoFailed                   a step of the demo did not end as it must
"""

from __future__ import annotations

from featurestore.foundation.errors import UnskewError


class FrontDoorError(UnskewError):
    """A command cannot do what it was asked."""

    code = "front-door-error"


class CommandRefused(FrontDoorError):
    """A command makes no sense here and now; nothing was done."""

    code = "command-refused"


class UsageError(FrontDoorError):
    """A command line cannot be read: an unknown command or option, or a value that does not fit."""

    code = "usage"


class ProjectExists(FrontDoorError):
    """`unskew init` would write over files; nothing was written."""

    code = "project-exists"


class DemoFailed(FrontDoorError):
    """A step of the demo did not end as it must."""

    code = "demo-failed"
