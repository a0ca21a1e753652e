"""One thing that `unskew doctor` looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "fail"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ``note`` is well but worth knowing, ``fail`` stops some command from working."""

    name: str
    state: State
    detail: str
    mend: str | None = None
