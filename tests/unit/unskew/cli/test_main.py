"""The command line as a whole: help, exit codes, how errors are told, and what is loaded when."""

import json
import subprocess
import sys

import pytest

from tests.unit.unskew.conftest import unskew


def commands():
    """Every command as the words that name it."""
    from typer.main import get_command

    from unskew.cli.main import app

    def walk(command, words):
        inner = getattr(command, "commands", None)
        if inner is None:
            yield words
            return
        for name, each in inner.items():
            yield from walk(each, [*words, name])

    return list(walk(get_command(app), []))


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_json_and_help(words):
    told = unskew(*words, "--help")
    assert told.status == 0
    assert "--json" in told.out


def test_help_loads_no_engine():
    code = (
        "import sys; from unskew.cli.main import run; run(['--help']);"
        "heavy = {'duckdb', 'pandas', 'sklearn', 'pyarrow', 'onnxruntime', 'sqlalchemy', 'numpy', 'fastapi'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_serving_loads_neither_the_engine_of_history_nor_what_trains():
    """pandas is not asked for: where it is installed, pyarrow loads it of its own accord."""
    code = (
        "import sys, gateway.app, unskew.cli.serve, unskew.project.project;"
        "print(sorted({'duckdb', 'polars', 'sklearn', 'skl2onnx', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["no-such-command"], "no-such-command"),
        (["trian", "m"], "trian"),
        (["train"], "MODEL"),
        (["train", "m", "--no-such-option"], "--no-such-option"),
        (["import", "--on-bad", "ignore"], "ignore"),
        (["serve", "--port", "seventy"], "--port"),
        (["serve", "--port", "70000"], "--port"),
        (["predictions", "tail", "m", "-n", "0"], "--rows"),
        (["training-set", "build"], "--spine"),
        (["challenge", "m", "--weights", "90%"], "90%"),
        (["features", "s", "--key", "17"], "17"),
        (["rollback", "m"], "--reason"),
    ],
)
def test_a_command_line_that_makes_no_sense_ends_2_and_names_the_help(arguments, what, tmp_path):
    told = unskew(*arguments, "--json")
    assert told.status == 2
    assert told.error()["error"] == "usage"
    assert what in told.error()["what"]
    assert told.error()["mend"].endswith("--help shows what it takes")


def test_an_error_is_told_as_what_where_mend(tmp_path):
    told = unskew("plan", "--project", tmp_path)
    assert (told.status, told.out) == (1, "")
    lines = told.err.splitlines()
    assert [line.split()[0] for line in lines] == ["error", "where", "mend"]
    assert "no unskew.toml" in lines[0]
    assert lines[1].split(maxsplit=1)[1] == "unskew plan"


def test_an_error_as_json_has_a_code(tmp_path):
    assert unskew("plan", "--project", tmp_path, "--json").error()["error"] == "settings-invalid"


def test_a_file_that_the_system_refuses_is_an_error_of_ours(trained):
    told = unskew(
        "training-set", "build", "--model", "next_week_amount", "--spine", trained / "data" / "spine.parquet",
        "--output", "/proc/no/such.parquet", "--project", trained, "--json",
    )  # fmt: skip
    assert told.status == 1
    assert "the operating system refused" in told.error()["what"]


def test_no_command_at_all_shows_the_help():
    told = unskew()
    assert told.status == 2
    assert "Usage" in told.out + told.err


def test_python_m_unskew_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "unskew", "version", "--json"], capture_output=True, text=True, check=True
    )
    assert set(json.loads(done.stdout)) == {"unskew"}


def test_an_error_that_is_no_user_s_is_not_hidden(monkeypatch):
    from unskew.cli import version

    def broken(name):
        raise RuntimeError("a bug")

    monkeypatch.setattr(version, "installed", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        unskew("version")
