"""What a commit does to a map of values, for stores that change several values at once: memory and LMDB.

The rules are those of `featurestore.online.base.OnlineStore.apply`, and Redis follows them in Lua. Everything is looked
at before anything is written, so a commit that is refused has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from featurestore.online.base import CommitWrite, KeyChange
from featurestore.online.envelope import stored_stamp
from featurestore.online.errors import CommitConflict, OwnershipLost
from featurestore.online.index_value import is_expired
from featurestore.online.keys import SourceKeys


@dataclass(frozen=True, slots=True)
class Values:
    """A map within a transaction, or behind a lock: how to read, store and remove a value (harmless when absent)."""

    get: Callable[[bytes], bytes | None]
    put: Callable[[bytes, bytes], object]
    remove: Callable[[bytes], object]


def apply_commit(values: Values, write: CommitWrite, where: str) -> int:
    """Store a commit and return how many changes were not there yet; see `OnlineStore.apply`."""
    _check_epoch(values, write.source, write.epoch, where)
    due = _due(values, write, where)
    put_values(values, write.before)
    for change in due:
        _make(values, change)
    for key, value, _ in write.index:
        values.put(key, value)
    put_values(values, write.after)
    return len(due)


def raise_fence(values: Values, source: str, epoch: int, where: str) -> None:
    """Let no lesser epoch write: one fence stands for all keys of the source."""
    _check_epoch(values, source, epoch, where)
    values.put(_fence(source), b"%d" % epoch)


def put_values(values: Values, pairs: Sequence[tuple[bytes, bytes | None]]) -> None:
    """Store values as they are, ``None`` removing one."""
    for key, value in pairs:
        if value is None:
            values.remove(key)
        else:
            values.put(key, value)


def remove_expired(values: Values, keys: Sequence[bytes], now_us: int) -> int:
    """Remove those entries of an index that are still expired, and return how many they were."""
    removed = 0
    for key in keys:
        value = values.get(key)
        if value is not None and is_expired(value, now_us):
            values.remove(key)
            removed += 1
    return removed


def _fence(source: str) -> bytes:
    keys = SourceKeys(source)
    return keys.fence(keys.record)


def _check_epoch(values: Values, source: str, epoch: int, where: str) -> None:
    fence = values.get(_fence(source))
    if fence is not None and int(fence) > epoch:
        raise OwnershipLost(source, epoch, where)


def _due(values: Values, write: CommitWrite, where: str) -> list[KeyChange]:
    """Return the changes that an earlier try did not make."""
    due, conflicts = [], []
    for change in write.changes:
        found = stored_stamp(values.get(change.row_key))
        if found == write.stamp:
            continue
        if found != change.expected:
            conflicts.append(change.row_key)
        due.append(change)
    if conflicts:
        raise CommitConflict(write.source, conflicts, where)
    return due


def _make(values: Values, change: KeyChange) -> None:
    values.put(change.row_key, change.row)
    stored = values.get(change.log_key) if change.append else None
    values.put(change.log_key, change.log if stored is None else stored + change.log)
    if change.parts:
        put_values(values, list(change.parts.items()))
