"""The starter project, brought by its commands to where it could be served; copied for tests that change it."""

import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from unskew.cli.main import run

MODEL = "next_week_amount"
SERVICE = "next_week_amount_inputs"


@dataclass
class Told:
    """What a command printed, and how it ended."""

    status: int
    out: str
    err: str

    def json(self):
        assert self.status == 0, self
        assert self.err == ""
        return json.loads(self.out)

    def error(self):
        assert self.status != 0, self
        assert self.out == ""
        told = json.loads(self.err)
        assert set(told) == {"error", "what", "where", "mend"}
        assert told["mend"]
        return told


def unskew(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = run([str(argument) for argument in arguments])
    return Told(status, out.getvalue(), err.getvalue())


class Starter:
    """A starter project and its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments):
        """Run a command with ``--json``."""
        return unskew(*arguments, "--project", self.folder, "--json")

    def plainly(self, *arguments):
        """Run a command as a person reads it."""
        return unskew(*arguments, "--project", self.folder)

    def edit(self, name, old, new):
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A fresh starter project: nothing applied yet. Nobody changes it."""
    folder = tmp_path_factory.mktemp("starter") / "made"
    assert unskew("init", folder).status == 0
    return folder


@pytest.fixture(scope="session")
def trained(made, tmp_path_factory):
    """A starter project that could be served. Nobody changes it."""
    folder = tmp_path_factory.mktemp("starter") / "trained"
    shutil.copytree(made, folder)
    starter = Starter(folder)
    starter("apply").json()
    starter("import").json()
    starter("training-set", "build", "--model", MODEL, "--spine", folder / "data" / "spine.parquet").json()
    starter("train", MODEL).json()
    starter("promote", MODEL, "--actor", "ann").json()
    starter("materialise").json()
    return folder


@pytest.fixture
def fresh(made, tmp_path):
    """A fresh starter project of one's own."""
    return Starter(Path(shutil.copytree(made, tmp_path / "fresh")))


@pytest.fixture
def ready(trained, tmp_path):
    """A trained starter project of one's own."""
    return Starter(Path(shutil.copytree(trained, tmp_path / "ready")))
