"""Correct dead letters, and send them again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from featurestore.definitions.definition import nearest
from featurestore.definitions.source import Source
from featurestore.ingestion.accept import EventForm
from unskew.errors import CommandRefused

if TYPE_CHECKING:
    from featurestore.ingestion.dead_letter import DeadLetter, DeadLetters
    from featurestore.ingestion.event_writer import EventWriter
    from unskew.project.project import Project

SENDABLE = ("refused", "failed")
"""Kinds whose rows are in no commit."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of dead letters that were sent again.

    Attributes
    ----------
    sent
        How many are in the stream, and no dead letters any more.
    refused
        ``id``, ``pointer``, ``reason`` and ``mend`` of those that still do not fit.
    left_out
        How many were committed already, so late that online values may lack them.
    """

    sent: int
    refused: list[dict[str, str]]
    left_out: int


def with_values(source: Source, row: object, given: Sequence[str]) -> object:
    """Return a row with some of its values set.

    Parameters
    ----------
    given
        ``COLUMN=VALUE`` each; the value is JSON, or text if it is none, and always text for a column of texts unless it
        is ``null``.
    """
    if not isinstance(row, dict):
        raise CommandRefused("the row is not an object, so no column of it can be set", mend="use --edit")
    changed = dict(row)
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in source.schema:
            raise CommandRefused(
                f"{text!r} sets no column of source {source.name}", where="--set", mend=nearest(name, source.schema)
            )
        changed[name] = _value(value, source.schema[name].name)
    return changed


def edited(row: object) -> object:
    """Return a row as a person leaves it in their editor."""
    import click

    try:
        text = click.edit(json.dumps(row, indent=2, ensure_ascii=False) + "\n", extension=".json")
    except click.ClickException as error:
        mend = "set EDITOR to one that runs here, or use --set COLUMN=VALUE"
        raise CommandRefused(f"nothing was changed: {error.message}", where="--edit", mend=mend) from None
    if text is None:
        raise CommandRefused("nothing was changed", mend="save the file to change the row")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise CommandRefused(f"what was written is not JSON: {error}", mend="write one JSON object") from None


def still_wrong(source: Source, row: object) -> str:
    """Return what is wrong with a row and its mend; empty if it fits."""
    refused = EventForm(source).read([row]).refused
    return "; ".join(f"{each.pointer or 'the row'}: {each.reason} ({each.mend})" for each in refused)


def replay(project: Project, letters: Sequence[DeadLetter]) -> Replayed:
    """Send rows again, source by source in the order they were kept.

    A row becomes the newest version of its event, whatever came since it was refused. A crash after a row was sent and
    before its letter is gone leaves both: sending it twice in a row changes nothing.
    """
    sendable = [letter for letter in letters if letter.kind in SENDABLE]
    told = Replayed(0, [], len(letters) - len(sendable))
    for source in dict.fromkeys(letter.source for letter in sendable):
        writer = project.event_writer(source)
        of_source = [letter for letter in sendable if letter.source == source]
        for start in range(0, len(of_source), writer.chunk_rows):
            told = _sent(project.dead_letters, writer, of_source[start : start + writer.chunk_rows], told)
    return told


def _sent(dead_letters: DeadLetters, writer: EventWriter, letters: Sequence[DeadLetter], told: Replayed) -> Replayed:
    """Send some letters of one source at once, and remove those that were taken."""
    reading = writer.form.read([letter.row for letter in letters])
    writer.append(reading.payload, reading.rows)
    wrong = {row.position: row for row in reading.refused}
    dead_letters.remove(letter.id for position, letter in enumerate(letters) if position not in wrong)
    refused = [
        {"id": letters[position].id, "pointer": row.pointer, "reason": row.reason, "mend": row.mend}
        for position, row in wrong.items()
    ]
    return Replayed(told.sent + reading.rows, told.refused + refused, told.left_out)


def _value(text: str, kind: str) -> Any:
    if kind in ("string", "timestamp"):
        return None if text == "null" else text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
