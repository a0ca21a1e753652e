import hashlib
import json
import subprocess
import sys
import uuid
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gateway.registry.moves import next_route
from gateway.registry.route import Route, Variant
from gateway.registry.slots import SLOTS
from gateway.routing.slot_table import SlotTable, routing_key

KEYS = st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(max_size=8)), max_size=3)


def _route(*weights: int, salt: str = "spend") -> Route:
    names = ("champion", "challenger")
    variants = tuple(Variant(names[at], at + 1, weight) for at, weight in enumerate(weights))  # type: ignore[arg-type]
    first = next_route(salt, None, (Variant("champion", 1, 1),))
    return first if len(weights) == 1 else next_route(salt, first, variants)


@pytest.mark.parametrize(
    ("keys", "encoded"),
    [
        ([0], b"i0;"),
        ([-7], b"i-7;"),
        ([2**63 - 1], b"i9223372036854775807;"),
        (["a"], b"s1:a"),
        (["ä€"], b"s5:\xc3\xa4\xe2\x82\xac"),
        ([12, "x"], b"i12;s1:x"),
    ],
)
def test_golden_keys(keys, encoded):
    assert routing_key(keys) == encoded


@given(KEYS, KEYS)
def test_different_keys_have_different_bytes(one, two):
    assert (routing_key(one) == routing_key(two)) == (one == two)


def test_an_int_is_not_the_text_of_it():
    assert routing_key([1]) != routing_key(["1"])
    assert routing_key([1, 23]) != routing_key([12, 3])
    assert routing_key(["a", "b"]) != routing_key(["ab"])


def test_golden_slots():
    """Computed with hashlib alone; a change would move every key of every user to another variant."""
    table = SlotTable(_route(9, 1))
    for key in (b"i0;", b"i1;", b"s1:a", b"i9223372036854775807;"):
        hashed = hashlib.blake2b(b"spend\0" + key, digest_size=8).digest()
        assert table.slot(key) == int.from_bytes(hashed, "little") % SLOTS
    assert [table.slot(routing_key([key])) for key in (0, 1, 2, "a", "b")] == [13800, 5025, 12102, 9786, 4469]


def test_shares_are_as_the_weights_say():
    """Chi-square of 200,000 keys over 9:1, and of the slots themselves; p below 1e-4 would be no chance."""
    table = SlotTable(_route(9, 1))
    keys = [routing_key([household]) for household in range(200_000)]
    counted = Counter(table.variant(key).name for key in keys)
    assert stats.chisquare([counted["champion"], counted["challenger"]], [180_000, 20_000]).pvalue > 1e-4
    slots = Counter(table.slot(key) for key in keys)
    assert stats.chisquare([slots[slot] for slot in range(SLOTS)]).pvalue > 1e-4


def test_neither_consecutive_nor_random_keys_nor_another_model_correlate():
    one, two = SlotTable(_route(1, 1)), SlotTable(_route(1, 1, salt="churn"))
    keys = [routing_key([household]) for household in range(40_000)]
    keys += [routing_key([str(uuid.UUID(int=at))]) for at in range(10_000)]
    seen = Counter((one.index(key), two.index(key)) for key in keys)
    assert stats.chi2_contingency([[seen[0, 0], seen[0, 1]], [seen[1, 0], seen[1, 1]]]).pvalue > 1e-4


def test_weight_0_gets_no_key():
    table = SlotTable(_route(1, 0))
    assert {table.variant(routing_key([key])).version for key in range(50_000)} == {1}


def test_keys_move_only_as_their_slots_do():
    before = _route(9, 1)
    after = next_route("spend", before, (Variant("champion", 1, 4), Variant("challenger", 2, 1)))
    one, two = SlotTable(before), SlotTable(after)
    keys = [routing_key([household]) for household in range(100_000)]
    moved = sum(one.variant(key).version != two.variant(key).version for key in keys)
    assert all(one.slot(key) == two.slot(key) for key in keys[:1_000])
    assert 0.09 * len(keys) < moved < 0.11 * len(keys)
    assert all(two.variant(key).name == "challenger" for key in keys if one.variant(key).name == "challenger")


def test_every_process_has_the_same_table():
    script = (
        "import json, sys; from gateway.registry.route import route_from_description;"
        "from gateway.routing.slot_table import SlotTable, routing_key;"
        "table = SlotTable(route_from_description(json.load(sys.stdin)));"
        "print(bytes(table.index(routing_key([k])) for k in range(5000)).hex())"
    )
    route = _route(3, 1)
    ran = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(route.describe()),
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(filter(None, sys.path))},
    )
    table = SlotTable(route)
    assert ran.stdout.strip() == bytes(table.index(routing_key([key])) for key in range(5_000)).hex()
