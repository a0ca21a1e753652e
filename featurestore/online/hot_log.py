"""The log of a hot key: its index of tiles, its head, and as many raw tiles as a read needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurestore.online.envelope import Stamp
from featurestore.online.event_log import LogCodec
from featurestore.online.tiles import (
    COUNT,
    FIRST_EVENT,
    LAST_EVENT,
    SETTLED,
    TileIndex,
    TilesInside,
    checksum,
    cut,
    part_suffix,
)
from featurestore.online.versions import EVENT, LEAVE, Versions, Words, joined
from featurestore.semantics.aggregate import AggregateState
from featurestore.semantics.interval import NEVER_US
from featurestore.semantics.log_states import LogBatch, LogsAt


@dataclass(frozen=True, slots=True)
class SeenLog:
    """What logs come to, each at an instant: one if it is a hot one.

    Attributes
    ----------
    states
        Per aggregate of the view, each of length n.
    latest_us, has_latest
        The latest visible event, as `featurestore.semantics.log_states.latest_at` says it.
    next_change_us
        Nothing changes before it, but then perhaps nothing either.
    """

    states: Sequence[AggregateState]
    latest_us: NDArray[np.int64]
    has_latest: NDArray[np.bool_]
    next_change_us: NDArray[np.int64]


class HotLog:
    """A log whose older versions are summarised.

    Parameters
    ----------
    codec
        The view's.
    index
        Of its tiles.
    head
        Its newest versions, in total order.
    """

    __slots__ = ("_codec", "_head", "index")

    def __init__(self, codec: LogCodec, index: TileIndex, head: Versions) -> None:
        self._codec, self._head = codec, head
        self.index = index

    def needed_at(self, t_us: int) -> list[int]:
        """Return the tiles whose raw versions `seen_at` needs."""
        return self._codec.summaries.raw_at(self.index, self._head, t_us)

    def seen_at(self, t_us: int, raw: Mapping[int, Versions]) -> SeenLog:
        """Return what the log comes to, given the raw versions of the tiles of `needed_at`, by tile."""
        codec, tiles = self._codec, sorted(raw)
        versions = joined([*(raw[tile] for tile in tiles), self._head]).in_order()
        at = LogsAt(LogBatch(codec.layout.unpack(versions), np.array([0, len(versions)])), t_us)
        words, rest = self.index.words, self.index.outside(tiles)
        soonest_us = int(at.next_changes_us(codec.windows_us)[0])
        inside: dict[int | None, NDArray[np.bool_]] = {None: np.zeros(len(self.index), dtype=np.bool_)}
        for window_us in codec.windows_us:
            inside[window_us] = rest & (words[FIRST_EVENT] > t_us - window_us)
            leaving = words[FIRST_EVENT, inside[window_us]]
            soonest_us = min(soonest_us, int(leaving.min()) + window_us) if len(leaving) else soonest_us
        chosen = {window_us: TilesInside(self.index, mask) for window_us, mask in inside.items()}
        states = [codec.summaries.merged(a, at.state(a), chosen[a.window_us]) for a in codec.aggregates]
        latest_us, has_latest = at.latest()
        return SeenLog(states, latest_us, has_latest, np.array([min(soonest_us, NEVER_US)], dtype=np.int64))


ReadTile = Callable[[int], Versions]
"""Gives the raw versions of a tile of an index."""


@dataclass(frozen=True, slots=True)
class Retiled:
    """Tiles after a commit.

    Attributes
    ----------
    index
        Of the tiles as they are now.
    parts
        What to write and, where ``None``, to remove, by suffix.
    written
        The raw versions of the tiles that are written, by number.
    """

    index: TileIndex
    parts: Mapping[bytes, bytes | None]
    written: Mapping[int, Versions]


@dataclass(frozen=True, slots=True)
class Retiling:
    """Change the tiles of a key, in one commit.

    Parameters
    ----------
    codec, stamp
        The view's codec, and the commit's stamp.
    floor_us, forgotten_us
        As `featurestore.online.key_log.KeyLog.apply` has them.
    """

    codec: LogCodec
    stamp: Stamp
    floor_us: int
    forgotten_us: int

    def apply(self, index: TileIndex, changed: dict[int, Versions], added: Versions, read: ReadTile) -> Retiled:
        """Return the new index, and the parts to write and to remove.

        Parameters
        ----------
        changed
            Raw versions of tiles that are not what they were.
        added
            Versions, in total order, that leave the head.
        """
        changed, fresh = self._placed(index, changed, added, read)
        kept = self._worth_keeping(index, list(changed))
        columns: list[Words] = []
        parts: dict[bytes, bytes | None] = {}
        written: dict[int, Versions] = {}
        number = index.next_number
        for tile in range(len(index) + 1):
            of = fresh if tile == len(index) else changed.get(tile)
            if of is None and kept[tile]:
                columns.append(index.words[:, tile])
                continue
            if tile < len(index):
                parts[index.suffix(tile)] = None
            for piece in self._pieces(of) if of is not None and kept[tile] else []:
                part = self.codec.base(piece, self.stamp, 0)
                parts[part_suffix(number)], written[number] = part, piece
                columns.append(self.codec.summaries.summary(piece, number, checksum(part)))
                number += 1
        words = np.stack(columns, axis=1) if columns else np.zeros((self.codec.summaries.rows, 0), dtype=np.int64)
        return Retiled(TileIndex(words, number), parts, written)

    def _placed(
        self, index: TileIndex, changed: dict[int, Versions], added: Versions, read: ReadTile
    ) -> tuple[dict[int, Versions], Versions]:
        """Add versions to the tiles in which their event timestamps lie; return also those later than all tiles."""
        owner = np.searchsorted(index.words[LAST_EVENT], added.words[EVENT], side="left")
        changed = dict(changed)
        for tile in np.unique(owner[owner < len(index)]).tolist():
            raw = changed[tile] if tile in changed else read(tile)
            changed[tile] = joined([raw, added.take(owner == tile)]).in_order()
        return changed, added.take(owner == len(index))

    def _worth_keeping(self, index: TileIndex, changed: list[int]) -> NDArray[np.bool_]:
        """Tell which tiles have versions that may be seen at or after the floor; the last entry is for the new ones.

        What is out of all windows is not needed once a later tile has a version that is there for good.
        """
        words = index.words
        for_good = (words[COUNT] > 0) & (words[LAST_EVENT] < self.forgotten_us) & (words[SETTLED] <= self.floor_us)
        for_good[changed] = False
        later = np.append(np.logical_or.accumulate(for_good[::-1])[::-1][1:], False)
        out = words[LAST_EVENT] <= self.floor_us - self.codec.longest_us
        return np.append(~(out & later[: len(index)]), True)

    def _pieces(self, versions: Versions) -> list[Versions]:
        return cut(versions.take(versions.words[LEAVE] > self.floor_us), self.codec.limits.tile_versions)
