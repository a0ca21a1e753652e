"""Apply one commit to the logs of many keys; most of them get a version or two, which are packed together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from featurestore.online.envelope import Stamp
from featurestore.online.event_log import LogCodec
from featurestore.online.key_log import NO_PARTS, KeyLog, LogWrite
from featurestore.online.versions import EVENT, Versions


def apply_all(
    codec: LogCodec,
    logs: Sequence[KeyLog],
    new: Versions,
    bounds: Sequence[tuple[int, int]],
    closed: Mapping[int, Sequence[int]],
    *,
    stamp: Stamp,
    floor_us: int,
    forgotten_us: int,
) -> list[LogWrite]:
    """Do what `KeyLog.apply` does to each of some logs, of different keys.

    Parameters
    ----------
    codec
        Of all logs.
    new
        The commit's versions of all keys, those of a key in total order, numbered.
    bounds
        First and end of each log's versions among them.
    closed
        By place of a log, the numbers of the events of which all versions so far leave.
    stamp, floor_us, forgotten_us
        As `KeyLog.apply` has them.
    """
    quick = [
        place
        for place, (log, (first, end)) in enumerate(zip(logs, bounds, strict=True))
        if end > first and place not in closed and not codec.layout.text_rows and log.may_append(end - first)
    ]
    chunks = codec.additions(new, [bounds[place] for place in quick], stamp)
    rows, event_us = np.ascontiguousarray(new.words.T), new.words[EVENT].tolist()
    writes: dict[int, LogWrite] = {}
    for place, chunk in zip(quick, chunks, strict=True):
        first, end = bounds[place]
        logs[place].append(rows[first:end], event_us[first], event_us[end - 1])
        writes[place] = LogWrite(chunk, True, NO_PARTS)
    for place, log in enumerate(logs):
        if place not in writes:
            ended = np.array(closed.get(place, ()), dtype=np.uint64)
            added = new.take(slice(*bounds[place]))
            writes[place] = log.apply(added, ended, stamp, floor_us, forgotten_us)
    return [writes[place] for place in range(len(logs))]
