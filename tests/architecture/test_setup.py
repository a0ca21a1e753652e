"""Set-up says what it needs before it touches anything."""

import shutil
import subprocess

import pytest

from tests.architecture.linting import REPOSITORY

NEEDED = ("bash", "cat", "cksum", "dirname")


@pytest.fixture
def checkout(tmp_path):
    """A directory with the set-up script, and a PATH of the programs it may count on."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(REPOSITORY / "scripts" / "setup.sh", tmp_path / "scripts")
    (tmp_path / "bin").mkdir()
    for program in NEEDED:
        (tmp_path / "bin" / program).symlink_to(shutil.which(program))
    return tmp_path


def run_setup(checkout, **environment):
    environment = {"PATH": str(checkout / "bin"), "HOME": str(checkout)} | environment
    command = [checkout / "bin" / "bash", "scripts/setup.sh"]
    return subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def fake_python(checkout, name, script):
    path = checkout / "bin" / name
    path.write_text(f"#!{checkout}/bin/bash\n{script}\n")
    path.chmod(0o755)


def test_without_python_it_says_what_to_install(checkout):
    finished = run_setup(checkout)
    assert finished.returncode == 1
    assert "Python 3.11 or newer is needed" in finished.stderr
    assert "make setup PYTHON=" in finished.stderr
    assert not (checkout / ".venv").exists()


def test_an_old_python_is_named_with_its_version(checkout):
    fake_python(checkout, "python3", 'case "$2" in *sys.exit*) exit 1;; *) echo 3.9.18;; esac')
    finished = run_setup(checkout)
    assert finished.returncode == 1
    assert "python3 here is 3.9.18" in finished.stderr


def test_a_shim_that_fails_is_passed_over(checkout):
    fake_python(checkout, "python3", "echo 'pyenv: python3: command not found' >&2; exit 127")
    fake_python(checkout, "python3.12", 'case "$1$2" in *sys.exit*) exit 0;; -c*) echo 3.12.1;; *) exit 9;; esac')
    finished = run_setup(checkout)
    assert finished.returncode == 9  # from making the environment, which the fake cannot
    assert "making .venv with Python 3.12.1" in finished.stderr


def test_an_interpreter_that_was_asked_for_is_not_replaced_by_another(checkout):
    fake_python(checkout, "python3.12", "exit 0")
    finished = run_setup(checkout, PYTHON="/nowhere/python3.13")
    assert finished.returncode == 1
    assert finished.stderr.count("PYTHON=/nowhere/python3.13 is not a working Python 3.11 or newer") == 1


def test_constraints_have_hashes_and_name_no_host():
    text = (REPOSITORY / "constraints.txt").read_text()
    requirements = [line for line in text.splitlines() if line[:1].isalnum()]
    assert requirements
    assert all("==" in line and line.endswith("\\") for line in requirements)
    assert "://" not in text
