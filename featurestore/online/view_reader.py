"""Make exact rows of one view out of what a store holds, without doing the fetching.

A stored row answers while t is inside its interval. At another instant the row is computed from the key's log, all such
keys of a read in one batch, by the same states and `finalise` as everywhere, and remembered until the change after:
past the row's next change, and also a little before the row begins, as far back as the log is exact (its floor), for a
read whose clock is behind the commit that it meets. A key without a row is answered by the view's row for nobody.

Either needs a second fetch, in which the row is asked for again, so that row and log are of one moment whatever was
written since the first. A hot key's log needs a third, for a few of its tiles; these are never changed in place, and a
read that misses one starts over with row and log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from featurestore.definitions.feature_view import FeatureView
from featurestore.foundation.clock import format_instant
from featurestore.online.envelope import STAMP, Stamp
from featurestore.online.errors import NotMaterialised, ReadBeforeRow, RowFormatError
from featurestore.online.event_log import StoredLogs
from featurestore.online.hot_log import HotLog
from featurestore.online.remembered_rows import RememberedRows
from featurestore.online.row_codec import DecodedRows, exact_at, times
from featurestore.online.view_format import ViewFormat

REMEMBERED_BYTES = 32 * 2**20
"""How much of computed rows a reader of a view remembers: of twenty features, some 40,000 keys."""

HOT_ATTEMPTS = 11
"""Fetches after which a hot key is given up whose tiles are replaced under the read: five of its log and its tiles."""

Found = Sequence[bytes | None]


class ViewReader:
    """Settle reads of one view.

    Parameters
    ----------
    view
        The view; its digest names the rows.

    Attributes
    ----------
    remembered
        Rows that were computed, by entity key.
    """

    def __init__(self, view: FeatureView) -> None:
        self.view = view
        self.format = ViewFormat(view)
        self.remembered = RememberedRows(REMEMBERED_BYTES)

    def row_keys(self, keys: Sequence[Any]) -> list[bytes]:
        """Return where the rows of entity keys are; raises `EntityKeyError`."""
        encode, row = self.format.encode_key, self.format.keys.row
        return [row(encode(key)) for key in keys]

    def begin(self, keys: Sequence[Any], found: Found, t_us: int) -> DecodedRows | Unsettled:
        """Settle a read from the rows that were found at `row_keys`, or say what else has to be fetched.

        Raises
        ------
        RowFormatError
            If a row is not one of this view.
        """
        codec = self.format.rows
        if None in found:
            return self._begin_with_absent(keys, found, t_us)
        decoded = codec.decode(found)  # type: ignore[arg-type]
        inexact = decoded.inexact_at(t_us)
        if not inexact:
            return decoded
        rows = list(found)
        for i in inexact:
            rows[i] = self.remembered.get(keys[i], decoded.rows[i], t_us)
        return self._settled_or_not(keys, rows, t_us)

    def _begin_with_absent(self, keys: Sequence[Any], found: Found, t_us: int) -> DecodedRows | Unsettled:
        rows = list(found)
        for i, row in enumerate(found):
            if row is not None:
                self.format.rows.check(row)
                rows[i] = row if exact_at(row, t_us) else self.remembered.get(keys[i], row, t_us)
        return self._settled_or_not(keys, rows, t_us)

    def _settled_or_not(self, keys: Sequence[Any], rows: list[bytes | None], t_us: int) -> DecodedRows | Unsettled:
        if None in rows:
            return Unsettled(self, keys, rows, t_us)
        return self.format.rows.decode_checked(rows)  # type: ignore[arg-type]


class Unsettled:
    """A read that needs another fetch.

    Parameters
    ----------
    reader, t_us
        The view's reader, and the instant that is read at.
    entity_keys
        All keys of the read.
    rows
        What is settled already; ``None`` where more is needed.
    """

    def __init__(self, reader: ViewReader, entity_keys: Sequence[Any], rows: list[bytes | None], t_us: int) -> None:
        self._reader, self._entity_keys, self._rows, self._t_us = reader, entity_keys, rows, t_us
        self._tiled: dict[int, _Tiled] = {}
        self._asked: list[int] = []
        self._fetches = 0

    def keys(self) -> list[bytes]:
        """Return what to fetch: the needed tiles of hot keys, row and log of each other open key, then nobody's row."""
        form = self._reader.format
        keys = [at for tiled in self._tiled.values() for at in tiled.keys]
        self._asked = [i for i, row in enumerate(self._rows) if row is None and i not in self._tiled]
        for i in self._asked:
            encoded = form.encode_key(self._entity_keys[i])
            keys += (form.keys.row(encoded), form.keys.log(encoded))
        return [*keys, form.nobody]

    def finish(self, found: Found) -> DecodedRows | Unsettled:
        """Settle what was found at `keys` in one moment; return itself if tiles have to be fetched, or a key again.

        Raises
        ------
        NotMaterialised, RowFormatError, ReadBeforeRow
            If that does not give exact rows.
        """
        self._fetches += 1
        at = 0
        for i, tiled in list(self._tiled.items()):
            self._finish_tiled(i, tiled, found[at : at + len(tiled.keys)])
            at += len(tiled.keys)
        behind = []
        for place, i in enumerate(self._asked):
            row, log = found[at + 2 * place : at + 2 * place + 2]
            if row is None:
                self._rows[i] = self._nobody(found[-1])
                continue
            self._reader.format.rows.check(row)
            if exact_at(row, self._t_us):
                self._rows[i] = row
            else:
                behind.append(_Behind(i, row, self._usable(row, log)))
        if behind:
            self._compute(behind)
        if None in self._rows:
            return self
        return self._reader.format.rows.decode_checked(self._rows)  # type: ignore[arg-type]

    def _compute(self, behind: Sequence[_Behind]) -> None:
        """Compute rows from their logs, and remember them; note what tiles are needed for those of hot keys."""
        form = self._reader.format
        logs = form.logs.read([each.log for each in behind])
        for each, log in zip(behind, logs.logs, strict=True):
            if self._t_us < log.floor_us:
                raise ReadBeforeRow(self._reader.view.name, self._t_us, log.floor_us)
            if log.stamp.pack() != each.row[STAMP]:
                raise self._no_log(each.row)
        if any(log.index is not None for log in logs.logs):
            behind = self._note_tiled(behind, logs)
            if not behind:
                return
            logs = form.logs.read([each.log for each in behind])
        for each, computed in zip(behind, form.rows_of(logs, self._t_us), strict=True):
            self._keep(each.place, each.row, computed)

    def _note_tiled(self, behind: Sequence[_Behind], logs: StoredLogs) -> list[_Behind]:
        """Note the tiles that hot keys need, and return the other keys."""
        form, rest = self._reader.format, []
        for i, (each, log) in enumerate(zip(behind, logs.logs, strict=True)):
            if log.index is None:
                rest.append(each)
                continue
            head = logs.versions.take(slice(int(logs.bounds[i]), int(logs.bounds[i + 1]))).in_order()
            hot = HotLog(form.logs, log.index, head)
            tiles = hot.needed_at(self._t_us)
            log_key = form.keys.log(form.encode_key(self._entity_keys[each.place]))
            keys = [log_key + log.index.suffix(tile) for tile in tiles]
            self._tiled[each.place] = _Tiled(each.row, hot, log.stamp, tiles, keys)
            if not tiles:
                self._finish_tiled(each.place, self._tiled[each.place], [])
        return rest

    def _finish_tiled(self, place: int, tiled: _Tiled, parts: Found) -> None:
        """Compute a hot key's row from its tiles; if one of them was replaced since, the key starts over."""
        del self._tiled[place]
        if all(tiled.log.index.is_of(tile, part) for tile, part in zip(tiled.tiles, parts, strict=True)):
            form = self._reader.format
            raw = {tile: form.logs.read([part]).versions for tile, part in zip(tiled.tiles, parts, strict=True)}  # type: ignore[list-item]
            self._keep(place, tiled.row, form.row_of(tiled.log.seen_at(self._t_us, raw), tiled.stamp, self._t_us))
        elif self._fetches > HOT_ATTEMPTS:
            raise self._no_log(tiled.row)

    def _keep(self, place: int, row: bytes, computed: bytes) -> None:
        self._rows[place] = computed
        self._reader.remembered.put(self._entity_keys[place], row, computed)

    def _usable(self, row: bytes, log: bytes | None) -> bytes:
        valid_from, _ = times(row)
        if log is None and self._t_us < valid_from:
            raise ReadBeforeRow(self._reader.view.name, self._t_us, valid_from)
        if log is None:
            raise self._no_log(row)
        return log

    def _no_log(self, row: bytes) -> RowFormatError:
        changed = format_instant(times(row)[1])
        return RowFormatError(
            f"a row changed at {changed}, and the log that tells how is not in the store",
            where=f"feature view {self._reader.view.name!r}",
            mend="run `unskew materialise`; let Redis evict nothing (maxmemory-policy noeviction)",
        )

    def _nobody(self, nobody: bytes | None) -> bytes:
        view = self._reader.view
        if nobody is None:
            raise NotMaterialised(
                "the online store holds no completed materialisation of it",
                where=f"feature view {view.name!r} ({view.row_digest[:16]})",
                mend="run `unskew materialise`",
            )
        self._reader.format.rows.check(nobody)
        valid_from, _ = times(nobody)
        if self._t_us < valid_from:
            raise ReadBeforeRow(view.name, self._t_us, valid_from)
        return nobody


@dataclass(frozen=True, slots=True)
class _Behind:
    """A key whose row has to be computed: its place, and what is stored of it."""

    place: int
    row: bytes
    log: bytes


@dataclass(frozen=True, slots=True)
class _Tiled:
    """A hot key whose row has to be computed: its row, its log, and the tiles that are needed and where they are."""

    row: bytes
    log: HotLog
    stamp: Stamp
    tiles: Sequence[int]
    keys: Sequence[bytes]
