"""A commit as calls of scripts: packed, each of keys that share a hash tag, in the order they must be made.

A call's first key is the fence of its bucket.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from featurestore.online.base import CommitWrite, KeyChange
from featurestore.online.envelope import OLDEST
from featurestore.online.keys import TAG_BYTES, SourceKeys
from featurestore.online.redis_connection import packed

CALL_KEYS = 100
"""Changes or values that one run of a script stores, half a millisecond in which the server answers nobody else."""

T = TypeVar("T", bound=tuple[Any, ...])
Value = tuple[bytes, bytes | None, int]
"""A key, what to store there or ``None`` to remove it, and for how many milliseconds; 0 is for ever."""
_FOLDER = Path(__file__).parent / "lua"


class Script:
    """A script in ``lua/``, with the rule of fences before it."""

    def __init__(self, name: str) -> None:
        self.text = (_FOLDER / "fence.lua").read_bytes() + (_FOLDER / name).read_bytes()
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()

    def call(self, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
        """Return a packed call."""
        return packed(b"EVALSHA", self.sha, b"%d" % len(keys), *keys, *arguments)


APPLY_CHANGES = Script("apply_changes.lua")
PUT_FENCED = Script("put_fenced.lua")
RAISE_FENCE = Script("raise_fence.lua")
SCRIPTS = (APPLY_CHANGES, PUT_FENCED, RAISE_FENCE)


def fence_calls(keys: SourceKeys, writer: bytes) -> list[bytes]:
    """Return the calls that raise all fences of a source to a writer, ``<epoch> <connection>``."""
    return [RAISE_FENCE.call([fence], [writer]) for fence in keys.fences()]


def change_calls(keys: SourceKeys, writer: bytes, write: CommitWrite) -> list[bytes]:
    """Return the calls that make the changes of a commit, a bucket's changes together."""
    return [
        _change_call(keys.fence(changes[0].row_key), writer, write.stamp, changes)
        for changes in _by_bucket(write.changes)
    ]


def entry_calls(keys: SourceKeys, writer: bytes, entries: Sequence[Value]) -> list[bytes]:
    """Return the calls that store entries of the index, a bucket's entries together."""
    return [_value_call(keys.fence(group[0][0]), writer, group) for group in _by_bucket(entries)]


def value_calls(keys: SourceKeys, writer: bytes, pairs: Iterable[tuple[bytes, bytes | None]]) -> list[bytes]:
    """Return the calls that store values for ever, in their order."""
    return [
        _value_call(keys.fence(tag), writer, [(*pair, 0) for pair in group])
        for tag, group in groupby(pairs, lambda pair: pair[0][:TAG_BYTES])
    ]


def _by_bucket(items: Sequence[T]) -> Iterator[list[T]]:
    """Part tuples by the bucket of their first field, a key; up to `CALL_KEYS` of them together, in their order."""
    buckets: dict[bytes, list[T]] = {}
    for item in items:
        buckets.setdefault(item[0][:TAG_BYTES], []).append(item)
    for group in buckets.values():
        for start in range(0, len(group), CALL_KEYS):
            yield group[start : start + CALL_KEYS]


def _change_call(fence: bytes, writer: bytes, stamp: bytes, changes: Sequence[KeyChange]) -> bytes:
    keys, arguments = [fence], [writer, stamp]
    for row_key, row, log_key, log, append, expected, parts in changes:
        keys += (row_key, log_key)
        stands_on = b"" if expected == OLDEST else expected
        how = b"a" if append else b"s"
        if parts:
            stored = {key: value for key, value in parts.items() if value is not None}
            keys += (*stored, *(key for key in parts if key not in stored))
            how += b"%d:%d" % (len(stored), len(parts) - len(stored))
            arguments += (stands_on, how, row, log, *stored.values())
        else:
            arguments += (stands_on, how, row, log)
    return APPLY_CHANGES.call(keys, arguments)


def _value_call(fence: bytes, writer: bytes, values: Sequence[Value]) -> bytes:
    arguments = [writer]
    for _, value, keep_ms in values:
        arguments += (b"", b"-1") if value is None else (value, b"%d" % keep_ms)
    return PUT_FENCED.call([fence, *(key for key, _, _ in values)], arguments)
