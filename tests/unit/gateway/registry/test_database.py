import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.errors import RegistryError
from gateway.registry.database import FORMAT, Database

ENTRY = {
    "seq": 1,
    "model": "'m'",
    "kind": "'k'",
    "actor": "'a'",
    "reason": "''",
    "at_us": 1,
    "before": "'null'",
    "after": "'null'",
    "detail": "'null'",
    "previous_hash": "'p'",
    "hash": "'h'",
}
ENTRY_SQL = f"INTO history ({', '.join(ENTRY)}) VALUES ({', '.join(map(str, ENTRY.values()))})"
RECORD_SQL = "INTO records (model, version, record_hash, content_digest, description) VALUES ('m', 1, 'h', 'c', '{}')"


@pytest.fixture
def raw(tmp_path: Path):
    """The back door: the file, past everything of ours but its triggers."""
    with_tables = Database(f"sqlite:{tmp_path}/registry.db")
    with_tables.close()
    connection = sqlite3.connect(with_tables.path, isolation_level=None)
    connection.execute(f"INSERT {ENTRY_SQL}")
    connection.execute(f"INSERT {RECORD_SQL}")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE history SET actor = 'x'",
        "DELETE FROM history",
        f"INSERT OR REPLACE {ENTRY_SQL}",
        "UPDATE records SET description = 'x'",
        "DELETE FROM records",
        f"INSERT OR REPLACE {RECORD_SQL}",
        f"INSERT OR REPLACE {RECORD_SQL.replace(', 1,', ', 2,')}",
        "UPDATE OR REPLACE records SET version = 9",
    ],
)
def test_both_tables_are_append_only_even_through_the_back_door(raw, statement):
    before = raw.execute("SELECT * FROM history UNION ALL SELECT *, 0, 0, 0, 0, 0, 0 FROM records").fetchall()
    with pytest.raises(sqlite3.IntegrityError, match="is append-only"):
        raw.execute(statement)
    assert raw.execute("SELECT * FROM history UNION ALL SELECT *, 0, 0, 0, 0, 0, 0 FROM records").fetchall() == before


def test_the_log_is_written_ahead_and_synced_in_full(tmp_path: Path):
    opened = Database(f"sqlite:{tmp_path}/registry.db")
    with opened.reading() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2
    opened.close()


def test_a_failed_writing_is_undone(tmp_path: Path):
    opened = Database(f"sqlite:{tmp_path}/registry.db")

    def add_and_fail() -> None:
        with opened.writing() as connection:
            connection.execute(text(f"INSERT {ENTRY_SQL}"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()
    with opened.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM history")).scalar_one() == 0
    opened.close()


def test_a_reader_sees_one_state_and_does_not_wait_for_a_writer(tmp_path: Path):
    opened = Database(f"sqlite:{tmp_path}/registry.db")
    with opened.reading() as reader:
        count = text("SELECT count(*) FROM history")
        assert reader.execute(count).scalar_one() == 0
        with opened.writing() as writer:
            writer.execute(text(f"INSERT {ENTRY_SQL}"))
            assert reader.execute(count).scalar_one() == 0
        assert reader.execute(count).scalar_one() == 0
    with opened.reading() as reader:
        assert reader.execute(count).scalar_one() == 1
    opened.close()


def test_writers_take_turns(tmp_path: Path):
    opened = Database(f"sqlite:{tmp_path}/registry.db")

    def add(times: int) -> None:
        for _ in range(times):
            with opened.writing() as connection:
                last = connection.execute(text("SELECT coalesce(max(seq), 0) FROM history")).scalar_one()
                connection.execute(text(f"INSERT {ENTRY_SQL.replace('(1,', f'({last + 1},')}"))

    threads = [threading.Thread(target=add, args=(20,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with opened.reading() as connection:
        assert connection.execute(text("SELECT count(*), max(seq) FROM history")).one() == (80, 80)
    opened.close()


def test_many_may_make_the_same_database_at_once(tmp_path: Path):
    made: list[Database] = []
    threads = [
        threading.Thread(target=lambda: made.append(Database(f"sqlite:{tmp_path}/registry.db"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    for each in made:
        each.close()


@pytest.mark.parametrize("url", ["", "registry.db", "postgresql://host/db", "sqlite:", "sqlite://registry.db"])
def test_another_url_is_refused_with_what_to_write(url):
    with pytest.raises(RegistryError, match=r"\[registry\] url: no registry can be opened at .*write \"sqlite:"):
        Database(url)


@pytest.mark.parametrize("url", ["sqlite:{}/r.db", "sqlite://{}/r.db"])
def test_absolute_paths(tmp_path: Path, url):
    opened = Database(url.format(tmp_path))
    assert opened.path == tmp_path / "r.db"
    opened.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path):
    path = tmp_path / "registry.db"
    path.write_bytes(b"not a database, but as long as a page header has to be" * 10)
    with pytest.raises(RegistryError, match=rf"{path}: the registry's database failed: file is not a database"):
        Database(f"sqlite:{path}")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RegistryError, match="the registry cannot be opened"):
        Database(f"sqlite:{tmp_path}/file/registry.db")


def test_a_registry_of_a_newer_unskew_is_left_alone(tmp_path: Path, raw):
    raw.execute(f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(RegistryError, match=r"has format 2; this unskew knows 1 \(upgrade unskew\)"):
        Database(f"sqlite:{tmp_path}/registry.db")


@pytest.mark.parametrize("folder", ["what?", "a%20b", "it's", "x#y", "q?mode=memory"])
def test_a_path_is_a_name_and_nothing_else(folder: str, tmp_path: Path):
    Database(f"sqlite:{tmp_path}/{folder}/registry.db").close()
    assert [found.relative_to(tmp_path).as_posix() for found in tmp_path.rglob("registry.db")] == [
        f"{folder}/registry.db"
    ]
    assert [found.name for found in tmp_path.iterdir()] == [folder]
