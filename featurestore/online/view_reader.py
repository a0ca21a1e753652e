"""Make exact rows of one view out of what a store holds, without doing the fetching.

A stored row answers while t is inside its interval. Past its next change the row is computed from the key's log, by the
same `state_at` and `finalise` as everywhere, and remembered until the change after. A key without a row is answered by
the view's row for nobody. Either needs a second fetch, in which the row is asked for again, so that row and log are of
one moment whatever was written since the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from featurestore.definitions.feature_view import FeatureView
from featurestore.foundation.clock import format_instant
from featurestore.online.envelope import STAMP
from featurestore.online.errors import NotMaterialised, ReadBeforeRow, RowFormatError
from featurestore.online.remembered_rows import RememberedRows
from featurestore.online.row_codec import DecodedRows, times
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
    """

    def __init__(self, view: FeatureView) -> None:
        self.view = view
        self.format = ViewFormat(view)
        self._remembered = RememberedRows(REMEMBERED_BYTES)

    def row_keys(self, keys: Sequence[Any]) -> list[bytes]:
        """Return where the rows of entity keys are; raises `EntityKeyError`."""
        encode, row = self.format.encode_key, self.format.keys.row
        return [row(encode(key)) for key in keys]

    def begin(self, keys: Sequence[Any], found: Found, t_us: int) -> DecodedRows | Unsettled:
        """Settle a read from the rows that were found at `row_keys`, or say what else has to be fetched.

        Raises
        ------
        RowFormatError, ReadBeforeRow
            If a row is not one of this view, or begins after ``t_us``.
        """
        if None not in found:
            decoded = self.format.rows.decode(found)  # type: ignore[arg-type]
            if decoded.exact_at(t_us):
                return decoded
        rows = [self._exact_or_none(key, row, t_us) for key, row in zip(keys, found, strict=True)]
        if None not in rows:
            return self.format.rows.decode(rows)  # type: ignore[arg-type]
        return Unsettled(self, keys, rows, t_us)

    def settle(self, key: Any, found: Found, t_us: int) -> bytes:
        """Return a key's exact row out of its row, its log and nobody's row, found in one moment.

        Raises
        ------
        NotMaterialised, RowFormatError, ReadBeforeRow
            If they do not give one.
        """
        row, log, nobody = found
        if row is None:
            return self._nobody(nobody, t_us)
        return self._exact_or_none(key, row, t_us) or self._computed(key, row, log, t_us)

    def _exact_or_none(self, key: Any, row: bytes | None, t_us: int) -> bytes | None:
        """Return the row, or a remembered one computed from its log, if it is exact at ``t_us``."""
        if row is None:
            return None
        self.format.rows.check(row)
        valid_from, next_change = times(row)
        if t_us < valid_from:
            raise ReadBeforeRow(self.view.name, t_us, valid_from)
        if t_us < next_change:
            return row
        remembered = self._remembered.get(key, row)
        if remembered is None:
            return None
        valid_from, next_change = times(remembered)
        return remembered if valid_from <= t_us < next_change else None

    def _computed(self, key: Any, row: bytes, log: bytes | None, t_us: int) -> bytes:
        if log is None or log[STAMP] != row[STAMP]:
            changed = format_instant(times(row)[1])
            raise RowFormatError(
                f"a row changed at {changed}, and the log that tells how is not in the store",
                where=f"feature view {self.view.name!r}",
                mend="run `unskew materialise`; let Redis evict nothing (maxmemory-policy noeviction)",
            )
        events, stamp = self.format.logs.decode(log)
        computed = self.format.row_at(events, stamp, t_us)
        self._remembered.put(key, row, computed)
        return computed

    def _nobody(self, nobody: bytes | None, t_us: int) -> bytes:
        if nobody is None:
            raise NotMaterialised(
                "the online store holds no completed materialisation of it",
                where=f"feature view {self.view.name!r} ({self.view.row_digest[:16]})",
                mend="run `unskew materialise`",
            )
        self.format.rows.check(nobody)
        valid_from, _ = times(nobody)
        if t_us < valid_from:
            raise ReadBeforeRow(self.view.name, t_us, valid_from)
        return nobody


@dataclass(slots=True)
class Unsettled:
    """A read that needs a second fetch.

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
        """Settle the rest from what was found at `keys`."""
        nobody = found[-1]
        for place, i in enumerate(list(self._open())):
            pair = found[2 * place : 2 * place + 2]
            self.rows[i] = self.reader.settle(self.entity_keys[i], [*pair, nobody], self.t_us)
        return self.reader.format.rows.decode(self.rows)  # type: ignore[arg-type]

    def _open(self) -> Iterator[int]:
        return (i for i, row in enumerate(self.rows) if row is None)
