"""The demo's folder: its own files are kept current, the user's are left alone."""

import pytest

from gateway.settings import load_settings
from unskew.demo.workspace import open_workspace, with_online_url, write_project
from unskew.errors import DemoFailed
from unskew.project.examples import example_files


def write(folder, online=None):
    return write_project(folder, online, open_workspace(folder))


def test_the_first_run_writes_the_example_and_the_second_nothing(tmp_path):
    written, edited = write(tmp_path / "demo")
    assert set(written) == set(example_files("retail"))
    assert edited == []
    assert write(tmp_path / "demo") == ([], [])


def test_the_online_store_is_the_one_asked_for_each_time(tmp_path):
    for online, url in (("redis://h:1/2", "redis://h:1/2"), (None, f"lmdb:{tmp_path}/demo/.unskew/online")):
        write(tmp_path / "demo", online)
        assert load_settings(tmp_path / "demo").online.url.replace("///", "/") == url


def test_what_the_user_edited_is_left_and_told(tmp_path):
    write(tmp_path / "demo")
    (tmp_path / "demo" / "models.py").write_text("mine = 1\n")
    assert write(tmp_path / "demo") == ([], ["models.py"])
    assert (tmp_path / "demo" / "models.py").read_text() == "mine = 1\n"
    (tmp_path / "demo" / "models.py").unlink()
    assert write(tmp_path / "demo") == (["models.py"], [])


def test_what_an_older_unskew_wrote_is_brought_up_to_date(tmp_path, monkeypatch):
    from unskew.demo import workspace

    now = example_files("retail")
    monkeypatch.setattr(workspace, "example_files", lambda name: {**now, "README.md": b"old"})
    write(tmp_path / "demo")
    monkeypatch.setattr(workspace, "example_files", lambda name: dict(now))
    assert write(tmp_path / "demo") == (["README.md"], [])


@pytest.mark.parametrize("make", [lambda path: path.write_text("x"), lambda path: (path.mkdir(), (path / "x").touch())])
def test_a_folder_of_something_else_is_left_alone(tmp_path, make):
    make(tmp_path / "demo")
    with pytest.raises(DemoFailed, match="not the demo's"):
        write(tmp_path / "demo")


def test_a_url_is_written_as_toml():
    text = with_online_url(b'[online]\nurl = "lmdb:x" # or redis\n[other]\nurl = "kept"\n', 'redis://u:p"\\@h/0')
    import tomllib

    read = tomllib.loads(text.decode())
    assert read == {"online": {"url": 'redis://u:p"\\@h/0'}, "other": {"url": "kept"}}
