"""Settings and command lines that make no sense: each is refused with thing, place and mend, and nothing is written."""

import contextlib
import shutil
from pathlib import Path

import pytest

from tests.e2e.malformed.command_cases import COMMANDS, BadCommand
from tests.e2e.malformed.shop import Shop, command
from tests.e2e.malformed.told import check, error_of, refused


@pytest.mark.parametrize("bad", COMMANDS, ids=lambda bad: bad.name.replace(" ", "-"))
def test_commands(served: Shop, monkeypatch: pytest.MonkeyPatch, bad: BadCommand) -> None:
    assert served.client is not None
    port = str(served.client.base_url.port)
    for name, value in bad.environment.items():
        monkeypatch.setenv(name, value)
    with contextlib.ExitStack() as files:
        for name, text in bad.files.items():
            files.enter_context(served.mistyped(name, text))
        arguments = bad.arguments.replace("{port}", port).split()
        refused(served, *arguments, thing=bad.thing.replace("{port}", port), place=bad.place, mend=bad.mend)


def test_no_project(tmp_path: Path) -> None:
    error = error_of(command("plan", "--json", "--project", str(tmp_path)))
    check(error, "no unskew.toml", "unskew plan", "unskew init")


def test_a_project_that_is_not_there(tmp_path: Path) -> None:
    error = error_of(command("plan", "--json", "--project", str(tmp_path / "shpo")))
    check(error, "no unskew.toml", "unskew plan", "unskew init")


def test_init_where_something_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    error = error_of(command("init", str(tmp_path), "--json"))
    check(error, "is not empty", "unskew init", "does not exist yet")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_init_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    error = error_of(command("init", str(tmp_path / "notes.txt"), "--json"))
    check(error, "is a file", "unskew init", "does not exist yet")


def test_import_before_apply(tmp_path: Path) -> None:
    command("init", str(tmp_path / "new"), "--json")
    error = error_of(command("import", "--json", "--project", str(tmp_path / "new")))
    check(error, "applied", "", "unskew apply")
    assert not (tmp_path / "new" / ".unskew").exists()


@pytest.mark.parametrize(
    ("kept", "arguments", "place"),
    [
        ("training-sets/records/*.json", "training-set list", ".json"),
        ("training-sets/records/*.json", "train spend", ".json"),
        ("training-sets/spines/*", "train spend", "training-sets/spines/"),
        ("offline/sources/orders/commits/*.json", "import orders", "commits/000001.json"),
        ("offline/sources/orders/data/*/*.parquet", "train spend", "orders"),
        ("catalog/*.json", "import", "catalog/000001-"),
        ("registry.db", "models list", "registry.db"),
        ("online/data.mdb", "features strict_inputs --key customer_id=1 --input items=1", ".unskew/online"),
    ],
)
def test_a_state_that_was_written_over(shop: Shop, tmp_path: Path, kept: str, arguments: str, place: str) -> None:
    copied = Shop(Path(shutil.copytree(shop.folder, tmp_path / "shop")))
    damaged = sorted((copied.folder / ".unskew").glob(kept))
    assert damaged
    for path in damaged:
        path.write_bytes(b"{ not what it was" * 400)
    refused(copied, *arguments.split(), thing="", place=place, mend="")
