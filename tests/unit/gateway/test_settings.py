import os

import pytest

from featurestore.foundation.clock import DAY, FixedClock, SharedClock, SystemClock
from gateway.errors import SettingsError
from gateway.settings import SECTIONS, Settings, load_settings

MINIMAL = '[project]\nname = "shop"\n'


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith("UNSKEW_"):
            monkeypatch.delenv(name)


@pytest.fixture
def load(tmp_path):
    def read(text: str) -> Settings:
        (tmp_path / "unskew.toml").write_text(text)
        return load_settings(tmp_path / "unskew.toml")

    return read


def test_a_name_is_all_a_project_needs(load, tmp_path):
    settings = load(MINIMAL)
    assert settings.project.name == "shop"
    assert settings.root == tmp_path
    assert isinstance(settings.open_clock(), SystemClock)


def test_places_are_resolved_against_the_folder_of_the_file(load, tmp_path):
    settings = load(MINIMAL + '[offline]\npath = "/elsewhere"\n')
    assert settings.offline.path.as_posix() == "/elsewhere"
    assert settings.project.definitions == tmp_path / "features.py"
    assert settings.project.state == tmp_path / ".unskew"
    assert settings.registry.artifacts == tmp_path / ".unskew/artifacts"
    assert settings.predictions.path == tmp_path / ".unskew/predictions"
    assert settings.ingestion.stream == tmp_path / ".unskew/stream"
    assert settings.ingestion.dead_letters == tmp_path / ".unskew/dead-letters"
    assert settings.online.url == f"lmdb://{tmp_path}/.unskew/online"
    assert settings.registry.url == f"sqlite:{tmp_path}/.unskew/registry.db"


@pytest.mark.parametrize("url", ["redis://host:6379/1", "memory://", "lmdb:///var/online"])
def test_absolute_urls_stay_as_they_are(load, url):
    assert load(f'{MINIMAL}[online]\nurl = "{url}"\n').online.url == url


def test_the_environment_wins_over_the_file(load, monkeypatch):
    monkeypatch.setenv("UNSKEW_GATEWAY__PORT", "7")
    monkeypatch.setenv("UNSKEW_REDIS_SERVER", "not a setting: it has no section")
    settings = load(MINIMAL + "[gateway]\nport = 9\nbatch_limit_rows = 5\n")
    assert (settings.gateway.port, settings.gateway.batch_limit_rows) == (7, 5)


def test_the_file_is_looked_for_upwards(tmp_path, monkeypatch):
    (tmp_path / "unskew.toml").write_text(MINIMAL)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert load_settings().file == tmp_path / "unskew.toml"
    assert load_settings(tmp_path).project.name == "shop"


def test_a_shared_clock_is_a_file_of_the_project(load, tmp_path):
    SharedClock(tmp_path / "run" / "clock").set(17)
    assert load(MINIMAL + '[clock]\nnow = "shared:run/clock"\n').open_clock().now_us() == 17
    assert load(f'{MINIMAL}[clock]\nnow = "shared:{tmp_path}/run/clock"\n').open_clock().now_us() == 17


def test_lateness_is_a_duration(load):
    assert load(MINIMAL).ingestion.lateness_us == 7 * DAY
    assert load(MINIMAL + '[ingestion]\nlateness = "1d12h"\n').ingestion.lateness_us == 36 * DAY // 24


def test_the_clock_is_the_one_it_names(load):
    clock = load(MINIMAL + '[clock]\nnow = "fixed:2017-12-31T00:00:00Z"\n').open_clock()
    assert isinstance(clock, FixedClock)


@pytest.mark.parametrize(
    ("text", "what", "mend"),
    [
        ("", "[project] name is missing", 'add [project] name = "..."'),
        ("[project]\n", "[project] name is missing", 'add [project] name = "..."'),
        ('[project]\nname = ""\n', "[project] name = ''", "the project's name"),
        ("[project\n", "it is not TOML", "mend that line"),
        ("port = 1\n" + MINIMAL, "section [port] is unknown", "use one of"),
        ("gateway = 1\n" + MINIMAL, "gateway = 1 is not a section", "write [gateway]"),
        (MINIMAL + "[gatway]\nport = 1\n", "section [gatway] is unknown", "did you mean 'gateway'?"),
        (MINIMAL + "[gateway]\nprot = 1\n", "[gateway] prot is unknown", "did you mean 'port'?"),
        (MINIMAL + '[gateway]\nport = "no"\n', "[gateway] port = 'no'", "port is TCP port"),
        (MINIMAL + "[gateway]\nport = true\n", "[gateway] port = True: a whole number is wanted", "port is"),
        (MINIMAL + "[gateway]\nport = 70000\n", "[gateway] port = 70000", "port is"),
        (MINIMAL + "[gateway]\nhost = 3\n", "[gateway] host = 3", "host is address"),
        (MINIMAL + '[gateway]\non_store_error = "x"\n', "[gateway] on_store_error = 'x'", "`degrade`"),
        (MINIMAL + "[gateway]\nbody_limit_bytes = 0\n", "body_limit_bytes = 0", "in bytes"),
        (MINIMAL + "[offline]\nthreads = 1.5\n", "[offline] threads = 1.5", "threads"),
        (MINIMAL + "[offline]\npath = 5\n", "[offline] path = 5", "folder"),
        (MINIMAL + '[ingestion]\nlateness = "soon"\n', "[ingestion] lateness = 'soon'", "how long after"),
        (MINIMAL + "[ingestion]\nlease_ttl_s = 0\n", "[ingestion] lease_ttl_s = 0", "takes over"),
        (MINIMAL + "[ingestion]\nhistory_interval_s = true\n", "history_interval_s = True", "written to history"),
        (MINIMAL + '[ingestion]\nprogram = "mine"\n', "[ingestion] program = 'mine'", "unskew stream run"),
        (MINIMAL + '[clock]\nnow = "shared:gone"\n', "/gone'", "start the program that sets it first"),
        (MINIMAL + '[clock]\nnow = "noon"\n', "[clock] now = 'noon'", 'write "system"'),
        (MINIMAL + '[clock]\nnow = "fixed:2017"\n', "[clock] now = 'fixed:2017'", "2017-12-31T00:00:00Z"),
    ],
)
def test_what_does_not_fit_is_refused_naming_file_key_value_and_mend(load, tmp_path, text, what, mend):
    with pytest.raises(SettingsError) as caught:
        load(text)
    assert what in caught.value.what
    assert mend in (caught.value.mend or "")
    assert caught.value.where == str(tmp_path / "unskew.toml")
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "what", "mend"),
    [
        ("UNSKEW_GATEWAY__PROT", "1", "UNSKEW_GATEWAY__PROT", "did you mean 'port'?"),
        ("UNSKEW_GATWAY__PORT", "1", "UNSKEW_GATWAY__PORT", "did you mean 'gateway'?"),
        ("UNSKEW_GATEWAY__PORT", "x", "[gateway] port = 'x'", "port is TCP port"),
        ("UNSKEW_PROJECT", "x", "UNSKEW_PROJECT would set a whole section", "UNSKEW_PROJECT__NAME="),
    ],
)
def test_a_variable_that_does_not_fit_is_refused_by_name(load, monkeypatch, name, value, what, mend):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load(MINIMAL)
    assert what in caught.value.what
    assert mend in (caught.value.mend or "")
    assert "environment" in (caught.value.where or "")


def test_no_file_says_how_to_make_one(tmp_path):
    with pytest.raises(SettingsError, match=r"no unskew\.toml in .* \(make a project with `unskew init DIR`"):
        load_settings(tmp_path)


def test_every_key_says_what_it_means():
    for section in SECTIONS.values():
        assert all(field.description for field in section.model_fields.values())
    assert set(SECTIONS) == set(Settings.model_fields) - {"file"}
