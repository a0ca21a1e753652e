import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from gateway.errors import HistoryBroken, RecordRefused
from gateway.registry.history import GENESIS, HistoryHead


@pytest.fixture
def moved(three_versions):
    """A registry with some history: three registrations, then three moves."""
    three_versions.promote("spend", 1, actor="ann")
    three_versions.challenge("spend", 2, weights=(9, 1), actor="ben", reason="trial")
    three_versions.promote("spend", 3, actor="ann")
    return three_versions


@pytest.fixture
def back_door(tmp_path: Path, moved):
    """Change the file past the triggers, as somebody with the file could."""

    def run(statement: str) -> None:
        connection = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute(statement)
        connection.close()

    return run


def test_an_untouched_history_verifies(moved):
    assert moved.verify() == HistoryHead(6, moved.history()[-1].hash)
    assert moved.head() == 6


def test_an_empty_history_verifies(registry):
    assert registry.verify() == HistoryHead(0, GENESIS)
    assert registry.head() == 0


def test_the_hashes_are_what_an_outsider_computes(moved):
    """Recomputed with nothing of ours but the field names."""
    previous = "0" * 64
    for entry in moved.history():
        fields = {name: value for name, value in entry.describe().items() if name not in ("hash", "previous_hash")} | {
            "previous_hash": previous
        }
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256(text.encode()).hexdigest()
        assert entry.hash == previous


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE history SET actor = 'eve' WHERE seq = 5", "entry 5: its content does not have its hash"),
        ("UPDATE history SET reason = '' WHERE seq = 5", "entry 5: its content"),
        ("UPDATE history SET at_us = at_us - 1 WHERE seq = 4", "entry 4: its content"),
        ("""UPDATE history SET detail = replace(detail, 'false', 'true') WHERE seq = 4""", "entry 4: its content"),
        ("""UPDATE history SET after = replace(after, '"version":1', '"version":3') WHERE seq = 4""", "entry 4"),
        ("DELETE FROM history WHERE seq = 5", "entry 6: entry 5 is missing"),
        ("DELETE FROM history WHERE seq = 1", "entry 2: entry 1 is missing"),
        ("UPDATE history SET hash = replace(hash, substr(hash, 1, 1), 'x') WHERE seq = 6", "entry 6: its content"),
        ("DELETE FROM records WHERE version = 2", "entry 2: version 2 of model spend is not what was registered"),
    ],
)
def test_every_alteration_is_found_and_placed(moved, back_door, statement, message):
    back_door(statement)
    with pytest.raises(HistoryBroken, match=message):
        moved.verify()


def test_a_rehashed_entry_breaks_the_next(moved, back_door):
    entry = moved.history()[4]
    forged = {"actor": "eve"} | {k: v for k, v in entry.describe().items() if k not in ("hash", "actor")}
    text = json.dumps(forged, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    back_door(f"UPDATE history SET actor = 'eve', hash = '{hashlib.sha256(text.encode()).hexdigest()}' WHERE seq = 5")
    with pytest.raises(HistoryBroken, match="entry 6: it does not continue the entry before it"):
        moved.verify()


def test_a_cut_end_shows_against_an_end_kept_elsewhere(moved, back_door):
    kept = moved.verify()
    back_door("DELETE FROM history WHERE seq = 6")
    assert moved.verify() != kept


def test_an_altered_record_is_found_at_every_read(moved, back_door):
    back_door("UPDATE records SET description = replace(description, '0.81', '0.99') WHERE version = 2")
    for read in (
        lambda: moved.get("spend", 2),
        lambda: moved.versions("spend"),
        lambda: moved.promote("spend", 2, actor="eve"),
        moved.verify,
    ):
        with pytest.raises(HistoryBroken, match="model spend, version 2: the record is not the one"):
            read()


def test_a_record_that_nobody_registered_is_found(moved, back_door, make_record):
    smuggled = make_record(version=4, owner="eve")
    text = json.dumps(smuggled.describe(), sort_keys=True, separators=(",", ":"))
    back_door(
        f"INSERT INTO records VALUES ('spend', 4, '{smuggled.record_hash}', '{smuggled.content_digest}', '{text}')"
    )
    with pytest.raises(HistoryBroken, match="version 4 of model spend was never registered"):
        moved.verify()


def test_no_owner_no_promotion_even_through_the_back_door(moved, back_door):
    back_door("UPDATE records SET description = replace(description, 'team@example.org', ' ') WHERE version = 2")
    with pytest.raises(RecordRefused, match="no owner is named"):
        moved.promote("spend", 2, actor="eve", override=True, reason="quick")


def test_a_route_that_was_rewritten_is_not_given_out(moved, back_door):
    back_door("""UPDATE history SET after = replace(after, '"version":3', '"version":2') WHERE seq = 6""")
    with pytest.raises(HistoryBroken, match="entry 6: its content does not have its hash"):
        moved.route("spend")
    with pytest.raises(HistoryBroken):
        moved.promote("spend", 1, actor="ann")
