"""What the values of a key would be if serving had missed one event, or one version of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from featurestore.definitions import FeatureView
from featurestore.offline.point_in_time.event_rows import EventRows
from featurestore.offline.point_in_time.join import join
from featurestore.semantics.aggregate import EventLog
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.value import Column, Int64
from lifecycle.monitoring.view_history import ViewValues, finished

MOST_VERSIONS = 40_000
"""Versions that are looked at for one record, over all events that could have been missed."""
MOST_EVENTS = 256


@dataclass(frozen=True, slots=True)
class Without:
    """A key's versions that would be visible at some t if one version had been missed.

    Attributes
    ----------
    version
        The position in the log of the version that is concerned.
    kept
        Positions in the log of those that would be visible, in order.
    arrived
        True if ``version`` itself was missed; false if what was missed is the later version, such as a tombstone, that
        ended it.
    """

    version: int
    kept: NDArray[np.int64]
    arrived: bool


def change_instants(view: FeatureView, log: EventLog) -> NDArray[np.int64]:
    """Return when something about a key may change by itself or by an event, ascending: TTL and windows included."""
    edges = [log.enter_us, log.leave_us, *(log.event_us + window for window in view.windows)]
    if view.ttl_us is not None:
        edges.append(log.event_us + view.ttl_us + 1)
    instants = np.unique(np.concatenate(edges))
    return instants[instants < NEVER_US]


def losses(log: EventLog, t_us: int) -> Iterator[Without]:
    """Give what would be visible at ``t_us`` without each version of late, those that came last first."""
    visible = np.flatnonzero((log.enter_us <= t_us) & (t_us < log.leave_us))
    most = min(MOST_EVENTS, max(1, MOST_VERSIONS // max(1, len(visible))))
    latest = visible[np.argsort(-log.enter_us[visible], kind="stable")][:most]
    for version in latest.tolist():
        before = _replaced_by(log, version, t_us)
        yield Without(version, np.sort(np.append(visible[visible != version], before)), arrived=True)
    ended = np.flatnonzero((log.enter_us <= t_us) & (log.leave_us <= t_us))
    for version in ended[np.argsort(-log.leave_us[ended], kind="stable")][:most].tolist():
        if not _succeeded(log, version):
            yield Without(version, np.sort(np.append(visible, version)), arrived=False)


def values_without(
    view: FeatureView, log: EventLog, t_us: int, without: Sequence[Without], names: Sequence[str]
) -> ViewValues:
    """Return the features at ``t_us`` for each set of versions that would be visible, TTL applied."""
    kept = np.concatenate([each.kept for each in without]) if without else np.zeros(0, np.int64)
    codes = np.repeat(np.arange(len(without)), [len(each.kept) for each in without])
    keys = Column(Int64, np.arange(len(without)), np.zeros(len(without), np.bool_))
    columns = {name: of.take(kept) for name, of in log.columns.items()}
    never = np.full(len(kept), NEVER_US)
    rows = EventRows(keys, codes.astype(np.int64), log.event_us[kept], log.available_us[kept], never, columns)
    instants = np.full(len(without), t_us)
    wanted = {feature.name: feature.aggregate for feature in view.features if feature.name in set(names)}
    return finished(view, join(rows, wanted, np.arange(len(without)), instants), instants)


def logs_without(log: EventLog, number: int) -> Iterator[EventLog]:
    """Give a key's log as it would be if a version of an event had been missed, or what ended one, for each version."""
    if log.ids is None:
        return
    for version in np.flatnonzero(log.ids == np.uint64(number)).tolist():
        leave_us = log.leave_us.copy()
        leave_us[version] = NEVER_US
        yield replace(log, leave_us=leave_us)
        leave_us = log.leave_us.copy()
        leave_us[_replaced_by(log, version, NEVER_US)] = log.leave_us[version]
        kept = np.delete(np.arange(len(log)), version)
        columns = {name: of.take(kept) for name, of in log.columns.items()}
        yield EventLog(log.event_us[kept], log.available_us[kept], leave_us[kept], columns, log.ids[kept])


def values_of(view: FeatureView, log: EventLog, instants_us: NDArray[np.int64], names: Sequence[str]) -> ViewValues:
    """Return the features that a log gives at some instants, TTL applied."""
    codes = np.zeros(len(log), np.int64)
    key = Column(Int64, np.zeros(1, np.int64), np.zeros(1, np.bool_))
    rows = EventRows(key, codes, log.event_us, log.available_us, log.leave_us, log.columns)
    wanted = {feature.name: feature.aggregate for feature in view.features if feature.name in set(names)}
    frame = join(rows, wanted, np.zeros(len(instants_us), np.int64), instants_us)
    return finished(view, frame, instants_us)


def _replaced_by(log: EventLog, version: int, t_us: int) -> NDArray[np.int64]:
    """Return the version of the same event that a version took the place of, if the log has it."""
    if log.ids is None:
        return np.zeros(0, np.int64)
    same = (log.ids == log.ids[version]) & (log.leave_us == log.available_us[version]) & (log.enter_us <= t_us)
    return np.flatnonzero(same)[-1:]


def _succeeded(log: EventLog, version: int) -> bool:
    """Tell whether the log has the version that ended another: then it is that one which may be missed."""
    if log.ids is None:
        return True
    return bool(((log.ids == log.ids[version]) & (log.available_us == log.leave_us[version])).any())
