"""What every error must be: one JSON object, or the same three lines for a person, and nothing else."""

import json
from typing import Any

from tests.e2e.malformed.shop import Shop, Told


def error_of(told: Told) -> dict[str, Any]:
    """Return a command's error as its ``--json`` shows it, once it is certain that it showed nothing else."""
    assert told.status in (1, 2), told
    assert told.out == "", told
    assert told.err.count("\n") == 1, told.err
    error: dict[str, Any] = json.loads(told.err)
    assert set(error) == {"error", "what", "where", "mend"}, error
    return error


def check(error: dict[str, Any], thing: str, place: str, mend: str) -> None:
    """Hold an error to naming the thing, the place and a mend."""
    assert error["error"], error
    assert thing in (error["what"] or ""), error
    assert error["where"], error
    assert place in error["where"], error
    assert error["mend"], error
    assert mend in error["mend"], error
    assert "Traceback" not in str(error)


def refused(shop: Shop, *arguments: str, thing: str, place: str, mend: str) -> dict[str, Any]:
    """Run a command that must be refused, and must leave the project's state as it was."""
    before = shop.state()
    error = error_of(shop.run(*arguments))
    check(error, thing, place, mend)
    assert shop.state() == before, "something was written"
    return error
