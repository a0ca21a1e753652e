"""docs/json-output.md lists the members of each command's object, and they are those it prints."""

import json
import re
from pathlib import Path

import pytest

from tests.unit.unskew.cli.test_main import commands
from tests.unit.unskew.conftest import MODEL, SERVICE, unskew

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[4] / "docs" / "json-output.md"
ROW = re.compile(r"^\| `unskew ([a-z -]+)` \| (.+) \|$", re.MULTILINE)
ELSEWHERE = {"demo", "serve", "stream run", "predictions tail", "predictions find"}
"""Held to the page in tests/e2e, as they need a gateway."""

OF_EVENTS = {"ingest", "stream", "backfill", "dead-letters"}
"""They add to history, after which another training set would fit: they come last."""


def documented():
    return {name: set(re.findall(r"`([a-z_]+)`", members)) for name, members in ROW.findall(PAGE.read_text())}


def test_every_command_is_on_the_page():
    assert set(documented()) == {" ".join(words) for words in commands()}


@pytest.fixture
def arguments(ready, tmp_path):
    digest = ready("training-set", "list").json()["training_sets"][0]["digest"]
    ready.edit("models.py", '{"trees": 40}', '{"trees": 10}')
    ready("train", MODEL).json()
    ready("promote", MODEL, 2).json()
    spine = str(ready.folder / "data" / "spine.parquet")
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    for path, timestamp in ((good, "2024-06-28T10:00:00Z"), (bad, "yesterday")):
        path.write_text(f"order_id,customer_id,timestamp,amount,channel\n1,7,{timestamp},1,app\n")
    letter = json.loads(ready("ingest", "orders", bad).out)["first_rejected"][0]["dead_letter_id"]
    return {
        "ingest": ("orders", good),
        "dead-letters show": (letter,),
        "dead-letters fix": (letter, "--set", "timestamp=2024-06-28T12:00:00Z"),
        "dead-letters replay": ("--all",),
        "dead-letters drop": ("--all",),
        "training-set build": ("--model", MODEL, "--spine", spine),
        "training-set rebuild": (digest,),
        "training-set show": (digest,),
        "train": (MODEL,),
        "models show": (MODEL,),
        "promote": (MODEL,),
        "challenge": (MODEL, "1"),
        "rollback": (MODEL, "--reason", "x"),
        "withdraw": (MODEL,),
        "features": (SERVICE, "--key", "customer_id=7"),
    }


def test_each_object_has_the_members_that_the_page_lists(ready, arguments, tmp_path):
    page = documented()
    order = ["rollback", "promote", "challenge", "withdraw"]
    last = [
        name for name in page if name.split()[0] in OF_EVENTS
    ]  # they add to history: another training set would fit
    for name in [*order, *(name for name in page if name not in [*order, *last]), *last]:
        if name in ELSEWHERE:
            continue
        if name in ("init", "version"):
            told = unskew(name, *([tmp_path / "another"] if name == "init" else []), "--json").json()
        else:
            told = json.loads(ready(*name.split(), *arguments.get(name, ())).out)
        assert set(told) == page[name], name
