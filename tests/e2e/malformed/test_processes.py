"""Some of each kind of mistake again, as a user makes them: in a process of its own, told to a person."""

from pathlib import Path

import pytest

from tests.e2e.malformed import command_cases, definition_cases, file_cases, spine_cases
from tests.e2e.malformed.command_cases import BadCommand
from tests.e2e.malformed.definition_cases import Mistake
from tests.e2e.malformed.file_cases import BadFile
from tests.e2e.malformed.shop import BODY, HEAD, Shop, process
from tests.e2e.malformed.spine_cases import BadSpine

SETTINGS, LINES = command_cases.SETTINGS, command_cases.LINES
MISTAKES = [
    definition_cases.PYTHON[0],
    *definition_cases.VIEWS[:4],
    definition_cases.REQUEST_FEATURES[0],
    definition_cases.SETS[1],
]
FILES = [file_cases.CSV[0], file_cases.CSV[21], file_cases.CSV[25], *file_cases.PARQUET[23:26]]
SPINES = [*spine_cases.SPINES[:2], *spine_cases.SPINES[11:13]]
COMMANDS = [*SETTINGS[:2], SETTINGS[14], SETTINGS[-1], *LINES[6:8]]

pytestmark = pytest.mark.e2e


def refused(shop: Shop, *arguments: str, thing: str, place: str, mend: str, **environment: str) -> None:
    before = shop.state()
    told = process(*arguments, "--project", str(shop.folder), **environment)
    assert (told.status, told.out) == (1, ""), told
    lines = told.err.strip().splitlines()
    assert lines[0].startswith("error ")
    assert lines[-2].startswith("  where ")
    assert lines[-1].startswith("  mend  ")
    assert thing in "\n".join(lines[:-2]), told.err
    assert place in lines[-2], told.err
    assert mend in lines[-1], told.err
    assert "Traceback" not in told.err
    assert shop.state() == before, "something was written"


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name.replace(" ", "-"))
def test_definitions(shop: Shop, mistake: Mistake) -> None:
    with shop.mistyped("features.py", HEAD + BODY + mistake.text + "\n") as path:
        refused(shop, "apply", thing=mistake.thing, place=f"{path}:", mend=mistake.mend)


@pytest.mark.parametrize("bad", FILES, ids=lambda bad: bad.name.replace(" ", "-"))
def test_files(shop: Shop, tmp_path: Path, bad: BadFile) -> None:
    path = str(bad.make(tmp_path))
    refused(shop, "import", bad.source, path, thing=bad.thing, place=bad.place, mend=bad.mend)


@pytest.mark.parametrize("bad", SPINES, ids=lambda bad: bad.name.replace(" ", "-"))
def test_spines(shop: Shop, tmp_path: Path, bad: BadSpine) -> None:
    command = ("training-set", "build", "--spine", str(bad.make(tmp_path)), *bad.arguments)
    refused(shop, *command, thing=bad.thing, place=bad.place, mend=bad.mend)


@pytest.mark.parametrize("bad", COMMANDS, ids=lambda bad: bad.name.replace(" ", "-"))
def test_commands(served: Shop, bad: BadCommand) -> None:
    assert served.client is not None
    port = str(served.client.base_url.port)
    arguments, thing = (text.replace("{port}", port) for text in (bad.arguments, bad.thing))
    name, text = next(iter(bad.files.items()), ("features.py", HEAD + BODY))
    with served.mistyped(name, text):
        refused(served, *arguments.split(), thing=thing, place=bad.place, mend=bad.mend, **bad.environment)
