"""Lines of JSON, an event on each: one that is not JSON is a refused row, and the others are read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from featurestore.ingestion.accept import RefusedRow


@dataclass(slots=True)
class EventLines:
    """What lines hold.

    Attributes
    ----------
    rows
        Those that are JSON, in order.
    numbers
        The number of each.
    unreadable
        The others.
    """

    rows: list[Any] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    unreadable: list[RefusedRow] = field(default_factory=list)


def read_lines(numbered: Iterable[tuple[int, bytes]]) -> EventLines:
    """Read lines by their numbers; none of them is blank."""
    found = EventLines()
    for number, line in numbered:
        try:
            found.rows.append(orjson.loads(line))
            found.numbers.append(number)
        except orjson.JSONDecodeError as error:
            found.unreadable.append(_not_json(number, line, error))
    return found


def _not_json(number: int, line: bytes, error: orjson.JSONDecodeError) -> RefusedRow:
    return RefusedRow(
        number,
        "",
        f"the line is not JSON: {error.msg}: column {error.colno}",
        "write each event as one JSON object on a line of its own, in UTF-8",
        line.rstrip(b"\r\n").decode("utf-8", errors="backslashreplace"),
    )
