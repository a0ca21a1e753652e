from pathlib import Path

import pytest

from featurestore.definitions import Delay, Entity, EventSource, String
from featurestore.definitions.definition import duration_us, nearest
from featurestore.foundation.clock import DAY, HOUR
from tests.unit.featurestore.definitions.retail import EVENTS, assert_refused


def test_equal_meaning_is_equal_whatever_is_said_about_it() -> None:
    plain = EventSource("baskets", **EVENTS)
    told = EventSource("baskets", **{**EVENTS, "path": "elsewhere/", "description": "what was bought"})
    assert plain == told
    assert hash(plain) == hash(told)
    assert plain.digest == told.digest
    assert told.about() == {"path": "elsewhere/", "description": "what was bought"}
    assert plain != EventSource("baskets", **{**EVENTS, "available_at": Delay("1s")})
    assert plain != "baskets"


def test_digest_is_the_same_in_every_process() -> None:
    # sha256 of {"definition":"Entity","dtype":"int64","join_key":"household_id","name":"household"}, by sha256sum
    assert (
        Entity("household", "household_id").digest == "132c71c81b77df9e3028e14cc359c511896d0012e7a156ecc9adf28988b249f3"
    )


def test_site_is_the_line_of_construction() -> None:
    made = Entity("household", "household_id")
    assert made.site is not None
    path, _, line = made.site.rpartition(":")
    assert path == __file__
    assert "made = Entity(" in Path(__file__).read_text(encoding="utf-8").splitlines()[int(line) - 1]


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("Household", "call it 'household'"),
        ("house hold", "call it 'house_hold'"),
        ("1st", "call it 'st'"),
        ("__own", "call it 'own'"),
        ("house-hold", "call it 'house_hold'"),
        ("", "a letter first"),
        ("straße", "call it 'stra_e'"),
        (None, "a letter first"),
        (7, "a letter first"),
        ("x" * 129, "call it"),
    ],
)
def test_names_are_identifiers(name: str, better: str) -> None:
    assert_refused(lambda: Entity(name, "household_id"), "Entity", f"{name!r} is not a name", better)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("0s", "over is zero"),
        ("30", "not a duration"),
        (30, "not a duration"),
        ("", "not a duration"),
        ("9999999999w", "70,000"),
    ],
)
def test_durations_that_are_none(text: str, what: str) -> None:
    assert_refused(lambda: duration_us("Sum('net')", "over", text), "Sum('net')", what, "")


def test_durations_in_microseconds() -> None:
    assert duration_us("x", "over", "1d12h") == DAY + 12 * HOUR
    assert duration_us("x", "lateness", "0s", zero=True) == 0


def test_nearest_name_or_all_names() -> None:
    assert nearest("valeu", ["value", "refunded"]) == "did you mean 'value'?"
    assert nearest("xyz", ["value", "refunded"]) == "known are refunded, value"
    assert nearest("xyz", []) == "there is none to choose from"


def test_a_type_is_asked_for_by_its_names() -> None:
    assert_refused(lambda: Entity("household", "household_id", "int64"), "Entity household", "not a type", "Int64")  # type: ignore[arg-type]
    assert Entity("store", "store_id", String).dtype == String
