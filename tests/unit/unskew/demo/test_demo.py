"""What the demo tells a person to type."""

import sys
from pathlib import Path

import pytest

from unskew.demo.demo import typed_as


def test_without_a_virtual_environment_the_path_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (programs / "unskew").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    assert typed_as() == ".venv/bin/unskew"
    monkeypatch.chdir(programs.parent.parent / "elsewhere")
    assert typed_as() == str(programs / "unskew")
    monkeypatch.setenv("PATH", str(programs))
    assert typed_as() == "unskew"
