"""What a run was made from: files, commit, versions."""

import subprocess

import pytest

from lifecycle.errors import InputsChanged
from lifecycle.training.run_inputs import code_files, code_state, hash_files, library_versions, refuse_changes


def git(folder, *arguments):
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_outside_a_repository_there_is_no_commit(tmp_path):
    state = code_state(tmp_path)
    assert (state.commit, state.dirty) == (None, False)


def test_a_commit_is_clean_until_a_file_differs(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "models.py").write_text("one")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    clean = code_state(tmp_path)
    assert clean.commit is not None
    assert len(clean.commit) == 40
    assert not clean.dirty
    (tmp_path / "models.py").write_text("two")
    assert code_state(tmp_path).dirty


def test_code_is_every_python_file_but_the_hidden(tmp_path):
    for name in ("features.py", "lib/deep.py", ".venv/no.py", "__pycache__/no.py", "data.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert [str(path.relative_to(tmp_path)) for path in code_files(tmp_path)] == ["features.py", "lib/deep.py"]


def test_changed_vanished_and_new_files_are_all_named(tmp_path):
    paths = [tmp_path / name for name in ("changed", "gone", "new", "same")]
    for path in paths:
        path.write_text("before")
    paths[2].unlink()
    before = hash_files(paths)
    paths[0].write_text("after")
    paths[1].unlink()
    paths[2].write_text("after")
    with pytest.raises(InputsChanged) as caught:
        refuse_changes(before, hash_files(paths), "model m")
    assert [name for name in ("changed", "gone", "new", "same") if str(tmp_path / name) in caught.value.what] == [
        "changed",
        "gone",
        "new",
    ]
    refuse_changes(hash_files(paths), hash_files(paths), "model m")


def test_versions_are_those_installed():
    import onnxruntime

    assert library_versions()["onnxruntime"] == onnxruntime.__version__
