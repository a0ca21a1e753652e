"""Make exact rows of one view out of what a store holds, without doing the fetching.

A stored row answers while t is inside its interval. At another instant the row is computed from the key's log, all such
keys of a read in one batch, by the same states and `finalise` as everywhere, and remembered until the change after:
past the row's next change, and also a little before the row begins, as far back as the log is exact (its floor), for a
read whose clock is behind the commit that it meets. A key without a row is answered by the view's row for nobody.

Either needs a second fetch, in which the row is asked for again, so that row and log are of one moment whatever was
written since the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from featurestore.definitions.feature_view import FeatureView
from featurestore.foundation.clock import format_instant
from featurestore.online.envelope import STAMP
from featurestore.online.errors import NotMaterialised, ReadBeforeRow, RowFormatError
from featurestore.online.remembered_rows import RememberedRows
from featurestore.online.row_codec import DecodedRows, exact_at, times
from featurestore.online.view_format import ViewFormat

REMEMBERED_BYTES = 32 * 2**20
"""How much of computed rows a reader of a view remembers: of twenty features, some 40,000 keys."""

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


@dataclass(slots=True)
class Unsettled:
    """A read that needs another fetch.

    Attributes
    ----------
    rows
        What is settled already; ``None`` where more is needed.
    """

    reader: ViewReader
    entity_keys: Sequence[Any]
    rows: list[bytes | None]
    t_us: int

    def keys(self) -> list[bytes]:
        """Return what to fetch: row and log of each entity key that is open, then nobody's row."""
        form = self.reader.format
        encoded = [form.encode_key(self.entity_keys[i]) for i in self._open()]
        pairs = [stored for key in encoded for stored in (form.keys.row(key), form.keys.log(key))]
        return [*pairs, form.nobody]

    def finish(self, found: Found) -> DecodedRows:
        """Settle the rest from what was found at `keys`, of one moment.

        Raises
        ------
        NotMaterialised, RowFormatError, ReadBeforeRow
            If that does not give exact rows.
        """
        nobody, behind = found[-1], []
        for place, i in enumerate(self._open()):
            row, log = found[2 * place : 2 * place + 2]
            if row is None:
                self.rows[i] = self._nobody(nobody)
                continue
            self.reader.format.rows.check(row)
            if exact_at(row, self.t_us):
                self.rows[i] = row
            else:
                behind.append(_Behind(i, row, self._usable(row, log)))
        if behind:
            self._compute(behind)
        return self.reader.format.rows.decode_checked(self.rows)  # type: ignore[arg-type]

    def _compute(self, behind: Sequence[_Behind]) -> None:
        """Compute rows from their logs, and remember them."""
        form = self.reader.format
        logs = form.logs.read([each.log for each in behind])
        for each, log in zip(behind, logs.logs, strict=True):
            if self.t_us < log.floor_us:
                raise ReadBeforeRow(self.reader.view.name, self.t_us, log.floor_us)
            if log.stamp.pack() != each.row[STAMP]:
                raise self._no_log(each.row)
        for each, computed in zip(behind, form.rows_of(logs, self.t_us), strict=True):
            self.rows[each.place] = computed
            self.reader.remembered.put(self.entity_keys[each.place], each.row, computed)

    def _usable(self, row: bytes, log: bytes | None) -> bytes:
        valid_from, _ = times(row)
        if log is None and self.t_us < valid_from:
            raise ReadBeforeRow(self.reader.view.name, self.t_us, valid_from)
        if log is None:
            raise self._no_log(row)
        return log

    def _no_log(self, row: bytes) -> RowFormatError:
        changed = format_instant(times(row)[1])
        return RowFormatError(
            f"a row changed at {changed}, and the log that tells how is not in the store",
            where=f"feature view {self.reader.view.name!r}",
            mend="run `unskew materialise`; let Redis evict nothing (maxmemory-policy noeviction)",
        )

    def _nobody(self, nobody: bytes | None) -> bytes:
        view = self.reader.view
        if nobody is None:
            raise NotMaterialised(
                "the online store holds no completed materialisation of it",
                where=f"feature view {view.name!r} ({view.row_digest[:16]})",
                mend="run `unskew materialise`",
            )
        self.reader.format.rows.check(nobody)
        valid_from, _ = times(nobody)
        if self.t_us < valid_from:
            raise ReadBeforeRow(view.name, self.t_us, valid_from)
        return nobody

    def _open(self) -> list[int]:
        return [i for i, row in enumerate(self.rows) if row is None]


@dataclass(frozen=True, slots=True)
class _Behind:
    """A key whose row has to be computed: its place, and what is stored of it."""

    place: int
    row: bytes
    log: bytes
