"""Make exact rows of one view out of what a store holds, without doing the fetching.

A stored row answers while t is inside its interval. At another instant the row is computed from the key's log, all such
keys of a read in one batch, by the same states and `finalise` as everywhere, and remembered until the change after:
past the row's next change, and also a little before the row begins, as far back as the log is exact (its floor), for a
read whose clock is behind the commit that it meets. A key without a row is answered by the view's row for nobody.

Either needs a second fetch. Of a key with a row it is the log alone: with the stamp of that row it is of the same
commit. If it has another one, or none is there, or no row was, row and log are fetched together, so that they are of
one moment whatever was written since. A hot key's log needs one fetch more, for a few of its tiles; these are never
changed in place, and a read that misses one starts over with row and log.

A key that is read again after the change up to which it was remembered, while its stored row has stayed as it was, is a
quiet one: of such keys the rows of the next few intervals are computed in the same batch, and remembered too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from featurestore.definitions.feature_view import FeatureView
from featurestore.foundation.clock import format_instant
from featurestore.online.envelope import STAMP
from featurestore.online.errors import NotMaterialised, ReadBeforeRow, RowFormatError
from featurestore.online.event_log import StoredLog, StoredLogs
from featurestore.online.hot_log import HotLog
from featurestore.online.remembered_rows import RememberedRows
from featurestore.online.row_codec import DecodedRows, exact_at, times
from featurestore.online.view_format import ViewFormat

REMEMBERED_BYTES = 32 * 2**20
"""How much of computed rows a reader of a view remembers: of twenty features some 20,000 keys, a fourth if quiet."""

QUIET_STEPS = 8
"""For how many intervals a quiet key's rows are computed at a time; that takes some 1.4 times as long as one."""

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
        recalled = self.remembered.recall(keys, found, inexact, t_us)
        if None not in recalled:
            return decoded.replaced(inexact, recalled)  # type: ignore[arg-type]
        rows = list(found)
        for i, row in zip(inexact, recalled, strict=True):
            rows[i] = row
        return Unsettled(self, keys, found, rows, t_us)

    def _begin_with_absent(self, keys: Sequence[Any], found: Found, t_us: int) -> Unsettled:
        rows = list(found)
        for i, row in enumerate(found):
            if row is not None:
                self.format.rows.check(row)
                if not exact_at(row, t_us):
                    (rows[i],) = self.remembered.recall(keys, found, [i], t_us)
        return Unsettled(self, keys, found, rows, t_us)


class Unsettled:
    """A read that needs another fetch.

    Parameters
    ----------
    reader, t_us
        The view's reader, and the instant that is read at.
    entity_keys
        All keys of the read.
    found
        Their stored rows, which are whole.
    rows
        What is settled already; ``None`` where more is needed.
    """

    def __init__(
        self, reader: ViewReader, entity_keys: Sequence[Any], found: Found, rows: list[bytes | None], t_us: int
    ) -> None:
        self._reader, self._entity_keys, self._rows, self._t_us = reader, entity_keys, rows, t_us
        open_places = [i for i, row in enumerate(rows) if row is None]
        self._known: dict[int, bytes | None] = {i: found[i] for i in open_places}
        self._tiled: dict[int, _Tiled] = {}
        self._alone: list[int] = []
        self._whole: list[int] = []
        self._fetches = 0

    def keys(self) -> list[bytes]:
        """Return what to fetch: needed tiles of hot keys, logs, then rows with their logs and nobody's row."""
        form = self._reader.format
        keys = [at for tiled in self._tiled.values() for at in tiled.keys]
        waiting = [i for i in self._known if i not in self._tiled]
        self._alone = [i for i in waiting if self._known[i] is not None]
        self._whole = [i for i in waiting if self._known[i] is None]
        encode, log_of = form.encode_key, form.keys.log
        keys += [log_of(encode(self._entity_keys[i])) for i in self._alone]
        for i in self._whole:
            encoded = encode(self._entity_keys[i])
            keys += (form.keys.row(encoded), log_of(encoded))
        return [*keys, form.nobody] if self._whole else keys

    def finish(self, found: Found) -> DecodedRows | Unsettled:
        """Settle what was found at `keys` in one moment; return itself if more has to be fetched.

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
        for i, log in zip(self._alone, found[at : at + len(self._alone)], strict=True):
            row, self._known[i] = self._known[i], None
            if row is not None and log is not None:
                behind.append(_Behind(i, row, log, alone=True))
        behind += self._behind_of_whole(found, at + len(self._alone))
        if behind:
            self._compute(behind)
        if self._known:
            return self
        return self._reader.format.rows.decode_checked(self._rows)  # type: ignore[arg-type]

    def _behind_of_whole(self, found: Found, start: int) -> list[_Behind]:
        """Settle the keys whose row was fetched with its log, but for those whose row is not exact now."""
        behind = []
        for i, row, log in zip(self._whole, found[start::2], found[start + 1 :: 2], strict=False):
            if row is None:
                self._settle(i, self._nobody(found[-1]))
                continue
            self._reader.format.rows.check(row)
            if exact_at(row, self._t_us):
                self._settle(i, row)
            else:
                behind.append(_Behind(i, row, self._usable(row, log), alone=False))
        return behind

    def _settle(self, place: int, row: bytes) -> None:
        self._rows[place] = row
        del self._known[place]

    def _compute(self, behind: Sequence[_Behind]) -> None:
        """Compute rows from their logs, and remember them; note what tiles are needed for those of hot keys."""
        form, remembered = self._reader.format, self._reader.remembered
        logs = form.logs.read([each.log for each in behind])
        plain = [each for each, log in zip(behind, logs.logs, strict=True) if self._is_plain(each, log)]
        if len(plain) < len(behind):
            self._note_tiled(behind, logs)
            logs = form.logs.read([each.log for each in plain])
        if not plain:
            return
        quiet = any(remembered.knows(self._entity_keys[each.place], each.row) for each in plain)
        computed = form.rows_of(logs, self._t_us, QUIET_STEPS if quiet else 1)
        for each, rows in zip(plain, computed, strict=True):
            self._settle(each.place, rows[0])
        keys = self._entity_keys
        remembered.put((keys[each.place], each.row, rows) for each, rows in zip(plain, computed, strict=True))

    def _is_plain(self, each: _Behind, log: StoredLog) -> bool:
        """Tell whether a row can be computed from its log alone; a log that is not the row's is fetched again."""
        if log.stamp != each.row[STAMP]:
            if each.alone:
                return False
            raise self._no_log(each.row)
        if self._t_us < log.floor_us:
            raise ReadBeforeRow(self._reader.view.name, self._t_us, log.floor_us)
        return log.tiles is None

    def _note_tiled(self, behind: Sequence[_Behind], logs: StoredLogs) -> None:
        """Note the tiles that hot keys need."""
        form = self._reader.format
        for i, (each, log) in enumerate(zip(behind, logs.logs, strict=True)):
            if log.tiles is None or log.stamp != each.row[STAMP]:
                continue
            head = logs.versions.take(slice(int(logs.bounds[i]), int(logs.bounds[i + 1]))).in_order()
            hot = HotLog(form.logs, log.tiles, head)
            tiles = hot.needed_at(self._t_us)
            log_key = form.keys.log(form.encode_key(self._entity_keys[each.place]))
            keys = [log_key + log.tiles.suffix(tile) for tile in tiles]
            self._tiled[each.place] = _Tiled(each.row, hot, log.stamp, tiles, keys)
            if not tiles:
                self._finish_tiled(each.place, self._tiled[each.place], [])

    def _finish_tiled(self, place: int, tiled: _Tiled, parts: Found) -> None:
        """Compute a hot key's row from its tiles; if one of them was replaced since, the key starts over."""
        del self._tiled[place]
        if all(tiled.log.index.is_of(tile, part) for tile, part in zip(tiled.tiles, parts, strict=True)):
            form = self._reader.format
            raw = {tile: form.logs.read([part]).versions for tile, part in zip(tiled.tiles, parts, strict=True)}  # type: ignore[list-item]
            seen = tiled.log.seen_at(self._t_us, raw)
            computed = form.row_of(seen, tiled.stamp, self._t_us)
            self._settle(place, computed)
            self._reader.remembered.put([(self._entity_keys[place], tiled.row, [computed])])
        elif self._fetches > HOT_ATTEMPTS:
            raise self._no_log(tiled.row)

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
                mend="run `unskew materialise`; of a source that takes events, `unskew backfill`, or wait some seconds "
                "for the ingest program to write it",
            )
        self._reader.format.rows.check(nobody)
        valid_from, _ = times(nobody)
        if self._t_us < valid_from:
            raise ReadBeforeRow(view.name, self._t_us, valid_from)
        return nobody


class _Behind(NamedTuple):
    """A key whose row has to be computed: its place, what is stored of it, and whether the log was fetched alone."""

    place: int
    row: bytes
    log: bytes
    alone: bool


class _Tiled(NamedTuple):
    """A hot key whose row has to be computed: its row, its log, and the tiles that are needed and where they are."""

    row: bytes
    log: HotLog
    stamp: bytes
    tiles: Sequence[int]
    keys: Sequence[bytes]
