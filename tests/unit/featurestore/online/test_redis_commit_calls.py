"""Calls are read back as a server reads them; that the scripts do what they say is in tests/contract/online."""

import hiredis
from hypothesis import given
from hypothesis import strategies as st

from featurestore.online.base import CommitWrite, KeyChange
from featurestore.online.envelope import OLDEST
from featurestore.online.keys import BUCKETS, SourceKeys, ViewKeys
from featurestore.online.redis_commit_calls import (
    APPLY_CHANGES,
    CALL_KEYS,
    PUT_FENCED,
    RAISE_FENCE,
    change_calls,
    entry_calls,
    fence_calls,
    value_calls,
)

SOURCE = SourceKeys("baskets")
VIEW = ViewKeys("0123456789abcdef" * 4)


def read(call):
    """Return the script's digest, KEYS and ARGV of a call."""
    reader = hiredis.Reader()
    reader.feed(call)
    name, sha, count, *rest = reader.gets()
    assert name == b"EVALSHA"
    assert reader.gets() is False
    return sha, rest[: int(count)], rest[int(count) :]


def change_of(name, parts=None, append=False, expected=OLDEST):
    return KeyChange(VIEW.row(name), b"row " + name, VIEW.log(name), b"log " + name, append, expected, parts or {})


def commit_of(changes):
    return CommitWrite("baskets", 7, b"the stamp", [], changes, [], [])


def tags(keys):
    return {key[key.index(b"{") : key.index(b"}")] for key in keys}


def test_a_change_is_written_as_its_script_reads_it():
    log = VIEW.log(b"i:42")
    parts = {log + b"#1": None, log + b"#2": b"two", log + b"#3": None, log + b"#4": b""}
    (call,) = change_calls(SOURCE, b"7 0", commit_of([change_of(b"i:42", parts, append=True, expected=b"before")]))
    sha, keys, arguments = read(call)
    assert sha == APPLY_CHANGES.sha
    parts_in_order = [log + b"#2", log + b"#4", log + b"#1", log + b"#3"]
    assert keys == [b"unskew:{5a4}:f:" + SOURCE.short_name, VIEW.row(b"i:42"), log, *parts_in_order]
    assert arguments == [b"7 0", b"the stamp", b"before", b"a2:2", b"row i:42", b"log i:42", b"two", b""]


def test_no_row_is_expected_as_nothing():
    _, _, arguments = read(change_calls(SOURCE, b"7 0", commit_of([change_of(b"i:1")]))[0])
    assert arguments == [b"7 0", b"the stamp", b"", b"s", b"row i:1", b"log i:1"]


@given(st.lists(st.integers(0, 10**6), max_size=300, unique=True), st.integers(1, 300))
def test_a_call_touches_one_slot_and_all_changes_and_entries_are_in_some_call(numbers, crowd):
    """Redis Cluster refuses a call over two slots; the fence is in the same."""
    changes = [change_of(b"i:%d" % i) for i in numbers]
    crowded = [change_of(b"i:1")._replace(row_key=VIEW.row(b"i:1") + b"%d" % i) for i in range(crowd)]
    calls = [read(call) for call in change_calls(SOURCE, b"7 0", commit_of([*changes, *crowded]))]
    entries = [(SOURCE.index(b"%d" % i), b"value", i) for i in numbers]
    calls += [read(call) for call in entry_calls(SOURCE, b"7 0", entries)]
    assert all(len(tags(keys)) == 1 for _, keys, _ in calls)
    assert all(len(keys) <= 1 + 2 * CALL_KEYS for _, keys, _ in calls)
    made = [key for sha, keys, _ in calls if sha == APPLY_CHANGES.sha for key in keys[1::2]]
    assert sorted(made) == sorted(change.row_key for change in [*changes, *crowded])
    stored = [key for sha, keys, _ in calls if sha == PUT_FENCED.sha for key in keys[1:]]
    assert sorted(stored) == sorted(key for key, _, _ in entries)


def test_entries_of_one_key_keep_their_order_and_how_long_they_are_kept():
    entries = [(SOURCE.index(b"a"), b"z", 5), (SOURCE.index(b"a"), b"b", 0)]
    (call,) = entry_calls(SOURCE, b"7 0", entries)
    assert read(call)[2] == [b"7 0", b"z", b"5", b"b", b"0"]


def test_values_keep_their_order_over_buckets():
    a, b = b"unskew:{00a}:s:x", b"unskew:{00b}:s:x"
    calls = [read(call)[1:] for call in value_calls(SOURCE, b"7 0", [(a, b"1"), (a, None), (b, b"2"), (a, b"3")])]
    assert calls == [
        ([SOURCE.fence(a), a, a], [b"7 0", b"1", b"0", b"", b"-1"]),
        ([SOURCE.fence(b), b], [b"7 0", b"2", b"0"]),
        ([SOURCE.fence(a), a], [b"7 0", b"3", b"0"]),
    ]


def test_fences_are_raised_in_every_bucket():
    calls = [read(call) for call in fence_calls(SOURCE, b"7 0")]
    assert len({keys[0] for _, keys, _ in calls}) == BUCKETS
    assert {(sha, *arguments) for sha, _, arguments in calls} == {(RAISE_FENCE.sha, b"7 0")}


def test_nothing_is_no_call():
    assert change_calls(SOURCE, b"7 0", commit_of([])) == []
    assert entry_calls(SOURCE, b"7 0", []) == []
    assert value_calls(SOURCE, b"7 0", []) == []
